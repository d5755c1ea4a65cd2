package connect

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"mintmark/injector/mcp"
)

// maxAnswer is the longest message of a server that is carried.
const maxAnswer = 64 << 20

// answer carries the answer to a call. An error is what the client gets in its
// place, unless it came all the same.
func (b *bridge) answer(c *call, resp *http.Response) error {
	if isStream(resp) {
		return b.stream(c, resp)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil // the call says that its answer is not whole
	case len(body) > maxAnswer:
		return refusef(http.StatusBadGateway, "the server's answer is longer than %d MiB", maxAnswer>>20)
	case resp.StatusCode == http.StatusNotFound && c.session.lasts() && !isUnknownMethod(body):
		return b.lost(c.session, saidIn(resp.StatusCode, body))
	}
	if err := b.carry(c, resp.StatusCode, body); err != nil {
		return err
	}
	if c.done() {
		return nil
	}
	return unexplained(resp.StatusCode)
}

func isStream(resp *http.Response) bool {
	kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	return err == nil && kind == "text/event-stream" && resp.StatusCode < http.StatusMultipleChoices
}

// isUnknownMethod reports whether a 404 is the one that says that the server
// has no such method, and not that it has no such session.
func isUnknownMethod(body []byte) bool {
	const methodNotFound = -32601
	var e struct {
		Error struct {
			Code int `json:"code"`
		} `json:"error"`
	}
	err := json.Unmarshal(body, &e, jsontext.AllowDuplicateNames(true))
	return err == nil && e.Error.Code == methodNotFound
}

// wordsOf returns what an answer with an error status says.
func wordsOf(resp *http.Response) *refusal {
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return unexplained(resp.StatusCode)
	}
	return saidIn(resp.StatusCode, body)
}

func saidIn(status int, body []byte) *refusal {
	e, err := openEnvelope(body)
	if err != nil || e.Error == nil {
		return unexplained(status)
	}
	return said(status, e.Error)
}

// carry gives the client the messages in data, each on its line. Where c is not
// nil they are of its answer, and an error that is under no id is about it.
func (b *bridge) carry(c *call, status int, data []byte) error {
	messages, err := split(data)
	for _, m := range messages {
		var e envelope
		if e, err = openEnvelope(m); err != nil {
			break
		}
		if m, err = oneLine(m); err != nil {
			break
		}
		switch {
		case !e.isAnswer():
			b.out.line(m)
		case e.Error != nil && keyOf(e.ID) == "" && c != nil:
			return said(status, e.Error)
		default:
			b.settle(&e, m)
		}
	}
	if err != nil {
		b.logger.WarnContext(b.running, "the server sent what is no message", slog.Int("bytes", len(data)))
	}
	return nil
}

// settle gives the client the answer to a call. An answer that nobody waits for
// is dropped: the call was cancelled, or has one.
func (b *bridge) settle(e *envelope, text []byte) {
	c := b.calls.find(e.ID)
	if c == nil || !c.claim() {
		b.logger.DebugContext(b.running, "dropped an answer that nobody waits for")
		return
	}
	defer close(c.over)
	if e.Result != nil {
		b.learn(c, e.Result)
	}
	b.out.line(text)
}

// learn takes from a result what later requests have to say.
func (b *bridge) learn(c *call, result jsontext.Value) {
	switch {
	case c.initializes():
		var agreed struct {
			Version string `json:"protocolVersion"`
		}
		_ = json.Unmarshal(result, &agreed, jsontext.AllowDuplicateNames(true)) // none is none
		if mcp.HeaderValue(agreed.Version) == agreed.Version {
			c.session.version = agreed.Version
		}
		b.begin(c.session)
	case c.msg.Method == "tools/list" && c.stateless():
		b.params.learn(result)
	}
}

// stream carries an answer that comes in pieces. Where the server numbers them,
// and the connection breaks, the rest is asked for.
func (b *bridge) stream(c *call, resp *http.Response) error {
	var at position
	err := b.relay(c, resp, &at)
	if err != nil || c.done() || c.stateless() || at.id == "" {
		return err
	}
	return b.resume(c, &at)
}

// resumeTries is how often in a row the rest of an answer is asked for in vain.
const resumeTries = 5

// resume asks for the rest of an answer until it is whole. A server that sets
// the time of the next try closes connections on purpose, and may do so for as
// long as the call takes.
func (b *bridge) resume(c *call, at *position) error {
	var w backoff
	var last error
	for tries := 0; tries < resumeTries; tries++ {
		if !pause(c.ctx, w.next(at.retry)) {
			return context.Cause(c.ctx)
		}
		before := *at
		at.retry = 0
		if last = b.rest(c, at); errors.Is(last, errFinal) || c.done() {
			return last
		}
		if at.id != before.id || at.retry > 0 {
			tries, w = -1, backoff{}
		}
	}
	return last
}

// errFinal marks an error that trying again does not mend.
var errFinal = errors.New("final")

// rest makes one try to get the rest of an answer.
func (b *bridge) rest(c *call, at *position) error {
	resp, err := b.get(c.ctx, c.session, at.id)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	switch {
	case isStream(resp):
		return b.relay(c, resp, at)
	case resp.StatusCode == http.StatusNotFound && c.session.lasts():
		return errors.Join(errFinal, b.lost(c.session, wordsOf(resp)))
	case isFinal(resp.StatusCode):
		return errors.Join(errFinal, wordsOf(resp))
	}
	return wordsOf(resp)
}

// isFinal reports whether a status does not change by itself.
func isFinal(status int) bool {
	return status < http.StatusInternalServerError && status != http.StatusTooManyRequests && status != http.StatusRequestTimeout
}

// get asks for a stream of the server's, from where it broke off.
func (b *bridge) get(ctx context.Context, s *session, last string) (*http.Response, error) {
	h := http.Header{"Accept": {"text/event-stream"}}
	s.setHeaders(h)
	if last != "" {
		h[mcp.HeaderLastEvent] = []string{last}
	}
	return b.link.send(ctx, http.MethodGet, nil, h, func() {})
}

// linger is how long a stream may stay open after the answer it was for.
const linger = 2 * time.Second

// relay carries the events of a stream until it ends, and keeps in at where it
// broke off. An error says that the server refused the call.
func (b *bridge) relay(c *call, resp *http.Response, at *position) error {
	events := newEvents(resp.Body, maxAnswer)
	for {
		e, err := events.next()
		if err != nil {
			b.logger.DebugContext(b.running, "a stream ended", errAttr(err))
			return nil
		}
		at.take(&e)
		if len(e.data) == 0 || e.name != "" && e.name != "message" {
			continue
		}
		if err := b.carry(c, resp.StatusCode, e.data); err != nil {
			return err
		}
		if c != nil && c.done() {
			end := c.end
			defer time.AfterFunc(linger, func() { end(nil) }).Stop()
			c = nil // what follows is about no call
		}
	}
}
