package mcp

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Own holds an answer, piece by piece as it passes, to what was asked: it answers
// the requests of these ids and no other. Clients take an answer for the one that
// they wait for by its id alone, wherever it comes, so that a list could come where
// nobody reads it. An error may answer any: it lists nothing, and some servers have
// an id for those that are nobody's. Nothing is held back. It belongs to one answer
// and is not safe for concurrent use.
type Own struct {
	ids    []string // as idText has them
	stream *lines   // nil: the answer is one JSON text
	scan   messageScan

	one  [1]string // room for what most answers need
	room [48]byte
}

// NewOwn returns an Own for an answer of a media type to the requests with these
// ids, and nil for a type that holds no message.
func NewOwn(mediaType string, ids ...[]byte) *Own {
	o := new(Own)
	o.scan.kept = o.room[:0]
	switch mediaType {
	case "application/json":
	case "text/event-stream":
		o.stream = &lines{}
	default:
		return nil
	}
	o.ids = o.one[:0]
	for _, id := range ids {
		o.ids = append(o.ids, idText(id))
	}
	return o
}

// Next looks at the next piece. After an error, which is an *Error, the piece must
// not pass: without it no client can read the message that is not its own. A nil
// Own takes everything.
func (o *Own) Next(piece []byte) error {
	if o == nil {
		return nil
	}
	for i := 0; i < len(piece); i++ {
		if i += o.plain(piece[i:]); i == len(piece) {
			break
		}
		if o.stream != nil {
			data, ended := o.stream.next(piece[i])
			if ended {
				o.scan = messageScan{kept: o.scan.kept[:0]}
			}
			if !data {
				continue
			}
		}
		if err := o.scan.next(piece[i], o.ids); err != nil {
			return err
		}
	}
	return nil
}

// plain returns how many bytes of piece change nothing: what stands within a result,
// of which answers are mostly made.
func (o *Own) plain(piece []byte) int {
	s := &o.scan
	switch {
	case s.escaped || s.depth <= s.message || o.stream != nil && !o.stream.first:
		return 0
	case s.text:
		return textual(piece)
	}
	for i, c := range piece {
		switch c {
		case '"', '{', '}', '[', ']', '\r', '\n':
			return i
		}
	}
	return len(piece)
}

// textual returns how many bytes piece begins with that neither end a string, nor
// escape anything, nor are control characters.
func textual(piece []byte) int {
	i := 0
	for ; i+8 <= len(piece); i += 8 {
		w := binary.LittleEndian.Uint64(piece[i : i+8 : i+8])
		quote, slash := w^'"'*ones, w^'\\'*ones
		// The high bit of the first such byte, and of none before it.
		if is := ((w-' '*ones)&^w | (quote-ones)&^quote | (slash-ones)&^slash) & highs; is != 0 {
			return i + bits.TrailingZeros64(is)/8
		}
	}
	for ; i < len(piece); i++ {
		if c := piece[i]; c < ' ' || c == '"' || c == '\\' {
			break
		}
	}
	return i
}

// lines tells which bytes of a stream of events are the data of one.
type lines struct {
	name  []byte // of the field, until its colon, as far as it could be "data"
	value bool   // the colon was read
	first bool   // a byte of the value was read, which is data
	bytes int    // in this line
	colon int    // how many, to the colon
	cr    bool   // the last line ended in \r: a \n that follows belongs to it
	begun bool   // the first line was read, before which a byte order mark may stand
}

// next takes a byte. It returns whether it is data, or ends a line of data, and
// whether it ends the event.
func (l *lines) next(c byte) (data, ended bool) {
	after := l.cr
	l.cr = c == '\r'
	switch {
	case c == '\n' && after:
		return false, false
	case c == '\n' || c == '\r':
		data, ended = l.isData(), l.bytes == 0
		*l = lines{cr: l.cr, begun: true, name: l.name[:0]}
		return data, ended
	}
	l.bytes++
	if l.value {
		space := c == ' ' && l.bytes == l.colon+1
		l.first = l.isData()
		return l.first && !space, false
	}
	switch l.value = c == ':'; {
	case l.value:
		l.colon = l.bytes
	case len(l.name) < 16:
		l.name = append(l.name, c)
	}
	return false, false
}

func (l *lines) isData() bool {
	name := l.name
	if !l.begun {
		name = bytes.TrimPrefix(name, []byte("\uFEFF"))
	}
	return string(name) == "data"
}

// messageScan follows one JSON text, a message or a batch, as far as tells whether
// what it answers is asked. It is no parser: what is no JSON no client reads.
type messageScan struct {
	depth   int    // of objects and arrays
	message int    // the depth within a message: 1, and 2 in a batch
	kept    []byte // of a name or a scalar value of the message
	text    bool
	escaped bool
	value   bool // of a member of the message, where not its name
	isID    bool // the member is its id

	answers, other bool // the message has a result; it has the id of another
}

// longestKept is longer than any id with each of its characters escaped.
const longestKept = 6*maxIDLength + 2

func (s *messageScan) next(c byte, ids []string) error {
	inMessage := s.depth > 0 && s.depth == s.message
	if inMessage && (s.text || !strings.ContainsRune(`{}[]:, `+"\t\r\n", rune(c))) && len(s.kept) <= longestKept {
		s.kept = append(s.kept, c)
	}
	switch {
	case s.text && c < ' ':
		return invalidRequest("expected an answer in JSON, got a control character in a string of it")
	case s.escaped:
		s.escaped = false
	case s.text:
		s.escaped, s.text = c == '\\', c != '"'
	case c == '"':
		s.text = true
	case c == '{' || c == '[':
		s.open(c)
	case c == ':' && inMessage:
		return s.named()
	case c == ',' && inMessage:
		s.member(ids)
	case c == '}' || c == ']':
		return s.close(inMessage, ids)
	}
	return nil
}

func (s *messageScan) open(c byte) {
	switch s.depth++; {
	case s.depth == 1 && c == '{':
		s.message = 1
	case s.depth == 1:
		s.message = 2
	}
	if s.depth == s.message {
		s.kept, s.value, s.answers, s.other = s.kept[:0], false, false, false
	}
}

// named takes the name of a member, which ended.
func (s *messageScan) named() error {
	if s.value {
		return nil // no JSON
	}
	var buf [32]byte
	name, err := jsontext.AppendUnquote(buf[:0], s.kept)
	if err != nil && len(s.kept) <= longestKept {
		return syntaxError(err)
	}
	// Some clients fold case.
	s.isID = bytes.EqualFold(name, []byte("id"))
	s.answers = s.answers || bytes.EqualFold(name, []byte("result"))
	s.value, s.kept = true, s.kept[:0]
	return nil
}

// member takes a member, which ended.
func (s *messageScan) member(ids []string) {
	if s.value && s.isID {
		s.other = s.other || !isOneOf(ids, s.kept)
	}
	s.value, s.kept = false, s.kept[:0]
}

func (s *messageScan) close(inMessage bool, ids []string) error {
	if s.depth = max(s.depth-1, 0); !inMessage {
		return nil
	}
	s.member(ids)
	if s.answers && s.other {
		return invalidRequest("expected an answer to the request that was sent, got one to another")
	}
	return nil
}

// isOneOf reports whether id is one of ids, which are as idText has them.
func isOneOf(ids []string, id []byte) bool {
	if len(id) > 0 && id[0] == '"' {
		return slices.Contains(ids, idText(id))
	}
	for _, one := range ids {
		if one == string(id) {
			return true
		}
	}
	return false
}
