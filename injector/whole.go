package injector

import "strings"

// String returns text with every secret masked; it is for headers.
func (s *Scrubber) String(text string) string { return s.whole(text, false) }

// ErrorText returns that of an error with every secret masked, and what it quotes
// of the beginning of one: libraries quote as much as they have read. It is for the log
// alone: an agent that saw how much of what it had its upstream say is masked would learn
// from that how a secret goes on.
func (s *Scrubber) ErrorText(text string) string { return s.whole(text, true) }

func (s *Scrubber) whole(text string, beginnings bool) string {
	s.catchUp()
	defer s.keepPace(s.began(), len(text))
	out := text
	for m := range s.searches() {
		out = overlaid(text, out, m.masked(text, beginnings))
	}
	return s.beside.text(s, text, out, beginnings)
}

// masked returns text with the secrets of this search masked, and with beginnings also
// what is the beginning of one. It counts what that costs to what the stream may cost.
func (s *search) masked(text string, beginnings bool) string {
	if s.spent {
		return strings.Repeat(string(mask), len(text))
	}
	if s.matcher == nil || !beginnings && s.matcher.clean.has(text) {
		return text
	}
	b := []byte(text)
	s.aside += int64(len(b))
	if s.matcher.skip(b, 0) == len(b) {
		return text
	}
	whole := search{matcher: s.matcher, aside: s.at + s.aside - int64(len(b))}
	if beginnings {
		whole.across = &across{quoted: true}
	}
	whole.ways.seen = s.ways.seen
	whole.through(b)
	whole.finish()
	s.hits += whole.hits
	s.ways.seen = whole.ways.seen
	s.looks.join(whole.looks)
	switch {
	case whole.spent:
		s.spent = true
		return strings.Repeat(string(mask), len(text))
	case whole.hits == 0:
		if !beginnings {
			s.matcher.clean.add(text)
		}
		return text
	}
	for _, f := range whole.found {
		blank(b, int(f.from), int(f.to))
	}
	return string(b)
}

// overlaid returns text with all that is masked in one or the other.
func overlaid(text, one, other string) string {
	switch {
	case other == text:
		return one
	case one == text:
		return other
	}
	var b strings.Builder
	for i := range len(text) {
		if other[i] == mask {
			b.WriteByte(mask)
		} else {
			b.WriteByte(one[i])
		}
	}
	return b.String()
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
