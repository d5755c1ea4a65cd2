package mcp

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// Event is one server-sent event (WHATWG HTML, section 9.2), or a comment
// between two. Its lines end in \n whatever they ended in, so that what was read
// is what is sent.
type Event struct {
	Text []byte // its lines, with the empty one that ends it
	Data []byte // its data lines joined by \n; nil when it has none
}

// WithData returns the event's text with data in place of its own.
func (e Event) WithData(data []byte) []byte {
	var out []byte
	written := false
	for line := range bytes.Lines(e.Text) {
		if name, _ := field(bytes.TrimSuffix(line, []byte{'\n'})); name != "data" {
			out = append(out, line...)
			continue
		}
		if written {
			continue
		}
		written = true
		for part := range bytes.SplitSeq(data, []byte{'\n'}) {
			out = append(append(append(out, "data: "...), part...), '\n')
		}
	}
	return out
}

// errLong is an event that is larger than its reader may hold.
var errLong = errors.New("event too large")

// Events reads a stream of server-sent events, each whole. It is not safe for
// concurrent use.
type Events struct {
	in    *bufio.Reader
	limit int
	begun bool // a byte order mark can only come first
	cr    bool // the last line ended in \r: a \n that follows belongs to it
}

// NewEvents returns the events of r. One with more than limit bytes is an error.
func NewEvents(r io.Reader, limit int) *Events {
	return &Events{in: bufio.NewReaderSize(r, 4<<10), limit: limit}
}

// Next returns the next event, as soon as its last byte is there. A comment that
// stands before an event is returned by itself, since servers keep connections
// alive by them. The error is io.EOF at the end of the stream; an event that the
// end cuts short is none.
func (e *Events) Next() (Event, error) {
	var event Event
	for {
		line, err := e.line(e.limit - len(event.Text))
		if err != nil {
			return Event{}, err
		}
		fresh := len(event.Text) == 0
		event.Text = append(append(event.Text, line...), '\n')
		name, value := field(line)
		switch {
		case len(line) == 0, fresh && line[0] == ':':
			return event, nil
		case name == "data" && event.Data == nil:
			event.Data = append([]byte{}, value...)
		case name == "data":
			event.Data = append(append(event.Data, '\n'), value...)
		}
	}
}

// line reads one line of at most limit bytes, without its end.
func (e *Events) line(limit int) ([]byte, error) {
	var line []byte
	for {
		c, err := e.in.ReadByte()
		if err != nil {
			return nil, err
		}
		after := e.cr
		e.cr = false
		switch c {
		case '\r':
			e.cr = true
			return e.unmarked(line), nil
		case '\n':
			if after {
				continue
			}
			return e.unmarked(line), nil
		}
		if len(line) >= limit {
			return nil, fmt.Errorf("%w: expected at most %d bytes", errLong, e.limit)
		}
		line = append(line, c)
	}
}

// unmarked takes the byte order mark off the first line.
func (e *Events) unmarked(line []byte) []byte {
	if !e.begun {
		line = bytes.TrimPrefix(line, []byte("\uFEFF"))
	}
	e.begun = true
	return line
}

// field cuts a line into the name and the value of its field.
func field(line []byte) (name string, value []byte) {
	n, value, _ := bytes.Cut(line, []byte{':'})
	return string(n), bytes.TrimPrefix(value, []byte{' '})
}

// edited is a stream of events whose messages are edited on their way.
type edited struct {
	events *Events
	edit   func(message []byte) ([]byte, error)
	ready  []byte
}

// EditEvents returns the events of r with the message in each replaced by what
// edit returns for it. An error of edit ends the stream. Each Read returns what
// there is of one event.
func EditEvents(r io.Reader, limit int, edit func(message []byte) ([]byte, error)) io.Reader {
	return &edited{events: NewEvents(r, limit), edit: edit}
}

// Read implements io.Reader.
func (e *edited) Read(p []byte) (int, error) {
	if len(e.ready) == 0 {
		if err := e.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, e.ready)
	e.ready = e.ready[n:]
	return n, nil
}

func (e *edited) next() error {
	event, err := e.events.Next()
	if err != nil {
		return err
	}
	e.ready = event.Text
	if len(bytes.TrimSpace(event.Data)) == 0 { // no message: an id to resume by
		return nil
	}
	message, err := e.edit(event.Data)
	if err != nil {
		return err
	}
	if !bytes.Equal(message, event.Data) {
		e.ready = event.WithData(message)
	}
	return nil
}

// Messages reads the JSON-RPC messages of one answer: the one of a JSON body,
// or those of a stream of events. It is not safe for concurrent use.
type Messages struct {
	events *Events
	whole  io.Reader // a JSON body, nil once it was read
	limit  int
}

// NewMessages returns the messages of a body of the given media type, each of at
// most limit bytes. It returns nil for a type that holds none.
func NewMessages(mediaType string, body io.Reader, limit int) *Messages {
	switch mediaType {
	case "application/json":
		return &Messages{whole: body, limit: limit}
	case "text/event-stream":
		return &Messages{events: NewEvents(body, limit), limit: limit}
	}
	return nil
}

// Next returns the next message as it came, and io.EOF after the last. What a
// stream has beside messages, as to show that it is alive, is an empty message.
func (m *Messages) Next() ([]byte, error) {
	if m.events != nil {
		event, err := m.events.Next()
		for err == nil && len(bytes.TrimSpace(event.Text)) == 0 { // the line after what was one already
			event, err = m.events.Next()
		}
		return bytes.TrimSpace(event.Data), err
	}
	if m.whole == nil {
		return nil, io.EOF
	}
	content, err := io.ReadAll(io.LimitReader(m.whole, int64(m.limit)+1))
	m.whole = nil
	switch {
	case err != nil:
		return nil, err
	case len(content) > m.limit:
		return nil, fmt.Errorf("%w: expected at most %d bytes", errLong, m.limit)
	case len(bytes.TrimSpace(content)) == 0:
		return nil, io.EOF
	}
	return content, nil
}
