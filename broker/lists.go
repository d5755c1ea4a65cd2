package broker

import (
	"bytes"
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"mintmark/injector"
	"mintmark/injector/mcp"
	"mintmark/internal/fault"
)

// filter takes out of an answer's lists what a call could not name, so that what
// an agent is shown is what it may call, by the same decision. Only the answers
// that can hold a list are read: those to a list's question, and a session's own
// stream, on which an answer may come late.
func (b *Broker) filter(c *call, resp *http.Response, scrub *injector.Scrubber) error {
	if c.plain || !c.lists() {
		return nil
	}
	limit := int(b.limits.Answer)
	edit := func(message []byte) ([]byte, error) {
		text := scrub.String(string(message)) // names in it go on record
		if err := unhurried(c.ctx, scrub); err != nil {
			return nil, c.cut(err)
		}
		if err := unfit(scrub); err != nil {
			return nil, err
		}
		return b.shown(c, []byte(text))
	}
	kind := mediaType(resp)
	switch kind {
	case "text/event-stream":
		resp.Body = body{mcp.EditEvents(resp.Body, limit, edit), resp.Body}
		return nil
	case "application/json":
		defer b.streams.add(c)()
		err := filterWhole(resp, limit, edit)
		if cause := context.Cause(c.ctx); err != nil && isFault(cause) { // it was cut meanwhile
			return cause
		}
		return err
	}
	if resp.StatusCode >= http.StatusMultipleChoices || resp.ContentLength == 0 || resp.StatusCode == http.StatusAccepted {
		return nil // no client reads a list there
	}
	return unreadable(errors.New("a list of another type than application/json or text/event-stream"))
}

// shown returns a message of the upstream of c with its lists as c's agent may see
// them.
func (b *Broker) shown(c *call, message []byte) ([]byte, error) {
	digests, err := b.observe(c, message)
	if err != nil {
		return nil, err
	}
	return mcp.FilterLists(message, func(e mcp.Entry) bool { return b.callable(c, e, digests[e.Name]) })
}

// lists reports whether the answer to c can hold a list.
func (c *call) lists() bool {
	return mcp.Lists(c.method) || c.method == "stream" || slices.ContainsFunc(c.batch, func(e *entry) bool { return e.lists() })
}

// oneReading refuses an answer whose header lets clients read other messages in it
// than are read here: some look for their media types anywhere in it, and some
// decode a stream by the charset that it states.
func oneReading(h http.Header) error {
	values := h["Content-Type"]
	if len(values) == 1 && (values[0] == "application/json" || values[0] == "text/event-stream") {
		return nil
	}
	text := strings.ToLower(strings.Join(values, ", "))
	if !strings.Contains(text, "application/json") && !strings.Contains(text, "text/event-stream") {
		return nil
	}
	kind, params, err := mime.ParseMediaType(text)
	charset, stated := params["charset"]
	if len(values) == 1 && (err == nil || errors.Is(err, mime.ErrInvalidMediaParameter)) &&
		(kind == "application/json" || kind == "text/event-stream") &&
		(!stated || slices.Contains([]string{"utf-8", "utf8", "us-ascii", "iso-8859-1"}, charset)) {
		return nil
	}
	return fault.New("forward", fault.BadUpstream, "expected an answer of type application/json or text/event-stream in UTF-8, got one whose type clients may read in another way")
}

// own returns what holds an answer that can hold no list to answering c alone: the
// answer to another call could be one.
func (c *call) own(resp *http.Response) *mcp.Own {
	if c.verb != http.MethodPost || c.plain || c.lists() {
		return nil
	}
	kind := mediaType(resp)
	if c.batch == nil {
		return mcp.NewOwn(kind, c.asks()...)
	}
	var ids [][]byte
	for _, e := range c.batch {
		ids = append(ids, e.asks()...)
	}
	return mcp.NewOwn(kind, ids...)
}

// asks returns the id of a request, and nothing for any other message.
func (c *call) asks() [][]byte {
	if c.msg.Kind != mcp.Request {
		return nil
	}
	return [][]byte{c.msg.ID}
}

// filterWhole edits an answer that is one JSON text.
func filterWhole(resp *http.Response, limit int, edit func([]byte) ([]byte, error)) error {
	content, err := io.ReadAll(io.LimitReader(resp.Body, int64(limit)+1))
	if isFault(err) {
		return err
	}
	if err != nil {
		return unreadable(err)
	}
	if len(content) > limit {
		return fault.New("answer", fault.BadUpstream, "the upstream's answer is larger than limits.answer, and only a whole one can be read")
	}
	if len(bytes.TrimSpace(content)) > 0 {
		content, err = edit(content)
		if isFault(err) {
			return err
		}
		if err != nil {
			return unreadable(err)
		}
	}
	resp.Body = body{bytes.NewReader(content), resp.Body}
	resp.Header.Set("Content-Length", strconv.Itoa(len(content)))
	return nil
}

// unreadable is the refusal of an answer whose lists can't be read one way.
func unreadable(err error) error {
	return fault.Wrap("answer", fault.BadUpstream, "the upstream's answer can't be read in one way only, so what it lists is not shown", err)
}

// body is an answer's body that is read through something else.
type body struct {
	io.Reader
	io.Closer
}

// callable reports whether this agent could make the call that e stands for, by
// reading and judging such a call. A template is judged by its own text, as the
// resource it stands for. digest is that of a tool's definition.
func (b *Broker) callable(c *call, e mcp.Entry, digest string) bool {
	m, err := b.reader.Read(e.Call())
	if err != nil {
		return false
	}
	target := targetOf(&m)
	with, ok := c.upstream.injectionFor(target.Name)
	return ok && c.ask(b.clock(), m.Method, target, with).Allow && b.pinned(c, &m, digest) == nil
}
