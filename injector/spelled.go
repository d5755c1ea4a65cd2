package injector

import (
	"encoding/hex"
	"strings"
	"unicode"
	"unicode/utf8"
)

// spelled is a name as it stands in a form, and whatever follows it. It is read
// no further than it may still be the one that is looked for, so that a body
// costs its length however many names there are in it, and there is no length
// beyond which a name is not looked at.
type spelled struct {
	text []byte
	at   int
	part bool // in a form of parts, not in one like a query
}

// isMethod reports whether some server reads the name as "_method", as
// parameter has it.
func (s *spelled) isMethod() bool {
	r := s.next()
	for s.isBlank(r) {
		r = s.next()
	}
	if r != '_' && r != '.' {
		return false
	}
	for _, letter := range "method" {
		if r = s.next(); r != letter && r != unicode.ToUpper(letter) {
			return false
		}
	}
	return s.isEnd(s.next())
}

func (s *spelled) isBlank(r rune) bool { return r == ' ' || s.part && unicode.IsSpace(r) }

// isEnd reports whether a name ends before r. In a header that is wherever some
// server ends it: at a blank that others read as a part of it, or with the line
// though a quote is open.
func (s *spelled) isEnd(r rune) bool {
	if s.part {
		return r < 0 || unicode.IsSpace(r) || strings.ContainsRune("\x00[;\"'", r)
	}
	return r < 0 || strings.ContainsRune("\x00[&;=", r)
}

// next returns the next character, and a negative one after the last.
func (s *spelled) next() rune {
	c, after, ok := s.byteAt(s.at)
	if !ok {
		return -1
	}
	s.at = after
	if c < utf8.RuneSelf {
		return rune(c)
	}
	b := append(make([]byte, 0, utf8.UTFMax), c)
	for ok && !utf8.FullRune(b) {
		if c, after, ok = s.byteAt(after); ok {
			b = append(b, c)
		}
	}
	r, size := utf8.DecodeRune(b)
	if size > 1 {
		s.at = after
	}
	return r
}

// byteAt returns the byte that is written at i, and where the one after it is.
// It reads as lenient servers do: what is no escape stands for itself.
func (s *spelled) byteAt(i int) (c byte, after int, ok bool) {
	for s.part && i < len(s.text) && s.text[i] == '\\' {
		i++
	}
	if i == len(s.text) {
		return 0, i, false
	}
	switch c = s.text[i]; {
	case c == '+':
		return ' ', i + 1, true
	case c == '%' && i+2 < len(s.text):
		var value [1]byte
		if _, err := hex.Decode(value[:], s.text[i+1:i+3]); err == nil {
			return value[0], i + 3, true
		}
	}
	return c, i + 1, true
}
