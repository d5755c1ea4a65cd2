package injector

import (
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// spelling appends what s writes for the character after what introduced it, or
// nothing where s can't write it.
func (f *form) spelling(b []byte, p place, s step) []byte {
	if fixed := fixedSpelling(s); fixed != "" {
		return append(b, fixed...)
	}
	r := f.char(p)
	if s == asByte || s == asPercent || s == asEquals {
		return f.byteSpelling(b, p, r, s)
	}
	if r < 0 {
		return b
	}
	switch high, low := utf16.EncodeRune(r); {
	case s == asLow:
		return hexDigits(append(b, 'u'), low, 4)
	case s == asUnicode && r > 0xffff:
		return hexDigits(append(b, 'u'), high, 4)
	case s == asUnicode:
		return hexDigits(append(b, 'u'), r, 4)
	case s == asLatin && utf8.RuneSelf <= r && r <= 0xff:
		return hexDigits(append(b, 'x'), r, 2)
	case s == asShort:
		return short(b, r, p.read)
	case s == asDecimal:
		return append(strconv.AppendInt(b, int64(r), 10), ';')
	case s == asHex:
		return append(strconv.AppendInt(b, int64(r), 16), ';')
	case s == asName:
		return append(b, name(r)...)
	case s == asOther && p.want == own:
		return append(b, otherName(r, f.text[p.pos:])...)
	}
	return b
}

// fixedSpelling returns a spelling that only leads on to another escape.
func fixedSpelling(s step) string {
	switch s {
	case bsAmp:
		return "u0026"
	case bsPercent:
		return "u0025"
	case bsEquals:
		return "u003d"
	case bsBs:
		return "u005c"
	case bsByte:
		return "x5c"
	case pctPct:
		return "25"
	case pctBs:
		return "5c"
	case eqEq:
		return "3d"
	case ampAmp:
		return "amp;"
	}
	return ""
}

// byteSpelling appends one byte of the character in hex.
func (f *form) byteSpelling(b []byte, p place, r rune, s step) []byte {
	if p.want == own {
		r = rune(f.text[p.pos])
	}
	if s == asByte {
		b = append(b, 'x')
	}
	return hexDigits(b, r, 2)
}

func hexDigits(b []byte, r rune, n int) []byte {
	for shift := 4 * (n - 1); shift >= 0; shift -= 4 {
		b = append(b, "0123456789abcdef"[r>>shift&15])
	}
	return b
}

// short appends what follows the backslashes before r. A backslash is written
// by one, two, four, eight or sixteen, and nothing between: what is left of a
// run keeps its meaning.
func short(b []byte, r rune, run uint8) []byte {
	switch r {
	case '\n':
		return append(b, 'n')
	case '\r':
		return append(b, 'r')
	case '\t':
		return append(b, 't')
	case '\b':
		return append(b, 'b')
	case '\f':
		return append(b, 'f')
	case '\\':
		if run != 1 && run != 3 && run != 7 && run != 15 {
			return b
		}
	}
	if r <= ' ' || r >= utf8.RuneSelf || isAlphanumeric(byte(r)) {
		return b
	}
	return append(b, byte(r))
}
