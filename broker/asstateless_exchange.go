package broker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"golang.org/x/time/rate"

	"mintmark/injector/mcp"
	"mintmark/internal/fault"
)

// cancelWithin is how long the broker tries to tell an upstream that nobody
// waits any more.
const cancelWithin = 5 * time.Second

// An upstream may ask its client so often in one conversation: at once, and then
// as a server does that looks whether its client is alive.
const (
	asksAtOnce = 32
	asksEvery  = 5 * time.Second
)

// conversation is one request in a session, from its POST to its answer. It
// takes more than one call of the agent when the upstream asks for input.
type conversation struct {
	held   *holding
	id     []byte // of the request, as the upstream has it
	answer *answered

	asks    *rate.Limiter // of the upstream: each takes a message of its own, with its records
	lacking string        // a capability of clients that the upstream asked for in vain, or ""
	unlink  func() bool   // from the agent's call that it serves now
}

// converse makes the agent's request in its session, or goes on with one that the
// agent's input is for. Where the upstream no longer knows the session, it did not
// take the request, which is made once more in a new one.
func (b *Broker) converse(c *call, sender mcp.Sender) (source, error) {
	if sender.State != "" {
		return b.resume(c, sender)
	}
	for again := false; ; again = true {
		h, err := b.session(c, sender)
		if err != nil {
			return source{}, err
		}
		b.level(c, h, sender)
		v, err := b.open(c, h)
		if err == nil {
			return inTurn(v, c, sender), nil
		}
		if !errors.Is(err, errSession) {
			return source{}, err
		}
		c.upstream.held.drop(h)
		if again {
			return source{}, fault.New("forward", fault.BadUpstream, "the upstream does not know the session that it began a moment ago")
		}
		b.recordRefusal(c, refusalOf(err))
		c.recorded = false
	}
}

// open makes the request. Where that fails, c takes over what is to be said of
// it.
func (b *Broker) open(c *call, h *holding) (*conversation, error) {
	v := &conversation{held: h, id: c.upstream.held.claim(h, c.msg.ID, b.clock()), asks: rate.NewLimiter(rate.Every(asksEvery), asksAtOnce)}
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
			v.cancel(b, context.Cause(c.ctx)) // it may have got the request
		}
		f.end(nil)
		c.upstream.held.release(h, v.id, !f.recorded, b.clock())
		c.snap.calls.Done()
		return nil, err
	}
	v.answer = b.reading(f, resp, scrub)
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

// adopt takes over what became of a message that made c's own call. c has the same
// injection already, and whoever judges c meanwhile reads that.
func (c *call) adopt(f *call) {
	c.decision, c.credential, c.cached = f.decision, f.credential, f.cached
	c.stripped, c.recorded, c.scrub, c.hits, c.hitsOfOthers = f.stripped, f.recorded, f.scrub, f.hits, f.hitsOfOthers
}

// link makes the conversation end when the agent's call c does.
func (v *conversation) link(c *call) {
	f := v.answer.call
	v.unlink = context.AfterFunc(c.ctx, func() { f.end(context.Cause(c.ctx)) })
}

// turn is one call's part in a conversation: up to the answer, or up to a question
// to its agent, which answers that call.
type turn struct {
	*conversation
	by     *call
	sender mcp.Sender

	done   bool   // the upstream has answered
	parked string // what the conversation waits under, and is no longer this call's; or ""
}

// inTurn returns the part of a call by c in v. It is not streamed, so that an answer
// by itself keeps its HTTP status.
func inTurn(v *conversation, c *call, sender mcp.Sender) source {
	return source{talk: &turn{conversation: v, by: c, sender: sender}, sent: v.answer.call}
}

func (t *turn) next(b *Broker) (said, error) {
	for {
		m, err := t.answer.next(b)
		if errors.Is(err, io.EOF) {
			err = unanswered(t.answer.resp.StatusCode)
		}
		if err != nil {
			return said{}, err
		}
		switch m.Kind {
		case mcp.None:
			return said{}, nil
		case mcp.Notification:
			if message := t.sender.Passing(m); message != nil {
				return saying(message, http.StatusOK)
			}
		case mcp.Request:
			if asked, err := b.asked(t, m); asked.Kind != mcp.None || err != nil {
				return asked, err
			}
		case mcp.Response:
			if isFor(m, t.id) {
				t.done = true
				return t.last(m)
			}
		}
	}
}

// last is the answer m as the stateless revision has it.
func (t *turn) last(m mcp.Answer) (said, error) {
	id := t.by.msg.ID
	if m.Failure != nil && t.lacking != "" {
		return saying(m.Lacking(id, t.lacking), http.StatusBadRequest)
	}
	message, status, err := m.Complete(t.by.method, id)
	if err != nil {
		return said{}, masked(t.answer.call.ctx, unreadable(err), t.answer.scrub)
	}
	return saying(message, status)
}

// saying reads what the broker itself worded.
func saying(message []byte, status int) (said, error) {
	m, err := mcp.ReadAnswer(message)
	if err != nil {
		err = unreadable(err)
	}
	return said{m, status}, err
}

// close ends this call's part, and the conversation with it unless that waits.
func (t *turn) close(b *Broker, written int64, err error) {
	// Once it waits it may be another call's, until it is taken back.
	if t.parked == "" || err != nil && b.parking.take(t.parked) != nil {
		t.answer.written = written
		t.end(b, err, t.done)
	}
	b.ownOutcome(t.by, written, err)
}

// ownOutcome puts on record how a call ended that was admitted by itself.
func (b *Broker) ownOutcome(c *call, written int64, err error) {
	status := http.StatusOK
	if err != nil {
		status = refusalOf(err).Status
	}
	if c.recorded {
		b.outcome(c, status, written, err)
	}
}

// end ends the exchange with the upstream and puts on record how. An upstream
// that has not answered is told that nobody waits: in its revision a connection
// that ends does not say so.
func (v *conversation) end(b *Broker, err error, done bool) {
	f := v.answer.call
	v.unlink()
	f.end(nil)
	b.streams.remove(f)
	_ = v.answer.resp.Body.Close()
	if !done {
		v.cancel(b, err)
	}
	b.outcome(f, v.answer.resp.StatusCode, v.answer.written, err)
	f.upstream.held.release(v.held, v.id, done, b.clock())
	f.snap.calls.Done()
}

// cancel tells the upstream that nobody waits for its answer. Meanwhile the call
// keeps its slot, so that agents who leave can't have any number of these under
// way. Only a list does not wait: it has taken its time by then.
func (v *conversation) cancel(b *Broker, why error) {
	within := cancelWithin
	if b.draining.Load() {
		within = time.Second
	}
	f := v.answer.call
	tell := func(a *call) {
		_ = b.tellServer(a, v.held.words(a, mcp.Cancelled(v.id, "nobody waits for the answer any more"))) // how that went is on record
	}
	if errors.Is(why, errListTime) {
		b.aside(f, within, tell)
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(f.ctx), within)
	defer cancel()
	a := f.apart(ctx)
	defer a.end(nil)
	tell(a)
}

// level has the upstream send the log messages that a request wants, where it has
// any. It sends them to the whole session, and each request gets its own. A call
// without its log is still the call, so how that went is on record only.
func (b *Broker) level(c *call, h *holding, sender mcp.Sender) {
	if !h.discovery.Logs || sender.LogLevel == "" {
		return
	}
	within, cancel := context.WithTimeout(c.ctx, openWithin) // a server may never answer
	defer cancel()
	select {
	case h.leveling <- struct{}{}:
		defer func() { <-h.leveling }()
	case <-within.Done():
		return
	}
	if !mcp.Louder(sender.LogLevel, h.level) {
		return
	}
	a := c.apart(within)
	defer a.end(nil)
	id := mcp.Quote(fmt.Sprintf("mintmark-level-%s", sender.LogLevel))
	m, _, err := b.question(a, h.words(a, mcp.SetLevel(id, sender.LogLevel)), id)
	if err == nil && m.Failure == nil {
		h.level = sender.LogLevel
	}
}
