package mcp

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"
)

// value skips one value and returns its bytes as they stand in the body.
func (p *parser) value() ([]byte, error) {
	v, err := p.dec.ReadValue()
	if err != nil {
		return nil, syntaxError(err)
	}
	begin, end := p.gaps.origin(int(p.dec.InputOffset())-len(v)), p.at()
	return p.body[begin:end:end], nil
}

// at returns where in the body the decoder is.
func (p *parser) at() int { return p.gaps.origin(int(p.dec.InputOffset())) }

// text reads a string of at most limit bytes.
func (p *parser) text(limit int) (string, error) {
	where := p.dec.StackPointer
	if kind := p.dec.PeekKind(); kind != '"' && kind != 0 {
		return "", invalidRequest("expected %q to be a string, got %s", where(), kindName(kind))
	}
	quoted, err := p.value()
	if err != nil {
		return "", err
	}
	s := unquote(quoted)
	if len(s) > limit {
		return "", invalidRequest("expected %q to be at most %d bytes long, got %d", where(), limit, len(s))
	}
	return s, nil
}

// unquote returns what a JSON string says, which the decoder has validated. The
// words that nearly every message has cost no copy.
func unquote(quoted []byte) string {
	text := quoted[1 : len(quoted)-1]
	if bytes.IndexByte(text, '\\') >= 0 {
		text, _ = jsontext.AppendUnquote(nil, quoted)
	}
	switch string(text) {
	case "2.0":
		return "2.0"
	case "tools/call":
		return "tools/call"
	case Stateless:
		return Stateless
	}
	return string(text)
}

// textOrSkip reads a string where one may be meant for us; a member of the
// same name and another type, in a method we read no target from, passes.
func (p *parser) textOrSkip(limit int) (string, error) {
	if p.dec.PeekKind() == '"' {
		return p.text(limit)
	}
	_, err := p.value()
	return "", err
}

func (p *parser) objectOrSkip(known []string, member func(string) error) error {
	if p.dec.PeekKind() == '{' {
		return p.object(known, member)
	}
	_, err := p.value()
	return err
}

// id reads a request id: a string, or an integer that every JSON reader holds
// exactly.
func (p *parser) id() ([]byte, error) {
	kind := p.dec.PeekKind()
	v, err := p.value()
	if err != nil {
		return nil, err
	}
	switch {
	case len(v) > maxIDLength:
		return nil, invalidRequest(`expected "id" to be at most %d bytes long, got %d`, maxIDLength, len(v))
	case kind == '"', kind == '0' && exactInteger(v):
		return v, nil
	}
	return nil, invalidRequest(`expected "id" to be a string or an integer between -(2^53-1) and 2^53-1, got %s`, kindName(kind))
}

func exactInteger(v []byte) bool {
	digits := bytes.TrimPrefix(v, []byte("-"))
	if len(digits) > 16 || (len(digits) == 1 && digits[0] == '0' && len(v) == 2) { // -0 reads as 0 or as -0
		return false
	}
	var n uint64
	for _, c := range digits {
		if c < '0' || c > '9' {
			return false
		}
		n = n*10 + uint64(c-'0')
	}
	return n <= 1<<53-1
}
