package broker

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"mintmark/injector/mcp"
	"mintmark/internal/fault"
)

const (
	openWithin    = 30 * time.Second // for the messages that begin a session
	discoveryMost = 256 << 10        // held for each session
)

// session returns the session that serves c, held or begun. It is begun once
// however many calls wait for it.
func (b *Broker) session(c *call, sender mcp.Sender) (*holding, error) {
	key := holdingKey{agent: workloadOf(c.identity), client: sha256.Sum256(sender.Initialize([]byte("0")))}
	if c.bridged != nil {
		key.session = c.bridged.digest
	}
	if with, ok := c.upstream.injectionFor(""); ok && with != nil {
		key.provider = with.provider
	}
	for {
		h, first, ended, err := c.upstream.held.get(key, b.clock())
		for _, old := range ended {
			b.endSession(c, old)
		}
		if err != nil {
			return nil, err
		}
		if first {
			b.beginSession(c, sender, h)
		}
		select {
		case <-h.ready:
		case <-c.ctx.Done():
			return nil, gone(c.ctx)
		}
		// Whoever called first began it, with their own evidence. Where that
		// ended, the same agent's newer evidence may still serve.
		if h.err == nil || first || fault.KindOf(h.err) != fault.Unauthenticated {
			return h, h.err
		}
	}
}

// gone says why a call's context ended.
func gone(ctx context.Context) error {
	if cause := context.Cause(ctx); isFault(cause) {
		return cause
	}
	return fault.Wrap("forward", fault.Unavailable, "the call was cancelled before the upstream answered", ctx.Err())
}

// beginSession begins h on behalf of c, whether or not c's agent stays: others wait.
func (b *Broker) beginSession(c *call, sender mcp.Sender, h *holding) {
	b.aside(c, openWithin, func(c *call) {
		defer close(h.ready)
		h.err = fault.New("internal", fault.Internal, "") // until it is otherwise, also in a panic
		defer func() {
			if h.err != nil {
				c.upstream.held.drop(h)
			}
		}()
		h.err = b.initialize(c, sender, h)
	})
}

// initialize begins a session as a client does.
func (b *Broker) initialize(c *call, sender mcp.Sender, h *holding) error {
	id := mcp.Quote("mintmark-initialize")
	m, head, err := b.question(c, worded{upstream: c.name, body: sender.Initialize(id)}, id)
	if err != nil {
		return forSession("initialize", err)
	}
	if m.Failure != nil {
		return fault.New("forward", fault.BadUpstream, "the upstream refused to begin a session: "+shorten(m.Failure.Text("message")))
	}
	if h.discovery, err = mcp.Discover(m.Result); err != nil {
		// Not wrapped: to the agent it would be an error of its own protocol, about its own revision.
		return fault.New("forward", fault.BadUpstream, "the upstream began a session that can't be read: "+shorten(err.Error()))
	}
	h.id = strings.Clone(head.Get(mcp.HeaderSession)) // and not the answer's whole head
	if len(h.discovery.Result.JSON()) > discoveryMost || len(h.id) > 1024 || strings.ContainsFunc(h.id, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return fault.New("forward", fault.BadUpstream, "the upstream began a session with a longer description than may be held, or with an id that no header can carry")
	}
	if err := b.tellServer(c, h.words(c, mcp.Initialized())); err != nil {
		return forSession("notifications/initialized", err)
	}
	b.inUse.begins(c, h.id)
	return nil
}

// forSession says which message of the bridge an error is about.
func forSession(method string, err error) error {
	op := "forward"
	if f, ok := errors.AsType[*fault.Error](err); ok {
		op = f.Op
	}
	return fault.Wrap(op, fault.KindOf(err), "this upstream wants a session, and the broker could not begin one for this agent ("+method+"): "+fault.HintOf(err), err)
}

// words returns a message in the session h.
func (h *holding) words(c *call, body []byte) worded {
	return worded{upstream: c.name, body: body, session: h.id, revision: h.discovery.Revision}
}

// endSession ends a session at the upstream, on behalf of a call of the agent it
// was held for: only that call has evidence to do so by. What a slow upstream does
// not come to end it lets expire.
func (b *Broker) endSession(c *call, h *holding) {
	ending := &c.upstream.held.ending
	if ending.Add(1) > sessionsOfAgent {
		ending.Add(-1)
		return
	}
	b.aside(c, openWithin, func(c *call) {
		defer ending.Add(-1)
		b.endHeld(c, h)
	})
}

// endHeld does so, where there is something to end.
func (b *Broker) endHeld(c *call, h *holding) {
	if !h.begun() || h.err != nil || h.id == "" {
		return
	}
	w := h.words(c, nil)
	w.verb = http.MethodDelete
	_ = b.tellServer(c, w) // an upstream that does not end it lets it expire
	b.inUse.ends(c, h.id)
}

// aside does something on behalf of c that goes on when c's agent leaves.
func (b *Broker) aside(c *call, within time.Duration, do func(*call)) {
	c.snap.calls.Add(1) // c's own holds it above zero here
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.ctx), within)
	go func() {
		defer c.snap.calls.Done()
		defer cancel()
		a := c.apart(ctx)
		defer a.end(nil)
		defer b.caught(a)
		do(a)
	}()
}

// apart returns a call with everything of c that a message on its behalf needs,
// and a context of its own.
func (c *call) apart(ctx context.Context) *call {
	a := &call{r: c.r, from: c.from, snap: c.snap, id: c.id, started: c.started, identity: c.identity, trusted: c.trustedAt(), name: c.name, upstream: c.upstream}
	a.ctx, a.end = context.WithCancelCause(ctx)
	return a
}

// question asks what the broker wants to know, and returns the answer to id with
// its head.
func (b *Broker) question(c *call, w worded, id []byte) (mcp.Answer, http.Header, error) {
	f, err := b.fork(c, w)
	if err != nil {
		return mcp.Answer{}, nil, err
	}
	a, err := b.asks(f)
	if err != nil {
		return mcp.Answer{}, nil, err
	}
	for err == nil {
		var m mcp.Answer
		if m, err = a.next(b); err == nil && m.Kind == mcp.Response && isFor(m, id) {
			a.close(b, nil)
			return m, a.resp.Header, nil
		}
	}
	if errors.Is(err, io.EOF) {
		err = unanswered(a.resp.StatusCode)
	}
	a.close(b, err)
	return mcp.Answer{}, nil, err
}

// tellServer says what needs no answer.
func (b *Broker) tellServer(c *call, w worded) error {
	f, err := b.fork(c, w)
	if err != nil {
		return err
	}
	a, err := b.asks(f)
	if err != nil {
		return err
	}
	if a.resp.StatusCode >= http.StatusMultipleChoices {
		err = fault.New("forward", fault.BadUpstream, fmt.Sprintf("the upstream answered %s with HTTP status %d", f.method, a.resp.StatusCode))
	}
	a.close(b, err)
	return err
}
