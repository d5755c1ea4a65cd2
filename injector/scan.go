package injector

import "bytes"

// scanned is what was seen in a text.
type scanned struct {
	found []sighting
	open  int    // where in the text the first begins that may go on after it
	way   []byte // which that may be
	free  int    // of way: before that no other ends
	known int    // and so much of it is known
	steps int    // bytes that were compared
	looks int    // texts that were a needle's first bytes, or more
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
			s.found = append(s.found, sighting{i, i + f.length, f.of, f.more})
		case f.upto > 0 && f.upto >= f.known:
			s.found = append(s.found, sighting{i, i + f.upto, nil, true})
		}
		if f.way != nil && s.way == nil {
			s.open, s.way, s.free, s.known = i, f.way, f.free, f.known
		}
	}
	return s
}

// knownFrom returns from how many bytes on the beginning of a needle tells it.
func knownFrom(whole int) int { return min(mostShown, (whole+1)/2) }

// followed is how far a text goes as needles do.
type followed struct {
	length int      // of the longest needle that the text begins with, or 0
	of     *Secrets // whose that is
	more   bool     // a longer one begins with it
	way    []byte   // a longer one that all of the text is the beginning of, or none
	free   int      // after the text, no other ends before so many bytes of way
	upto   int      // that many bytes are the beginning of one
	known  int      // from how many bytes on what goes this way is known, see goes
}

// follow compares the beginning of text with all needles.
func (t *needles) follow(text []byte) (f followed) {
	b := &t.root
	for {
		if len(b.ends) > 0 {
			f.length, f.of, f.more = b.to, b.ends[0].of, len(b.next) > 0
		}
		if f.upto == len(text) {
			if len(b.next) > 0 {
				f.goes(b.next[0])
				f.way, f.free = b.next[0].text, b.next[0].to
			}
			return f
		}
		i := bytes.IndexByte(b.first, lower(text[f.upto]))
		if i < 0 {
			return f
		}
		b = b.next[i]
		f.goes(b)
		f.upto += agree(b, text[f.upto:])
		if f.upto < b.to {
			if f.upto == len(text) {
				f.way, f.free = b.text, b.to
			}
			return f
		}
	}
}

// goes notes that the text goes on to b. It is known from where the shortest needle that
// goes the same way is. Once it is that remains so, though only longer ones go on: were it
// known later by a right guess of these than by a wrong one, the guess would be seen.
func (f *followed) goes(b *branch) {
	if f.known == 0 || b.from < f.known {
		f.known = knownFrom(b.least)
	}
}
