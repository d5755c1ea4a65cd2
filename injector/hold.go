package injector

import "math"

// hold is what is held back of an answer from where so much of a secret began that
// nobody guesses it: up to form.part, so that no more than one character less is shown of
// one that is split by a pause. Whether it is one only what comes after it tells. Were it
// held back no longer than until that is another character, then who has an upstream say
// what they choose, and sees when it comes, would learn the secret one character at a
// time. So it ends with the whole of the secret, which is masked, or when as much came as
// the longest secret takes.
type hold struct {
	from  int64 // where the first began
	last  int64 // where the last began
	at    int64 // where so much of the last had come
	form  uint8 // of the last
	count int   // 0: none
}

// put holds back what comes from start on, of which so much had come at a place. What had
// come as far before old is over: one may seem to begin long before it does, where what
// comes before it can be read as how its first character is escaped.
func (h *hold) put(start, at int64, form uint8, old int64) {
	switch {
	case h.count > 0 && h.at < old:
		*h = hold{}
	case h.count > 0 && h.last == start && h.form == form:
		return // by another way to the same place
	}
	if h.count == 0 {
		h.from, h.last, h.at = start, start, at
	}
	h.from, h.last, h.at, h.form = min(h.from, start), max(h.last, start), max(h.at, at), form
	h.count++
}

// whole ends what began with a secret that is masked from start up to to.
func (h *hold) whole(start, to int64) {
	switch {
	case h.count == 1 && h.from == start:
		*h = hold{}
	case h.count > 0 && h.from >= start:
		h.from = max(h.from, to)
	}
}

// begins returns from where on is held back what came after old, or math.MaxInt64.
func (h *hold) begins(old int64) int64 {
	if h.count == 0 || h.at < old {
		return math.MaxInt64
	}
	return max(h.from, old)
}

// drop ends what began before a place in the stream.
func (h *hold) drop(before int64) {
	if h.last < before {
		*h = hold{}
	}
	h.from = max(h.from, before)
}
