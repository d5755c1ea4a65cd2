package injector

import "slices"

// cuts is what ends an answer: a part that says a secret up to its second bound and is not
// the whole of it. Whatever follows there, the answer ends with the line, and before the
// part: if what an agent is shown told where the text goes on in another way than the
// secret does, an agent whose upstream says what it is told to could find out the secret,
// character by character.
type cuts struct {
	lost  []loss // beginnings that did not become whole, unless one in whole begins before
	whole []span // secrets, in the line under way
	line  int64  // where the last line ended
	cut   bool
}

// loss is a beginning that did not become whole.
type loss struct {
	start   int64 // where its last part begins
	at      int64 // where it was lost
	counted bool  // as a hit
}

// mostWhole is how many of the last secrets of a line are remembered.
const mostWhole = 256

// Cut reports whether the answer said the beginning of a secret, and so much of it that
// nothing more is given out. It does so in a stream only, after AcrossParts.
func (s *Scrubber) Cut() bool { return s.across != nil && s.across.cut }

// tells reports whether r has come to where it must become whole.
func (s *Scrubber) tells(r *reading) bool {
	return s.across != nil && !s.across.quoted && int(r.place.pos) >= s.matcher.forms[r.place.form].cut
}

// lose notes that r does not go on. Another reading of the same may.
func (s *Scrubber) lose(r *reading, now int64) {
	if !r.lost && s.tells(r) {
		r.lost = true
		s.across.lost = append(s.across.lost, loss{r.start, now, r.counted})
	}
}

// stands notes that a secret is whole. Where another begins as that does, or within it,
// nothing of the other was said.
func (c *cuts) stands(whole span) {
	if len(c.whole) == mostWhole {
		c.whole = c.whole[:copy(c.whole, c.whole[mostWhole/2:])]
	}
	c.whole = append(c.whole, whole)
}

// judge returns where the answer is to be cut, or where what was read ends: once a line is
// over that has a beginning in it which did not become whole, or is longer than any secret.
// All searches have read as far.
func (s *Scrubber) judge(over bool) (upto int64) {
	upto = s.join.total
	if s.across == nil {
		return upto
	}
	var longest int64
	for m := s; m != nil; m = m.then {
		longest = max(longest, m.matcher.limit)
	}
	var first *Scrubber
	var counted bool
	for m := s; m != nil; m = m.then {
		c := &m.across.cuts
		left := c.lost[:0]
		for _, l := range c.lost {
			switch {
			case !over && l.at > c.line && l.start >= s.join.total-longest:
				left = append(left, l)
			case l.start < upto && !s.isWithin(l.start):
				upto, first, counted = l.start, m, l.counted
			}
		}
		c.lost = left
	}
	for m := s; m != nil; m = m.then {
		m.across.forget()
	}
	if first != nil {
		s.across.cut = true
		if !counted {
			first.hits++
		}
	}
	return upto
}

// isWithin reports whether a place in the stream is within a secret that is whole. That
// counts to what the search may cost.
func (s *Scrubber) isWithin(at int64) bool {
	within := func(w span) bool { return w.from <= at && at < w.to }
	for m := s; m != nil; m = m.then {
		s.ways.seen += len(m.across.whole)
		if slices.ContainsFunc(m.across.whole, within) {
			return true
		}
	}
	if s.spend(s.at); s.spent || s.beside.clear() {
		return false
	}
	s.ways.seen += len(s.beside.found.masks)
	return slices.ContainsFunc(s.beside.found.masks, func(m masking) bool { return within(m.span) })
}

// forget forgets the secrets of lines that are over.
func (c *cuts) forget() {
	if n := len(c.whole); n > 0 && c.whole[n-1].to <= c.line {
		c.whole = c.whole[:0]
	}
}
