package connect

import (
	"github.com/go-json-experiment/json/jsontext"
)

// maxID is the longest id that a message is answered under.
const maxID = 128

// skim finds the id of a request that can't be read whole: one that is too
// long, or refused. It is fed piece by piece, keeps no more than an id, and
// decides nothing but under which id a client hears of its error.
type skim struct {
	level   int
	object  bool // the message is an object
	quoted  bool // inside a string
	escaped bool // after a backslash in it
	name    bool // the next string of the message is a name
	field   string
	token   []byte // string or scalar of the message that is being read

	id             []byte
	ids            int
	method, answer bool
}

// feed takes the next piece of the message.
func (s *skim) feed(piece []byte) {
	for _, c := range piece {
		if s.quoted {
			s.inString(c)
		} else {
			s.between(c)
		}
	}
}

func (s *skim) inString(c byte) {
	s.keep(c)
	switch {
	case s.escaped:
		s.escaped = false
	case c == '\\':
		s.escaped = true
	case c == '"':
		s.quoted = false
		s.stringEnds()
	}
}

func (s *skim) between(c byte) {
	switch c {
	case '"':
		s.quoted, s.token = true, s.token[:0]
		s.keep(c)
	case '{', '[':
		if s.level++; s.level == 1 {
			s.object, s.name = c == '{', true
		}
	case '}', ']':
		s.scalarEnds()
		s.level--
	case ',':
		s.scalarEnds()
		s.name = s.name || s.level == 1
	case ' ', '\t', '\r', '\n', ':':
	default:
		s.keep(c)
	}
}

// keep keeps a byte of a token of the message itself, up to one more than an id
// may have.
func (s *skim) keep(c byte) {
	if s.level == 1 && len(s.token) <= maxID {
		s.token = append(s.token, c)
	}
}

func (s *skim) stringEnds() {
	if s.level != 1 {
		return
	}
	if !s.name {
		s.value()
		return
	}
	s.name, s.field = false, string(s.token)
	switch s.field {
	case `"id"`:
		s.ids++
	case `"method"`:
		s.method = true
	case `"result"`, `"error"`:
		s.answer = true
	}
	s.token = s.token[:0]
}

func (s *skim) scalarEnds() {
	if s.level == 1 && len(s.token) > 0 {
		s.value()
	}
}

func (s *skim) value() {
	if s.field == `"id"` {
		s.id = append([]byte(nil), s.token...)
	}
	s.field, s.token = "", s.token[:0]
}

// request returns the id of what was read when it is a request, and else nil:
// an answer's id is of the server's making, and means another request here.
func (s *skim) request() []byte {
	id := jsontext.Value(s.id)
	if !s.object || !s.method || s.answer || s.ids != 1 || len(id) > maxID || !id.IsValid() {
		return nil
	}
	if kind := id.Kind(); kind != '"' && kind != '0' {
		return nil
	}
	return s.id
}
