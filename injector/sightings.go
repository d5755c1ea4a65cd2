package injector

import (
	"cmp"
	"slices"
)

// sightings are what was seen so far.
type sightings struct {
	hold    hold
	window  int64      // how long what is held back may be
	held    []byte     // as it came, from where a needle may go on
	way     []byte     // a needle that held is the beginning of, or none
	free    int        // of way: before that no other ends
	known   int        // from so many bytes on held is known
	text    []byte     // held, and a piece
	now     []sighting // in text
	masks   []masking  // in what was read and not yet given out, in the order of the stream
	counted int64      // what begins before this in the stream was counted
	steps   int64      // that the search took
	looks   looks      // that were close
	aside   int64      // bytes that are none of the stream
	hits    int
	first   string // the name of the first
	spent   bool
}

// sighting is a needle in a text.
type sighting struct {
	from, to int
	of       *Secrets // nil: the beginning of some
	more     bool     // it may be the beginning of a longer one
}

// masking is a needle in the stream.
type masking struct {
	span
	of *Secrets
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
	if n <= minNeedle || n >= f.known {
		return false
	}
	all.mu.RLock()
	defer all.mu.RUnlock()
	return all.heads.skip(f.held, 1)+headSize <= n
}

// look finds what is in text, which begins at a place in the stream, and returns where
// in it the first begins that may go on.
func (f *sightings) look(all *needles, text []byte, at int64) (open int) {
	s := all.scan(text, f.now[:0])
	f.now, f.way, f.free, f.known, f.window = s.found, s.way, s.free, s.known, all.longest.Load()
	f.took(s)
	f.spent = f.spent || f.steps > firstSteps+stepsPerByte*(at+f.aside+int64(len(text)))
	return s.open
}

// note keeps what was seen in the text, which begins at a place in the stream. What was
// seen in it before may be longer now, and is then the longer one's.
func (f *sightings) note(at int64, length int) {
	first := len(f.masks)
	for first > 0 && f.masks[first-1].from >= at {
		first--
	}
	before := slices.Clone(f.masks[first:])
	clear(f.masks[first:])
	f.masks = f.masks[:first]
	for _, s := range f.now {
		from, to := at+int64(s.from), at+int64(s.to)
		if s.of != nil {
			f.hold.whole(from, to)
			f.masks = append(f.masks, masking{span{from, to}, s.of})
		}
		if s.more && s.to-s.from >= minNeedle { // now, and not once it ends: how long it goes on is not to be seen
			f.hold.put(from, from, 0, at+int64(length)-f.window)
		}
	}
	f.keep(before, first)
	clear(f.now) // it has secrets, which may be looked for no more
}

// keep keeps masks that are in none of those from first on: what they are of may be
// looked for no more.
func (f *sightings) keep(masks []masking, first int) {
	for _, m := range masks {
		if !slices.ContainsFunc(f.masks[first:], func(one masking) bool { return one.from <= m.from && m.to <= one.to }) {
			f.masks = append(f.masks, m)
		}
	}
	if len(masks) > 0 {
		slices.SortFunc(f.masks[first:], func(a, b masking) int { return cmp.Compare(a.from, b.from) })
	}
}

// took counts what a scan took.
func (f *sightings) took(s scanned) {
	f.steps += int64(s.steps)
	if s.looks > 0 {
		f.looks.add(s.looks)
	}
}

func (f *sightings) count(of *Secrets) {
	if f.hits++; f.hits == 1 {
		f.first = of.named()
	}
}

// within reports whether a place in the stream is within a needle that is to be masked, and
// at how many it looked for that.
func (f *sightings) within(at int64) (is bool, looked int) {
	first, _ := slices.BinarySearchFunc(f.masks, at+1, func(m masking, from int64) int { return cmp.Compare(m.from, from) })
	for _, m := range slices.Backward(f.masks[:first]) {
		looked++
		if m.to > at || m.from <= at-f.window {
			return m.to > at, looked
		}
	}
	return false, looked
}
