package injector

import "math"

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
	old := upto - longest
	for m := range s.searches() {
		c := &m.across.cuts
		if !over && c.waits(m.across.line, old) {
			continue
		}
		left, begins := c.lost[:0], int64(math.MaxInt64)
		for i, l := range c.lost {
			switch later := !over && l.at >= m.across.line && l.start >= old; {
			case later && (i < c.judged || !s.isWithin(l.last)):
				left, begins = append(left, l), min(begins, l.start)
			case !later && l.start < upto && !s.isWithin(l.last):
				upto, first, counted = l.start, m, l.counted
			}
		}
		c.lost, c.judged, c.begins = left, len(left), begins
	}
	for m := range s.searches() {
		m.across.forget(over, old)
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
	is, looked := s.beside.found.within(at)
	s.own.ways.seen += looked
	return is
}
