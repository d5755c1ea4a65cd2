package injector

import "slices"

// Cut reports whether the answer said the beginning of a secret, and so much of it that
// nothing more is given out. It does so in a stream only, after AcrossParts.
func (s *Scrubber) Cut() bool { return s.cut }

// judge returns where the answer is to be cut, or where what was read ends: once a line is
// over that has a beginning in it which did not become whole, or is longer than any secret.
// All searches have read as far.
func (s *Scrubber) judge(over bool) (upto int64) {
	upto = s.join.total
	if !s.inParts() {
		return upto
	}
	longest := s.longest()
	var first *search
	var counted bool
	for m := range s.searches() {
		c := &m.across.cuts
		left := c.lost[:0]
		for _, l := range c.lost {
			switch {
			case !over && l.at >= m.across.line && l.start >= s.join.total-longest:
				left = append(left, l)
			case l.start < upto && !s.isWithin(l.last):
				upto, first, counted = l.start, m, l.counted
			}
		}
		c.lost = left
	}
	for m := range s.searches() {
		m.across.forget(over, s.join.total-longest)
	}
	if first != nil {
		s.cut = true
		if !counted {
			first.hits++
		}
	}
	return upto
}

// isWithin reports whether a place in the stream is within a secret that is whole. That
// counts to what the search may cost.
func (s *Scrubber) isWithin(at int64) bool {
	for m := range s.searches() {
		is, looked := m.across.within(at, m.matcher.limit)
		s.own.ways.seen += looked
		if is {
			return true
		}
	}
	if s.own.spend(s.own.at); s.own.spent || s.beside.clear() {
		return false
	}
	s.own.ways.seen += len(s.beside.found.masks)
	return slices.ContainsFunc(s.beside.found.masks, func(m masking) bool { return m.from <= at && at < m.to })
}
