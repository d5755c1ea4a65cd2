package injector

import (
	"cmp"
	"slices"
)

// cuts is what ends an answer: a part that says a secret up to its second bound and is not
// the whole of it. Whatever follows there, the answer ends with the line, and before the
// part: if what an agent is shown told where the text goes on in another way than the
// secret does, an agent whose upstream says what it is told to could find out the secret,
// character by character.
type cuts struct {
	lost   []loss // beginnings that did not become whole, in the order in which they were lost
	judged int    // of lost: they are in nothing that is whole so far
	begins int64  // where the first of these begins
	whole  []span // secrets, in the line under way, in the order of their ends
}

// waits reports whether there is nothing to judge: what is lost was looked at, is of the line
// under way, and does not begin before old.
func (c *cuts) waits(line, old int64) bool {
	return len(c.lost) == c.judged && (c.judged == 0 || c.lost[0].at >= line && c.begins >= old)
}

// loss is a beginning that did not become whole.
type loss struct {
	start   int64 // where its last part begins
	last    int64 // or may begin at the latest
	at      int64 // where it was lost
	counted bool  // as a hit
}

// mostWhole is how many secrets of a line are remembered, also where nothing that begins
// within them is to be judged any more.
const mostWhole = 256

// tells reports whether r has come to where it must become whole.
func (s *search) tells(r *reading) bool {
	return s.across != nil && !s.across.quoted && int(r.place.pos) >= s.matcher.forms[r.place.form].cut
}

// lose notes that r does not go on. Another reading of the same may.
func (s *search) lose(r *reading, now int64) {
	if !r.lost && s.tells(r) {
		r.lost = true
		s.across.lost = append(s.across.lost, loss{r.start, max(r.start, r.last), now, r.counted})
	}
}

// stands notes that a secret is whole. Where another begins as that does, or within it,
// nothing of the other was said.
func (a *across) stands(whole span) {
	if !a.quoted {
		a.whole = append(a.whole, whole)
	}
}

// within reports whether a place in the stream is within a secret that is whole, of which
// none is longer than longest, and at how many it looked for that.
func (c *cuts) within(at, longest int64) (is bool, looked int) {
	first, _ := slices.BinarySearchFunc(c.whole, at+1, func(w span, to int64) int { return cmp.Compare(w.to, to) })
	for _, w := range c.whole[first:] {
		looked++
		if w.from <= at || w.to > at+longest {
			return w.from <= at, looked
		}
	}
	return false, looked
}

// forget forgets the secrets of lines that ended before the one under way, or of all, and
// those of a line that has many which end before old: nothing within them is judged any more.
func (a *across) forget(all bool, old int64) {
	n := len(a.whole)
	switch {
	case all || n > 0 && a.whole[n-1].to < a.line:
		a.whole = a.whole[:0]
	case n > mostWhole && a.whole[n/2].to <= old:
		a.whole = a.whole[:copy(a.whole, a.whole[n/2:])]
	}
}
