package injector

import (
	"math"
	"slices"
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

// sightings are what was seen so far.
type sightings struct {
	hold    hold
	window  int64      // how long what is held back may be
	held    []byte     // as it came, from where a needle may go on
	way     []byte     // a needle that held is the beginning of, or none
	free    int        // of way: before that no other ends
	text    []byte     // held, and a piece
	now     []sighting // in text
	masks   []masking  // in what was read and not yet given out
	counted int64      // what begins before this in the stream was counted
	steps   int64      // that the search took
	looks   looks      // that were close
	aside   int64      // bytes that are none of the stream
	hits    int
	first   *Secrets
	spent   bool
}

// sighting is a needle in a text.
type sighting struct {
	from, to int
	of       *Secrets
}

// masking is a needle in the stream.
type masking struct {
	span
	of *Secrets
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

// next takes a piece that ends at a place in the stream.
func (b *beside) next(own *Scrubber, piece []byte, to int64) {
	if b.rests(own) && (b.found == nil || len(b.found.held) == 0) {
		return
	}
	f := b.sight()
	if f.goesOn(piece) {
		if n := len(f.held); n >= max(minNeedle, knownFrom(len(f.way))) {
			f.hold.put(to-int64(n), 0, to-f.window)
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
	f.note(at, n, len(text))
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
	if n := len(f.held); n >= max(minNeedle, knownFrom(len(f.way))) {
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

// knownFrom returns from how many bytes on the beginning of a needle tells it.
func knownFrom(whole int) int { return min(mostShown, (whole+1)/2) }

// takeUp holds what another search held back up to here: there may have been no search
// beside it yet.
func (b *beside) takeUp(held []byte) {
	if b.all == nil || len(held) == 0 {
		return
	}
	if f := b.sight(); len(held) > len(f.held) {
		f.held, f.way, f.free = append(f.held[:0], held...), nil, 0
	}
}

// goesOn reports whether held and piece are the beginning of a needle, as held was, and
// holds the piece too: what comes in small pieces is not looked at anew with each.
func (f *sightings) goesOn(piece []byte) bool {
	n := len(f.held) + len(piece)
	if len(f.held) == 0 || n >= f.free {
		return false
	}
	f.steps += int64(len(piece))
	for i, c := range piece {
		if lower(c) != lower(f.way[len(f.held)+i]) {
			return false
		}
	}
	f.held = append(f.held, piece...)
	return true
}

// hides reports whether another needle may be whole within held, of which too little came
// to be held back.
func (f *sightings) hides(all *needles) bool {
	n := len(f.held)
	if n <= minNeedle || n >= knownFrom(len(f.way)) {
		return false
	}
	all.mu.RLock()
	defer all.mu.RUnlock()
	return all.heads.skip(f.held, 1)+headSize <= n
}

// rest searches what was held, at the end of the stream.
func (b *beside) rest(own *Scrubber, to int64) {
	b.next(own, nil, to)
	f := b.found
	if f == nil {
		return
	}
	if n := len(f.held); n > 0 {
		at := to - int64(n)
		f.look(b.all, f.held, at)
		f.note(at, n, n)
		f.held = f.held[:0]
	}
	f.hold = hold{}
}

// look finds what is in text, which begins at a place in the stream, and returns where
// in it the first begins that may go on.
func (f *sightings) look(all *needles, text []byte, at int64) (open int) {
	s := all.scan(text, f.now[:0])
	f.now, f.way, f.free, f.window = s.found, s.way, s.free, all.longest.Load()
	f.took(s)
	f.spent = f.spent || f.steps > firstSteps+stepsPerByte*(at+f.aside+int64(len(text)))
	return s.open
}

// note keeps what was seen in the text. What begins at a place or after it is looked at
// again, and may be longer; but what is whole is masked, if nothing more comes too.
func (f *sightings) note(at int64, before, length int) {
	for _, s := range f.now {
		switch {
		case s.of == nil && s.to-s.from >= minNeedle: // now, and not once it ends: how long it goes on is not to be seen
			f.hold.put(at+int64(s.from), 0, at+int64(length)-f.window)
		case s.of != nil:
			m := masking{span{at + int64(s.from), at + int64(s.to)}, s.of}
			f.hold.whole(m.from, m.to)
			if s.from < before || !slices.Contains(f.masks, m) {
				f.masks = append(f.masks, m)
			}
		}
	}
}

// mask masks what was seen in text, which begins at a place in the stream. What the
// answer's own search masked already is its hit.
func (b *beside) mask(text []byte, at int64) {
	if b.clear() {
		return
	}
	f := b.found
	left := f.masks[:0]
	for _, m := range f.masks {
		if blank(text, int(m.from-at), int(m.to-at)) && m.from >= f.counted {
			f.count(m.of)
			f.counted = m.to
		}
		if m.to > at+int64(len(text)) {
			left = append(left, m)
		}
	}
	f.masks = left
}

// clear reports whether nothing is to be masked in what was read and not given out.
func (b *beside) clear() bool { return b.found == nil || len(b.found.masks) == 0 }

func (f *sightings) count(of *Secrets) {
	if f.hits++; f.hits == 1 {
		f.first = of
	}
}

// blank masks text from one place to another, as far as it goes, and returns whether
// anything of that was not masked before.
func blank(text []byte, from, to int) (fresh bool) {
	for i := max(from, 0); i < min(to, len(text)); i++ {
		fresh = fresh || text[i] != mask
		text[i] = mask
	}
	return fresh
}

// text returns out, which is a whole text as the answer's own search masked it, masked,
// and with beginnings also what is the beginning of a secret, long enough to be known by.
func (b *beside) text(own *Scrubber, text, out string, beginnings bool) string {
	if len(text) < minNeedle || b.rests(own) {
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

// scanned is what was seen in a text.
type scanned struct {
	found []sighting
	open  int    // where in the text the first begins that may go on after it
	way   []byte // which that may be
	free  int    // of way: before that no other ends
	steps int    // bytes that were compared
	looks int    // texts that were a needle's first bytes, or more
}

// took counts what a scan took.
func (f *sightings) took(s scanned) {
	f.steps += int64(s.steps)
	if s.looks > 0 {
		f.looks.add(s.looks)
	}
}

// scan appends to found what is in text. What is the beginning of a needle is found too,
// long enough to be known by, as nobody's: others than those that are looked for may begin
// so.
func (t *needles) scan(text []byte, found []sighting) scanned {
	t.mu.RLock()
	defer t.mu.RUnlock()
	s := scanned{found: found, open: len(text)}
	if len(t.root.next) == 0 {
		return s
	}
	for i := t.heads.skip(text, 0); i < len(text); i = t.heads.skip(text, i+1) {
		f := t.follow(text[i:])
		s.steps += f.upto
		if f.upto >= headSize {
			s.looks++
		}
		switch {
		case f.length > 0:
			s.found = append(s.found, sighting{i, i + f.length, f.of})
		case f.upto > 0 && f.upto >= knownFrom(f.whole):
			s.found = append(s.found, sighting{i, i + f.upto, nil})
		}
		if f.way != nil && s.way == nil {
			s.open, s.way, s.free = i, f.way, f.free
		}
	}
	return s
}
