package injector

import "slices"

// Late knows of secrets that an answer may hold and that are found while it goes
// on: those of what the same upstream got meanwhile for the same workload.
type Late interface {
	// Since returns all of them, and a number for that state; the number alone
	// where it is still seen. It is safe for concurrent use.
	Since(seen uint64) (all []*Secrets, now uint64)
}

// lateness is what an answer knows of Late.
type lateness struct {
	from Late // or nil
	seen uint64
	// Of searches that were given up:
	hits    int
	looks   looks
	of      string // the name of one of the hits: there may be nobody else who has its secrets
	longest int64  // the limit of that one
	hold    hold   // what they held back, apart from what others do: each is over in its own time
	limit   int64  // the longest of theirs
}

// Watch has s mask what late comes to know from now on, and no longer what late
// gave up. seen is the number of the state in which s was made.
func (s *Scrubber) Watch(late Late, seen uint64) { s.late.from, s.late.seen = late, seen }

// catchUp takes over what changed. A stream may outlive many credentials, so what
// is given up makes room.
func (s *Scrubber) catchUp() {
	if s.late.from == nil || s.own.matcher == nil {
		return
	}
	all, now := s.late.from.Since(s.late.seen)
	if now == s.late.seen {
		return
	}
	s.late.seen, s.beside.known = now, 0
	s.keepOf(all)
	known := []*Secrets{s.own.of}
	for i := range s.others {
		known = append(known, s.others[i].of)
	}
	for _, one := range all {
		if !slices.Contains(known, one) {
			s.others = append(s.others, s.begin(one))
		}
	}
}

// keepOf ends the searches for what is not among all.
func (s *Scrubber) keepOf(all []*Secrets) {
	kept := s.others[:0]
	for i := range s.others {
		m := &s.others[i]
		if slices.Contains(all, m.of) {
			kept = append(kept, *m)
		} else {
			s.leave(m)
		}
	}
	clear(s.others[len(kept):]) // they have secrets
	s.others = kept
}

// begin returns a search that has seen nothing of the answer yet.
func (s *Scrubber) begin(one *Secrets) search {
	m := one.search()
	m.at, m.aside = s.join.total, -s.join.total
	if s.inParts() {
		m.acrossParts()
	}
	return m
}

// leave ends a search. What is under way in it may be the beginning of its secret, which
// is looked for beside from now on. Where that says so much of it that the answer would
// be cut if it were no more, the answer is cut: it can't be told any more.
func (s *Scrubber) leave(m *search) {
	if m.across != nil && !s.Cut() && (len(m.across.lost) > 0 || slices.ContainsFunc(m.under.list, func(r reading) bool { return m.tells(&r) })) {
		m.hits++
		s.cut = true
	}
	s.beside.takeUp(s.join.since(m.oldest()))
	if m.hold.begins(m.at-m.matcher.limit) < m.at {
		s.late.limit = max(s.late.limit, m.matcher.limit)
		old := m.at - s.late.limit
		s.late.hold.put(m.hold.from, m.hold.at, m.hold.form, old)
		s.late.hold.put(m.hold.last, m.hold.at, m.hold.form, old)
	}
	if m.hits > 0 && m.matcher.limit > s.late.longest {
		s.late.of, s.late.longest = m.of.named(), m.matcher.limit
	}
	s.late.hits += m.hits
	s.late.looks.join(m.looks)
}
