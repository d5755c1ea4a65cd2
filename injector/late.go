package injector

import "slices"

// Late knows of secrets that an answer may hold and that are found while it goes
// on: those of what the same upstream got meanwhile for the same workload.
type Late interface {
	// Since returns all of them, and a number for that state; the number alone
	// where it is still seen. It is safe for concurrent use.
	Since(seen uint64) (all []*Secrets, now uint64)
}

// Watch has s mask what late comes to know from now on, and no longer what late
// gave up. seen is the number of the state in which s was made.
func (s *Scrubber) Watch(late Late, seen uint64) { s.late, s.seen = late, seen }

// catchUp takes over what changed. A stream may outlive many credentials, so what
// is given up makes room.
func (s *Scrubber) catchUp() {
	if s.late == nil || s.matcher == nil {
		return
	}
	all, now := s.late.Since(s.seen)
	if now == s.seen {
		return
	}
	s.seen, s.beside.known = now, 0
	s.unlink()
	last, known := s, []*Secrets{s.of}
	for last.then != nil {
		last = last.then
		if !slices.Contains(all, last.of) {
			last.drain()
		}
		known = append(known, last.of)
	}
	for _, one := range all {
		if !slices.Contains(known, one) {
			last.then = one.NewScrubber()
			if last = last.then; s.across != nil {
				last.AcrossParts()
			}
		}
	}
}

// drain ends the search for these secrets. What was held back goes out before what
// comes next.
func (s *Scrubber) drain() {
	if s.matcher == nil {
		return
	}
	s.under.reset()
	s.held = slices.Clone(s.release(nil, s.at))
	s.matcher, s.across = nil, nil
}

// unlink leaves out those behind s that search for nothing and hold nothing.
func (s *Scrubber) unlink() {
	for p := s; p.then != nil; {
		if t := p.then; t.matcher == nil && len(t.held) == 0 {
			s.left += t.hits
			p.then = t.then
			continue
		}
		p = p.then
	}
}

// onward returns what a drained scrubber held, and piece.
func (s *Scrubber) onward(piece []byte) []byte {
	if len(s.held) == 0 {
		return piece
	}
	s.out = append(append(s.out[:0], s.held...), piece...)
	s.held = s.held[:0]
	return s.out
}
