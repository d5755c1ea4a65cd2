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
	last, known := s, []*Secrets{s.of}
	for last.then != nil {
		if t := last.then; slices.Contains(all, t.of) {
			last, known = t, append(known, t.of)
		} else {
			s.leave(t)
			last.then = t.then
		}
	}
	for _, one := range all {
		if !slices.Contains(known, one) {
			last.then = one.NewScrubber()
			last = last.then
			last.at, last.aside = s.join.total, -s.join.total // it has seen nothing yet
			if s.across != nil {
				last.AcrossParts()
			}
		}
	}
}

// leave ends the search of t, which is behind s. What is under way in it may be the
// beginning of its secret, which is looked for beside from now on. Where that says so much of
// it that the answer would be cut if it were no more, the answer is cut: it can't be told
// any more.
func (s *Scrubber) leave(t *Scrubber) {
	if t.across != nil && !s.Cut() && (len(t.across.lost) > 0 || slices.ContainsFunc(t.under.list, func(r reading) bool { return t.tells(&r) })) {
		t.hits++
		s.across.cut = true
	}
	s.beside.takeUp(s.join.since(t.oldest()))
	if old := t.at - t.matcher.limit; t.hold.begins(old) < t.at {
		s.hold.put(t.hold.from, t.hold.form, old)
		s.hold.put(t.hold.last, t.hold.form, old)
	}
	s.left += t.hits
}
