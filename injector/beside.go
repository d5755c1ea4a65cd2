package injector

import (
	"bytes"
	"strings"
)

// beside is the search of one answer for what others were served with. It comes after
// that for the answer's own, which knows more forms, and holds back only what is the
// beginning of a needle.
type beside struct {
	all   *needles   // nil: of nobody
	known uint64     // of all, when idle was found
	idle  bool       // all that is in there is searched for already
	found *sightings // nil: nothing was searched yet
}

// sightings are what was seen so far.
type sightings struct {
	at      int64  // where in the stream held begins
	held    []byte // as it came
	out     []byte // what was given out last
	masked  int64  // up to here held is of what was seen
	counted int64  // and what begins before this was counted
	now     []sighting
	steps   int64 // that the search took
	aside   int64 // bytes that are none of the stream
	hits    int
	first   *Secrets
	spent   bool
}

// sighting is a needle in a text.
type sighting struct {
	from, to int
	of       *Secrets
}

// Beside has s mask the secrets of all too, in their literal forms.
func (s *Scrubber) Beside(all *Needles) { s.beside.all = all.set() }

func (b *beside) spent() bool { return b.found != nil && b.found.spent }

// rests reports whether there is nothing to look for beside what own searches for.
func (b *beside) rests(own *Scrubber) bool {
	if b.all == nil {
		return true
	}
	if now := b.all.changes.Load(); now != b.known {
		b.known, b.idle = now, b.all.within(own)
	}
	return b.idle
}

// mostOwn is how many secrets an answer's own search is for, at most.
const mostOwn = 8

// within reports whether own searches for all of t.
func (t *needles) within(own *Scrubber) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if len(t.of) > mostOwn {
		return false
	}
	for one := range t.of {
		if !own.searches(one) {
			return false
		}
	}
	return true
}

func (s *Scrubber) searches(one *Secrets) bool {
	for ; s != nil; s = s.then {
		if s.matcher != nil && s.of == one {
			return true
		}
	}
	return false
}

// sight returns where what was seen is kept.
func (b *beside) sight() *sightings {
	if b.found == nil {
		b.found = &sightings{}
	}
	return b.found
}

// next returns what of piece, and of what was held, may be given out.
func (b *beside) next(own *Scrubber, piece []byte) []byte {
	if b.rests(own) && (b.found == nil || len(b.found.held) == 0) {
		return piece
	}
	f := b.sight()
	if len(f.held) > 0 {
		f.out = append(append(f.out[:0], f.held...), piece...)
		piece = f.out
	}
	n := f.look(b.all, piece)
	f.held = append(f.held[:0], piece[n:]...)
	return f.give(piece[:n])
}

// rest returns piece and what was held.
func (b *beside) rest(own *Scrubber, piece []byte) []byte {
	out := b.next(own, piece)
	if b.found == nil || len(b.found.held) == 0 {
		return out
	}
	f := b.found
	out = bytes.Clone(out)
	f.look(b.all, f.held)
	out = append(out, f.give(f.held)...)
	f.held = f.held[:0]
	return out
}

// look finds what is in text, which begins at f.at, and returns where in it the first
// begins that may go on.
func (f *sightings) look(all *needles, text []byte) (open int) {
	var steps int
	f.now, open, steps = all.scan(text, f.now[:0], false)
	for _, s := range f.now {
		if from := f.at + int64(s.from); from >= f.counted {
			f.count(s.of)
		}
		f.counted = max(f.counted, f.at+int64(s.to))
	}
	f.steps += int64(steps)
	f.spent = f.spent || f.steps > firstSteps+stepsPerByte*(f.at+f.aside+int64(len(text)))
	return open
}

func (f *sightings) count(of *Secrets) {
	if f.hits++; f.hits == 1 {
		f.first = of
	}
}

// give returns text, which begins at f.at, masked, and nothing once the search took
// too long. What was looked at stays as it is.
func (f *sightings) give(text []byte) []byte {
	if f.spent {
		return nil
	}
	begin, end := f.at, f.at+int64(len(text))
	f.at = end
	if len(f.now) == 0 && f.masked <= begin {
		return text
	}
	f.out = append(f.out[:0], text...)
	blank(f.out, 0, int(f.masked-begin))
	for _, s := range f.now {
		blank(f.out, s.from, s.to)
		if s.from < len(text) {
			f.masked = max(f.masked, begin+int64(s.to))
		}
	}
	return f.out
}

// blank masks text from one place to another, as far as it goes.
func blank(text []byte, from, to int) {
	for i := from; i < min(to, len(text)); i++ {
		text[i] = mask
	}
}

// text returns a whole text masked, and with beginnings also what is the beginning of
// a secret, long enough to be known by.
func (b *beside) text(own *Scrubber, text string, beginnings bool) string {
	if len(text) < minNeedle || b.rests(own) {
		return text
	}
	f := b.sight()
	if f.spent {
		return strings.Repeat(string(mask), len(text))
	}
	whole := []byte(text)
	now, _, steps := b.all.scan(whole, nil, beginnings)
	f.aside += int64(len(text))
	f.steps += int64(steps)
	counted := 0
	for _, s := range now {
		if s.of != nil && s.from >= counted {
			f.count(s.of)
			counted = s.to
		}
		blank(whole, s.from, s.to)
	}
	return string(whole)
}

// scan appends to found what is in text, and returns where in it the first begins that
// may go on after it, and how many bytes were compared. With beginnings also what is
// the beginning of a needle is found, long enough to be known by, as nobody's: others
// than those that are looked for may begin so.
func (t *needles) scan(text []byte, found []sighting, beginnings bool) (all []sighting, open, steps int) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	open = len(text)
	if len(t.root.next) == 0 {
		return found, open, 0
	}
	for i := t.heads.skip(text, 0); i < len(text); i = t.heads.skip(text, i+1) {
		f := t.follow(text[i:])
		steps += f.upto
		switch {
		case f.length > 0:
			found = append(found, sighting{i, i + f.length, f.of})
		case beginnings && f.upto >= min(mostShown, (f.whole+1)/2):
			found = append(found, sighting{i, i + f.upto, nil})
		}
		if f.open {
			open = min(open, i)
		}
	}
	return found, open, steps
}
