package injector

import "unicode/utf8"

// place is where the reading of one form has come to. All ways to read what
// came are followed at the same time, so nothing is ever read twice.
type place struct {
	pos  uint32 // the next byte of the form's text
	form uint8
	at   step
	want wanted
	read uint8 // how much of a spelling was read, or how many backslashes
}

// wanted is what a character, however it is spelled, is read as.
type wanted uint8

const (
	own      wanted = iota // the next character of the text
	carriage               // a line break's \r
	feed                   // a line break's \n
)

// step is a point in the reading of one character.
type step uint8

// Between characters.
const (
	rest        step = iota
	softBreak        // after the = of a soft line break (RFC 2045, 6.7)
	afterCR          // within a line break
	afterLF          // after a line break
	backslash        // after backslashes, however many: JSON may be within JSON
	percent          // after %
	equals           // after =
	ampersand        // after &
	decimal          // after &# and zeros
	hexadecimal      // after &#x and zeros
	highHalf         // after the first half of a surrogate pair
	lowHalf          // after that and backslashes

	// Within a spelling. The spellings that may follow one point stand together.
	asUnicode // \u002f
	asLatin   // \xe9
	asByte    // \x2f
	asShort   // \/ \" \n
	bsAmp     // \u0026, and with that what follows &
	bsPercent // \u0025
	bsEquals  // \u003d
	bsBs      // \u005c, escaped twice
	bsByte    // \x5c, as some logs have it
	asPercent // %2F
	pctPct    // %25, encoded twice
	pctBs     // %5C, JSON in a URL
	asEquals  // =2F
	eqEq      // =3D
	asName    // &quot;
	asOther   // &lsqb; which is &lbrack; too
	ampAmp    // &amp; escaped twice
	asDecimal // &#47;
	asHex     // &#x2F;
	asLow     // \ude00
)

// from collects the ways on from p. It is the one description of what is looked
// for: the filter is made from it too.
func (f *form) from(p place, e *edges) {
	switch {
	case int(p.pos) == len(f.text):
		return
	case p.at <= afterLF:
		f.next(p, e)
		return
	case p.at >= asUnicode:
		f.spell(p, p.at, e)
		return
	}
	first, last := spellingsAfter(p.at)
	for s := first; s <= last; s++ {
		f.spell(p, s, e)
	}
	f.repeat(p, e)
}

// takes reports whether c may be on one of the ways on from p. It is asked of
// every byte, and says no at once to most.
func (f *form) takes(p place, c byte) bool {
	switch own := f.text[p.pos]; p.at {
	case rest:
		switch c {
		case '\\', '%', '=', '&', '\r', '\n':
			return true
		}
		return c == own || c == f.twin(own)
	case backslash: // most often the end of a string within another
		return c != '"' || own == '"'
	}
	return true
}

// next collects the ways from between two characters: the next one, or in its
// place a line break.
func (f *form) next(p place, e *edges) {
	c := f.text[p.pos]
	if p.at != softBreak {
		e.add(c, f.after(p, 1))
		if t := f.twin(c); t != c {
			e.add(t, f.after(p, 1))
		}
		if f.escapes(c) {
			introduce(p, own, e)
		}
	}
	if p.pos == 0 {
		return
	}
	open := p.at == softBreak || p.at == rest && f.breaks()
	if open || p.at == rest && c == '\n' { // mail ends every line in \r\n
		breakBy(p, carriage, '\r', e)
	}
	if open || p.at == afterCR && c != '\n' {
		breakBy(p, feed, '\n', e)
	}
	if p.at == rest && c != '\n' {
		e.add('=', place{pos: p.pos, form: p.form, at: softBreak})
	}
	if p.at == afterLF && f.breaks() { // indented
		e.add(' ', p)
		e.add('\t', p)
	}
}

// breakBy collects the ways in which half of a line break may be written.
func breakBy(p place, w wanted, c byte, e *edges) {
	e.add(c, broken(p, w))
	introduce(p, w, e)
}

// introduce collects what begins an escape of the wanted character.
func introduce(p place, w wanted, e *edges) {
	to := func(at step) place { return place{pos: p.pos, form: p.form, at: at, want: w} }
	bs := to(backslash)
	bs.read = 1
	e.add('\\', bs)
	e.add('%', to(percent))
	e.add('=', to(equals))
	e.add('&', to(ampersand))
}

// spellingsAfter returns the first and the last spelling that may follow a
// point within an escape.
func spellingsAfter(at step) (first, last step) {
	switch at {
	case backslash:
		return asUnicode, bsByte
	case percent:
		return asPercent, pctBs
	case equals:
		return asEquals, eqEq
	case ampersand:
		return asName, ampAmp
	case decimal:
		return asDecimal, asDecimal
	case hexadecimal:
		return asHex, asHex
	case lowHalf:
		return asLow, asLow
	}
	return 1, 0 // none
}

// maxRun is where the counting of backslashes ends.
const maxRun = 16

// repeat collects the ways that stay within an escape or go on to another: more
// backslashes, leading zeros, and JSON that was escaped for URLs or HTML.
func (f *form) repeat(p place, e *edges) {
	to := func(at step) place { return place{pos: p.pos, form: p.form, at: at, want: p.want} }
	switch p.at {
	case backslash:
		more := p
		if f.char(p) == '\\' {
			more.read = min(p.read+1, maxRun)
		}
		e.add('\\', more)
		e.add('%', to(percent))
		e.add('&', to(ampersand))
	case ampersand:
		e.add('#', to(decimal))
	case decimal:
		e.add('0', to(decimal))
		e.fold('x', to(hexadecimal))
	case hexadecimal:
		e.add('0', to(hexadecimal))
	case highHalf, lowHalf:
		e.add('\\', to(lowHalf))
	}
}

// spell collects the next byte of one spelling, if the character has that.
func (f *form) spell(p place, s step, e *edges) {
	var buf [16]byte
	text, read := f.spelling(buf[:0], p, s), 0
	if p.at == s {
		read = int(p.read)
	}
	if read >= len(text) {
		return
	}
	to := p
	to.at, to.read = s, uint8(read+1)
	if read+1 == len(text) {
		to = f.land(p, s)
	}
	e.fold(text[read], to)
}

// land returns the place after a whole spelling.
func (f *form) land(p place, s step) place {
	to := place{pos: p.pos, form: p.form, want: p.want}
	switch s {
	case bsAmp, ampAmp:
		to.at = ampersand
	case bsPercent, pctPct:
		to.at = percent
	case bsEquals, eqEq:
		to.at = equals
	case pctBs, bsBs, bsByte:
		to.at, to.read = backslash, 1
	case asByte, asPercent, asEquals:
		return f.after(p, 1)
	case asOther:
		if f.text[p.pos] == 'f' {
			return f.after(p, len("fj"))
		}
		return f.after(p, 1)
	default:
		r := f.char(p)
		if s == asUnicode && r > 0xffff {
			to.at = highHalf
			return to
		}
		return f.after(p, max(1, utf8.RuneLen(r)))
	}
	return to
}

// after returns the place after a character that takes n bytes of the text, or
// after half of a line break.
func (f *form) after(p place, n int) place {
	if p.want != own {
		return broken(p, p.want)
	}
	return place{pos: p.pos + uint32(n), form: p.form} //nolint:gosec // n is at most 4
}

func broken(p place, w wanted) place {
	at := afterLF
	if w == carriage {
		at = afterCR
	}
	return place{pos: p.pos, form: p.form, at: at}
}

// char returns the character that is being read, or -1 for a byte that is none.
func (f *form) char(p place) rune {
	switch p.want {
	case carriage:
		return '\r'
	case feed:
		return '\n'
	}
	r, n := utf8.DecodeRune(f.text[p.pos:])
	if r == utf8.RuneError && n == 1 {
		return -1
	}
	return r
}
