package connect

import (
	"context"
	"net/http"

	"mintmark/injector/mcp"
)

// batched is the one revision that has batches.
const batched = "2025-03-26"

// takeBatch sends a batch on in one POST, as it is. Each of its requests is a call
// that is answered by itself: the client may get its answers in any order, and in
// batches or not (JSON-RPC 2.0, section 6).
func (b *bridge) takeBatch(ctx context.Context, in *input, text []byte) {
	ms, err := b.reader.ReadBatch(text)
	if err != nil {
		b.refuseLine(ctx, new(skim), err)
		return
	}
	s := b.session.Load()
	if s == nil || s.version != batched {
		b.refuseBatch(ctx, ms, &mcp.Error{Code: mcp.CodeInvalidRequest, Status: http.StatusBadRequest,
			Message: "expected one JSON-RPC message, got a batch (an array), which only a session of revision " + batched + " has; send each message on a line of its own"})
		return
	}
	c := b.newBatch(text, ms, s)
	switch {
	case len(c.batch) == 0:
		c.end(nil)
		b.arrive(ctx, in, c.msg, s)
		b.noticed(ms, s)
	case !b.addBatch(c):
		c.end(nil)
		b.refuseBatch(ctx, ms, tooMany())
	default:
		b.calls.group.Go(func() { b.runBatch(c) })
		b.calls.group.Go(func() {
			select {
			case <-c.sent:
				b.noticed(ms, s)
			case <-b.running.Done():
			}
		})
	}
}

// newBatch returns the call that carries a batch, with one for each request in it.
func (b *bridge) newBatch(text []byte, ms []mcp.Message, s *session) *call {
	c := &call{msg: mcp.Message{Method: "batch", Raw: text}, session: s, sent: make(chan struct{}), over: make(chan struct{})}
	c.ctx, c.end = context.WithCancelCause(b.running)
	for _, m := range ms {
		if m.Kind != mcp.Request {
			continue
		}
		one := &call{msg: m, key: keyOf(m.ID), session: s, sent: c.sent, over: make(chan struct{}), carrier: c}
		one.ctx, one.end = context.WithCancelCause(c.ctx)
		c.batch = append(c.batch, one)
	}
	return c
}

// addBatch takes in all requests of a batch, or none when there are too many.
func (b *bridge) addBatch(c *call) bool {
	for i, one := range c.batch {
		if !b.calls.add(one) {
			for _, before := range c.batch[:i] {
				b.calls.remove(before)
			}
			return false
		}
	}
	return true
}

// runBatch sees a batch through: each of its requests is answered, or cancelled.
func (b *bridge) runBatch(c *call) {
	defer c.end(nil)
	defer c.onItsWay()
	err := b.exchange(c)
	for _, one := range c.batch {
		b.conclude(one, err)
	}
}

// noticed does what the notifications in a batch mean here, once it is on its way.
func (b *bridge) noticed(ms []mcp.Message, s *session) {
	for _, m := range ms {
		switch m.Method {
		case "notifications/initialized":
			b.listenTo(s)
		case "notifications/cancelled":
			if c := b.calls.find(cancelledID(m.Raw)); c != nil && !c.initializes() {
				c.callOff()
			}
		}
	}
}

// refuseBatch answers each request of a batch that can't be sent.
func (b *bridge) refuseBatch(ctx context.Context, ms []mcp.Message, err error) {
	b.logger.WarnContext(ctx, "a batch was not sent", errAttr(err))
	asked := false
	for _, m := range ms {
		if m.Kind == mcp.Request {
			asked = true
			b.out.refuse(m.ID, err)
		}
	}
	if !asked && ms[0].Kind != mcp.Response {
		b.out.refuse(nil, err)
	}
}
