package injector

// cuts is what ends an answer: a part that says a secret up to its second bound and is not
// the whole of it. Whatever follows there, the answer ends with the line, and before the
// part: if what an agent is shown told where the text goes on in another way than the
// secret does, an agent whose upstream says what it is told to could find out the secret,
// character by character.
type cuts struct {
	lost  []loss // beginnings that did not become whole, unless one in whole begins before
	whole []span // secrets, in the line under way
}

// loss is a beginning that did not become whole.
type loss struct {
	start   int64 // where its last part begins
	at      int64 // where it was lost
	counted bool  // as a hit
}

// mostWhole is how many of the last secrets of a line are remembered.
const mostWhole = 256

// tells reports whether r has come to where it must become whole.
func (s *search) tells(r *reading) bool {
	return s.across != nil && !s.across.quoted && int(r.place.pos) >= s.matcher.forms[r.place.form].cut
}

// lose notes that r does not go on. Another reading of the same may.
func (s *search) lose(r *reading, now int64) {
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

// forget forgets the secrets of lines that ended before the one under way, or of all.
func (a *across) forget(all bool) {
	if n := len(a.whole); all || n > 0 && a.whole[n-1].to < a.line {
		a.whole = a.whole[:0]
	}
}
