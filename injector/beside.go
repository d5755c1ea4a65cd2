package injector

import (
	"math"
	"strings"
)

// beside is the search of one answer for what others were served with. It knows fewer
// forms than that for the answer's own.
type beside struct {
	all   *needles   // nil: of nobody
	known uint64     // of all, when idle was found
	idle  bool       // all that is in there is searched for already
	found *sightings // nil: nothing was searched yet
}

// Beside has s mask the secrets of all too, in their literal forms.
func (s *Scrubber) Beside(all *Needles) { s.beside.all = all.set() }

func (b *beside) spent() bool { return b.found != nil && b.found.spent }

// rests reports whether there is nothing to look for beside what the answer's searches are for.
func (b *beside) rests(answer *Scrubber) bool {
	if b.all == nil {
		return true
	}
	if now := b.all.changes.Load(); now != b.known {
		b.known, b.idle = now, b.all.within(answer)
	}
	return b.idle
}

// mostOwn is how many Secrets an answer's searches are for, at most.
const mostOwn = 8

// within reports whether the answer is searched for all of t anyway.
func (t *needles) within(answer *Scrubber) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if len(t.of) > mostOwn {
		return false
	}
	for one := range t.of {
		if !answer.has(one) {
			return false
		}
	}
	return true
}

// sight returns where what was seen is kept.
func (b *beside) sight() *sightings {
	if b.found == nil {
		b.found = &sightings{}
	}
	return b.found
}

// next takes a piece that ends at a place in the stream.
func (b *beside) next(answer *Scrubber, piece []byte, to int64) {
	if b.rests(answer) && (b.found == nil || len(b.found.held) == 0) {
		return
	}
	f := b.sight()
	if f.goesOn(piece) {
		if n := len(f.held); n >= max(minNeedle, f.known) {
			f.hold.put(to-int64(n), to-int64(n), 0, to-f.window)
		}
		if !f.hides(b.all) {
			return
		}
		piece = nil // it is in held
	}
	text := piece
	if len(f.held) > 0 {
		f.text = append(append(f.text[:0], f.held...), piece...)
		text = f.text
	}
	at := to - int64(len(text))
	n := f.look(b.all, text, at)
	f.note(at, len(text))
	f.held = append(f.held[:0], text[n:]...)
}

// held returns where in the stream begins what is held back, of which so much came, or
// math.MaxInt64.
func (b *beside) held(total int64) int64 {
	f := b.found
	if f == nil {
		return math.MaxInt64
	}
	from := f.hold.begins(total - f.window)
	if n := len(f.held); n >= max(minNeedle, f.known) {
		from = min(from, total-int64(n))
	}
	return from
}

// finishLines gives up what is held back of lines that ended, but what may go on.
func (b *beside) finishLines(before int64) {
	if b.found != nil {
		b.found.hold.drop(before)
	}
}

// takeUp holds what another search held back up to here: there may have been no search
// beside it yet.
func (b *beside) takeUp(held []byte) {
	if b.all == nil || len(held) == 0 {
		return
	}
	if f := b.sight(); len(held) > len(f.held) {
		f.held, f.way, f.free, f.known = append(f.held[:0], held...), nil, 0, 0
	}
}

// rest searches what was held, at the end of the stream.
func (b *beside) rest(answer *Scrubber, to int64) {
	b.next(answer, nil, to)
	f := b.found
	if f == nil {
		return
	}
	if n := len(f.held); n > 0 {
		at := to - int64(n)
		f.look(b.all, f.held, at)
		f.note(at, n)
		f.held, f.way = f.held[:0], nil
	}
	f.hold = hold{}
}

// mask masks what was seen in text, which begins at a place in the stream. What the
// answer's own search masked already is its hit.
func (b *beside) mask(text []byte, at int64) {
	if b.clear() {
		return
	}
	f := b.found
	end, n := at+int64(len(text)), 0
	left := f.masks[:0] // of those that begin in text
	for ; n < len(f.masks) && f.masks[n].from < end; n++ {
		m := f.masks[n]
		if blank(text, int(m.from-at), int(m.to-at)) && m.from >= f.counted {
			f.count(m.of)
			f.counted = m.to
		}
		if m.to > end {
			left = append(left, m)
		}
	}
	copy(f.masks[n-len(left):n], left)
	clear(f.masks[:n-len(left)]) // they have secrets
	f.masks = f.masks[n-len(left):]
}

// clear reports whether nothing is to be masked in what was read and not given out.
func (b *beside) clear() bool { return b.found == nil || len(b.found.masks) == 0 }

// text returns out, which is a whole text as the answer's own search masked it, masked,
// and with beginnings also what is the beginning of a secret, long enough to be known by.
func (b *beside) text(answer *Scrubber, text, out string, beginnings bool) string {
	if len(text) < minNeedle || b.rests(answer) {
		return out
	}
	f := b.sight()
	if f.spent {
		return strings.Repeat(string(mask), len(text))
	}
	seen := b.all.scan([]byte(text), nil)
	f.aside += int64(len(text))
	f.took(seen)
	if len(seen.found) == 0 {
		return out
	}
	whole := []byte(out)
	counted := 0
	for _, s := range seen.found {
		if s.of == nil && !beginnings {
			continue
		}
		if blank(whole, s.from, s.to) && s.of != nil && s.from >= counted {
			f.count(s.of)
			counted = s.to
		}
	}
	return string(whole)
}
