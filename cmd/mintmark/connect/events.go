package connect

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"strconv"
	"time"

	"mintmark/injector/mcp"
)

// event is one server-sent event.
type event struct {
	name  string
	data  []byte
	id    string
	hasID bool
	retry time.Duration // until the next connection; 0: not said
}

// events reads server-sent events (WHATWG HTML, "Server-sent events"). What is
// not ended by an empty line is no event.
type events struct {
	r     *bufio.Reader
	limit int // of what is held of one event
}

var errLongEvent = errors.New("an event is longer than what is carried")

func newEvents(r io.Reader, limit int) *events {
	buffered := bufio.NewReader(r)
	if mark, _ := buffered.Peek(3); bytes.Equal(mark, []byte("\ufeff")) {
		_, _ = buffered.Discard(len(mark)) // they are there
	}
	return &events{r: buffered, limit: limit}
}

// next returns the next event. Without one the event is zero.
func (s *events) next() (event, error) {
	var e event
	var data [][]byte
	for room := s.limit; ; {
		text, err := s.line(room)
		if err != nil {
			return event{}, err
		}
		room -= len(text)
		if len(text) == 0 {
			e.data = bytes.Join(data, []byte("\n"))
			return e, nil
		}
		name, value, _ := bytes.Cut(text, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		if string(name) == "data" {
			data = append(data, value)
		} else {
			e.set(string(name), string(value))
		}
	}
}

// set sets a field that is not data. Unknown ones, and comments, say nothing.
func (e *event) set(name, value string) {
	switch name {
	case "event":
		e.name = value
	case "id":
		if mcp.HeaderValue(value) == value { // one that no request could repeat is none
			e.id, e.hasID = value, true
		}
	case "retry":
		if ms, err := strconv.ParseUint(value, 10, 31); err == nil {
			e.retry = time.Duration(ms) * time.Millisecond
		}
	}
}

// line reads a line of at most limit bytes, in memory of its own.
func (s *events) line(limit int) ([]byte, error) {
	var text []byte
	for {
		part, err := s.r.ReadSlice('\n')
		if len(text)+len(part) > limit+2 {
			return nil, errLongEvent
		}
		text = append(text, part...)
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil {
			return nil, err
		}
		return bytes.TrimSuffix(text[:len(text)-1], []byte("\r")), nil
	}
}

// position is where a stream broke off.
type position struct {
	id     string        // of the last event
	retry  time.Duration // as the server last said; 0: it did not
	events int           // that came so far
}

func (p *position) take(e *event) {
	p.events++
	if e.hasID {
		p.id = e.id
	}
	if e.retry > 0 {
		p.retry = e.retry
	}
}

// backoff says how long to wait before the next try: at first as long as was
// told, then ever longer.
type backoff struct{ last time.Duration }

func (w *backoff) next(told time.Duration) time.Duration {
	const first, longest = 250 * time.Millisecond, time.Minute
	if w.last == 0 && told > 0 {
		w.last = max(told, first/2) // whoever says less would have this spin
		return w.last
	}
	w.last = min(max(2*w.last, first), max(longest, told))
	return w.last + rand.N(w.last/2) //nolint:gosec // it spreads clients, it hides nothing
}
