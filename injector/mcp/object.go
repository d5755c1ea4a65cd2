package mcp

import (
	"bytes"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
)

// Member is one member of a JSON object: its name, unquoted, and its value as
// it stands in the text.
type Member struct {
	Name  string
	Value []byte
}

// Object is a JSON object cut into its members, in their order. Values are
// never encoded anew, so that what is not changed stays as it was, byte for byte.
type Object []Member

// CutObject cuts raw, one JSON object, into its members. It returns an *Error
// for anything else, for a name that stands twice and for broken UTF-8, at any
// depth, and for more members than are checked for that.
func CutObject(raw []byte) (Object, error) {
	if err := CheckWidth(raw); err != nil {
		return nil, err
	}
	dec := jsontext.NewDecoder(bytes.NewBuffer(raw))
	if kind := dec.PeekKind(); kind != '{' && kind != 0 {
		return nil, invalidRequest("expected a JSON object, got %s", kindName(kind))
	}
	if _, err := dec.ReadToken(); err != nil {
		return nil, syntaxError(err)
	}
	var o Object
	for dec.PeekKind() == '"' {
		quoted, err := dec.ReadToken()
		if err != nil {
			return nil, syntaxError(err)
		}
		name := quoted.String()
		value, err := readValue(dec, raw)
		if err != nil {
			return nil, err
		}
		o = append(o, Member{Name: name, Value: value})
	}
	return o, endOf(dec, raw)
}

// maxElements is how many elements an array may have that is cut. One of two bytes takes a dozen times as many here, and each
// entry of a list is judged.
const maxElements = 1 << 16

// CutArray cuts raw, one JSON array, into its elements. It refuses what
// CutObject refuses, and more than maxElements.
func CutArray(raw []byte) ([][]byte, error) {
	if err := CheckWidth(raw); err != nil {
		return nil, err
	}
	dec := jsontext.NewDecoder(bytes.NewBuffer(raw))
	if kind := dec.PeekKind(); kind != '[' && kind != 0 {
		return nil, invalidRequest("expected a JSON array, got %s", kindName(kind))
	}
	if _, err := dec.ReadToken(); err != nil {
		return nil, syntaxError(err)
	}
	elements := [][]byte{}
	for kind := dec.PeekKind(); kind != ']' && kind != 0; kind = dec.PeekKind() {
		if len(elements) == maxElements {
			return nil, invalidRequest("expected at most %d elements in an array that is looked into, got more", maxElements)
		}
		value, err := readValue(dec, raw)
		if err != nil {
			return nil, err
		}
		elements = append(elements, value)
	}
	return elements, endOf(dec, raw)
}

// readValue returns the next value as it stands in raw.
func readValue(dec *jsontext.Decoder, raw []byte) ([]byte, error) {
	v, err := dec.ReadValue()
	if err != nil {
		return nil, syntaxError(err)
	}
	end := int(dec.InputOffset())
	return raw[end-len(v) : end : end], nil
}

// endOf reads the closing bracket, after which nothing may come.
func endOf(dec *jsontext.Decoder, raw []byte) error {
	if _, err := dec.ReadToken(); err != nil {
		return syntaxError(err)
	}
	if rest := bytes.TrimRight(raw[dec.InputOffset():], " \t\r\n"); len(rest) > 0 {
		return parseError("expected the end after the message, got more data at byte %d", dec.InputOffset())
	}
	return nil
}

// Get returns the value of a member as it stands, or nil.
func (o Object) Get(name string) []byte {
	for _, m := range o {
		if m.Name == name {
			return m.Value
		}
	}
	return nil
}

// Text returns the value of a member that is a string, and "" for any other.
func (o Object) Text(name string) string {
	v := o.Get(name)
	if len(v) == 0 || v[0] != '"' {
		return ""
	}
	s, err := jsontext.AppendUnquote(nil, v)
	if err != nil { // it was read already, so this does not happen
		return ""
	}
	return string(s)
}

// With returns o with a member set to value, which is JSON. o stays as it is.
func (o Object) With(name string, value []byte) Object {
	changed := append(Object(nil), o...)
	for i := range changed {
		if changed[i].Name == name {
			changed[i].Value = value
			return changed
		}
	}
	return append(changed, Member{Name: name, Value: value})
}

// Without returns o without the named members. o stays as it is.
func (o Object) Without(names ...string) Object {
	var rest Object
	for _, m := range o {
		if !slices.Contains(names, m.Name) {
			rest = append(rest, m)
		}
	}
	return rest
}

// JSON writes o on one line.
func (o Object) JSON() []byte {
	out := []byte{'{'}
	for i, m := range o {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(append(out, Quote(m.Name)...), ':')
		out = append(out, m.Value...)
	}
	return append(out, '}')
}

// JoinArray writes elements, each JSON, as an array.
func JoinArray(elements [][]byte) []byte {
	return append(append([]byte{'['}, bytes.Join(elements, []byte{','})...), ']')
}

// Quote writes s as a JSON string. Broken UTF-8 in s becomes U+FFFD.
func Quote(s string) []byte {
	quoted, err := jsontext.AppendQuote(nil, s)
	if err != nil {
		quoted, _ = jsontext.AppendQuote(nil, string(bytes.ToValidUTF8([]byte(s), []byte("\uFFFD"))))
	}
	return quoted
}
