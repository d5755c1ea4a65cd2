package broker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"mintmark/injector/mcp"
	"mintmark/internal/fault"
)

// cancelWithin is how long the broker tries to tell an upstream that nobody
// waits any more.
const cancelWithin = 5 * time.Second

// conversation is one request in a session, from its POST to its answer. It
// takes more than one call of the agent when the upstream asks for input.
type conversation struct {
	held   *holding
	id     []byte // of the request, as the upstream has it
	answer *answered

	lacking string // a capability of clients that the upstream asked for in vain, or ""
	written int64
	unlink  func() bool // from the agent's call that it serves now
	unwatch func()
}

// converse makes the agent's request in its session and relays what comes. Where
// the upstream no longer knows the session, it did not take the request, which
// is made once more in a new one.
func (b *Broker) converse(c *call, sender mcp.Sender) error {
	for again := false; ; again = true {
		h, err := b.session(c, sender)
		if err != nil {
			return err
		}
		b.level(c, h, sender)
		v, err := b.open(c, h)
		if err == nil {
			return b.carryStateless(c, sender, v)
		}
		if !errors.Is(err, errSession) {
			return err
		}
		c.upstream.held.drop(h)
		if again {
			return fault.New("forward", fault.BadUpstream, "the upstream does not know the session that it began a moment ago")
		}
		b.recordRefusal(c, refusalOf(err))
		c.recorded = false
	}
}

// open makes the request. Where that fails, c takes over what is to be said of
// it.
func (b *Broker) open(c *call, h *holding) (*conversation, error) {
	v := &conversation{held: h, id: c.upstream.held.claim(h, c.msg.ID, b.clock())}
	f, err := b.inSession(c, v)
	if err != nil {
		c.upstream.held.release(h, v.id, true, b.clock())
		return nil, err
	}
	c.snap.calls.Add(1) // c's own holds it above zero here
	v.answer = &answered{call: f}
	v.link(c)
	resp, scrub, err := b.exchange(f) //nolint:bodyclose // whoever reads the answer closes it
	if err != nil {
		c.adopt(f)
		v.unlink()
		if f.recorded && c.ctx.Err() != nil {
			v.cancel(b, "the agent left") // it may have got the request
		}
		f.end(nil)
		c.upstream.held.release(h, v.id, !f.recorded, b.clock())
		c.snap.calls.Done()
		return nil, err
	}
	v.answer = b.reading(f, resp, scrub)
	v.unwatch = b.streams.add(f)
	return v, nil
}

// inSession words c's request for its session, and holds the result to what was
// judged.
func (b *Broker) inSession(c *call, v *conversation) (*call, error) {
	body, err := mcp.ToSessions(&c.msg, v.id)
	if err != nil {
		return nil, err
	}
	f, err := b.fork(c.apart(context.WithoutCancel(c.ctx)), v.held.words(c, body))
	if err != nil {
		return nil, err
	}
	if !mcp.SameCall(&c.msg, &f.msg) || f.msg.Version != "" {
		f.end(nil)
		return nil, fault.New("receive", fault.Internal, "")
	}
	return f, nil
}

// adopt takes over what became of a message that made c's own call.
func (c *call) adopt(f *call) {
	c.injection, c.decision, c.credential, c.cached = f.injection, f.decision, f.credential, f.cached
	c.stripped, c.recorded = f.stripped, f.recorded
}

// link makes the conversation end when the agent's call c does.
func (v *conversation) link(c *call) {
	f := v.answer.call
	v.unlink = context.AfterFunc(c.ctx, func() { f.end(context.Cause(c.ctx)) })
}

// progress is how far a message of the upstream brought the agent's call.
type progress uint8

const (
	goingOn  progress = iota
	complete          // the upstream has answered
	parked            // the agent was asked for input; the conversation is no longer the call's
)

// carryStateless relays what the upstream says to the agent's call c, until the answer or
// a question to the agent, which are answers to c.
func (b *Broker) carryStateless(c *call, sender mcp.Sender, v *conversation) error {
	to := b.teller(c)
	before := v.written
	for {
		far := goingOn
		m, err := v.answer.next(b)
		if errors.Is(err, io.EOF) {
			err = unanswered(v.answer.resp.StatusCode)
		}
		if err == nil {
			far, err = b.relayStateless(c, sender, v, to, m)
		}
		if far == goingOn && err == nil {
			continue
		}
		err = to.cut(err)
		if far != parked {
			v.written = before + to.out.written
			v.end(b, err, far == complete)
		}
		b.concludeStateless(c, to, err)
		return nil
	}
}

// relayStateless gives the agent one message of the upstream, or answers it in the agent's
// place.
func (b *Broker) relayStateless(c *call, sender mcp.Sender, v *conversation, to *teller, m mcp.Answer) (progress, error) {
	switch m.Kind {
	case mcp.Notification:
		if message := sender.Passing(m); message != nil {
			return goingOn, to.event(message)
		}
	case mcp.Request:
		return b.asked(c, sender, v, to, m)
	case mcp.Response:
		if v.answer.isFor(m, v.id) {
			return complete, b.final(c, v, to, m)
		}
	}
	return goingOn, nil
}

// final gives the agent the answer, with no entry in its lists that a call could
// not name.
func (b *Broker) final(c *call, v *conversation, to *teller, m mcp.Answer) error {
	if m.Failure != nil && v.lacking != "" {
		return to.whole(m.Lacking(c.msg.ID, v.lacking), http.StatusBadRequest)
	}
	message, status, err := m.Complete(c.method, c.msg.ID)
	if err == nil && mcp.Lists(c.method) {
		if message, err = b.shown(c, message); err == nil {
			message, err = mcp.FilterLists(message, func(e mcp.Entry) bool { return !e.NeedsTask() })
		}
	}
	if err != nil {
		return masked(unreadable(err), v.answer.scrub)
	}
	return to.whole(message, status)
}

// end ends the exchange with the upstream and puts on record how. An upstream
// that has not answered is told that nobody waits: in its revision a connection
// that ends does not say so.
func (v *conversation) end(b *Broker, err error, done bool) {
	f := v.answer.call
	v.unlink()
	f.end(nil)
	v.unwatch()
	_ = v.answer.resp.Body.Close()
	if !done {
		v.cancel(b, "the client left, or may wait no longer")
	}
	b.outcome(f, v.answer.resp.StatusCode, v.written, v.answer.scrub.Hits(), err)
	f.upstream.held.release(v.held, v.id, done, b.clock())
	f.snap.calls.Done()
}

// cancel tells the upstream that nobody waits for its answer.
func (v *conversation) cancel(b *Broker, reason string) {
	within := cancelWithin
	if b.draining.Load() {
		within = time.Second
	}
	f := v.answer.call
	ctx, cancel := context.WithTimeout(context.WithoutCancel(f.ctx), within)
	defer cancel()
	a := f.apart(ctx)
	defer a.end(nil)
	_ = b.tellServer(a, v.held.words(a, mcp.Cancelled(v.id, reason))) // how that went is on record
}

// level has the upstream send the log messages that a request wants, where it has
// any. It sends them to the whole session, and each request gets its own. A call
// without its log is still the call, so how that went is on record only.
func (b *Broker) level(c *call, h *holding, sender mcp.Sender) {
	if !h.discovery.Logs || sender.LogLevel == "" {
		return
	}
	h.leveling.Lock()
	defer h.leveling.Unlock()
	if !mcp.Louder(sender.LogLevel, h.level) {
		return
	}
	id := mcp.Quote(fmt.Sprintf("mintmark-level-%s", sender.LogLevel))
	m, _, err := b.question(c, h.words(c, mcp.SetLevel(id, sender.LogLevel)), id)
	if err == nil && m.Failure == nil {
		h.level = sender.LogLevel
	}
}
