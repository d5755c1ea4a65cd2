package http1

import "bytes"

// lines are the first lines of the head that came last on a connection. Most of them
// come again in the next one: a client's evidence, what it accepts. What came before,
// in the same place and the same to a byte, is neither copied nor read a second time.
type lines struct {
	start  string
	fields []field
}

// field is a line with a header.
type field struct{ text, name, value string }

// mostLines is how many lines are remembered, which is more than most heads have, and
// mostText how long they may be in all: what is remembered is kept while nothing is said.
const (
	mostLines = 32
	mostText  = 8 << 10
)

// begin takes the first line of a head, and returns it and the others.
func (l *lines) begin(head []byte) (start string, rest []byte) {
	first, rest, _ := bytes.Cut(head, []byte("\r\n"))
	if string(first) != l.start {
		l.start = string(first)
	}
	return l.start, rest
}

// field reads a line with a header, of which i came before it in its head.
func (l *lines) field(i int, text []byte) (name, value string, err error) {
	if i < len(l.fields) && l.fields[i].text == string(text) {
		return l.fields[i].name, l.fields[i].value, nil
	}
	f := field{text: string(text)}
	if f.name, f.value, err = parseLine(f.text); err != nil {
		return "", "", err
	}
	switch {
	case i < len(l.fields):
		l.fields[i] = f
	case i < mostLines:
		l.fields = append(l.fields, f)
	}
	return f.name, f.value, nil
}

// end is called when the head had n lines with headers. What is remembered is of this one
// head: a client must not have a long line of each of many kept.
func (l *lines) end(n int) {
	if n < len(l.fields) {
		clear(l.fields[n:])
		l.fields = l.fields[:n]
	}
	length := len(l.start)
	for i := range l.fields {
		length += len(l.fields[i].text)
	}
	if length > mostText {
		*l = lines{}
	}
}
