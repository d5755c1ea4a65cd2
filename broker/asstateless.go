package broker

import (
	"bytes"
	"context"
	"net/http"

	"mintmark/injector/mcp"
	"mintmark/internal/fault"
)

// asStateless serves an agent that speaks the stateless revision on an upstream
// with sessions, by being its client there: in a session that the broker holds
// for this agent alone. The call itself is judged first, and each message to the
// upstream is judged, leased and recorded besides.
func (b *Broker) asStateless(c *call) error {
	if err := crosses(c); err != nil {
		return err
	}
	if c.msg.Kind == mcp.Notification {
		return b.notedStateless(c)
	}
	sender, err := mcp.SenderOf(&c.msg)
	if err != nil {
		return err
	}
	if err := b.decide(c); err != nil {
		return err
	}
	defer b.streams.add(c)()
	switch {
	case c.method == "server/discover":
		return b.discovered(c, sender)
	case sender.State != "":
		return b.resume(c, sender)
	}
	return b.converse(c, sender)
}

// crosses refuses what can't keep its meaning between the eras.
func crosses(c *call) error {
	why := "an upstream with sessions has nothing that means the same"
	switch c.method {
	case "server/discover", "tools/list", "tools/call", "prompts/list", "prompts/get",
		"resources/list", "resources/templates/list", "resources/read", "completion/complete":
		if c.msg.Kind == mcp.Request {
			return nil
		}
	case "notifications/cancelled":
		return nil
	case "subscriptions/listen":
		why = "an upstream with sessions tells of changes on a stream that outlives calls; ask for the list again instead"
	}
	return fault.Wrap("forward", fault.Invalid, "", &mcp.Error{
		Code: mcp.CodeMethodNotFound, Status: http.StatusNotFound,
		Message: "this upstream speaks MCP revisions with sessions, and the bridge to it does not carry " + c.method + ": " + why,
	})
}

// notedStateless takes notifications/cancelled, which says again what the agent says by
// closing the stream of its request: that one is passed on. An id alone would not
// do, since it does not say which of the agent's processes it is of.
func (b *Broker) notedStateless(c *call) error {
	if err := b.decide(c); err != nil {
		return err
	}
	if err := b.recordOwn(c); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusAccepted)
	b.outcome(c, http.StatusAccepted, 0, 0, nil)
	return nil
}

// discovered answers server/discover from what the upstream said when the
// agent's session began.
func (b *Broker) discovered(c *call, sender mcp.Sender) error {
	h, err := b.session(c, sender)
	if err != nil {
		return err
	}
	if err := b.recordOwn(c); err != nil {
		return err
	}
	to := b.teller(c)
	err = to.whole(mcp.Reply(c.msg.ID, h.discovery.Result.JSON()), http.StatusOK)
	b.concludeStateless(c, to, err)
	return nil
}

// recordOwn puts on record that a call was allowed which opens no credential
// itself: it is answered from what is held, or goes on in what an earlier call
// began.
func (b *Broker) recordOwn(c *call) error {
	rec := c.decisionRecord()
	rec.Allow = true
	_, err := b.log.Append(c.ctx, rec)
	c.recorded = err == nil
	return err
}

// concludeStateless ends the agent's side of a call that was allowed: an error before its
// answer began is the answer, and one after that cuts it.
func (b *Broker) concludeStateless(c *call, to *teller, err error) {
	err = to.cut(err)
	status := to.status
	if err != nil && status == 0 {
		r := refusalOf(err)
		status = r.Status
		r.write(c)
	}
	if c.recorded {
		b.outcome(c, status, to.out.written, 0, err)
	}
	if err != nil && to.status != 0 {
		panic(http.ErrAbortHandler) // the only way to show an agent that its answer is not whole
	}
}

// teller gives an agent the answer to one stateless request: one JSON text, or a
// stream of events once something comes before the answer.
type teller struct {
	out    relay
	status int // 0: nothing was written
}

func (b *Broker) teller(c *call) *teller {
	return &teller{out: relay{call: c, control: http.NewResponseController(c.w), clock: b.clock}}
}

// whole gives the final answer.
func (t *teller) whole(message []byte, status int) error {
	defer t.out.within() // the server writes the last of the answer after this returns
	if t.out.stream {
		return t.event(message)
	}
	if err := t.out.call.stillAllowed(t.out.clock()); err != nil {
		return err
	}
	h := t.out.call.w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	t.status = status
	t.out.call.w.WriteHeader(status)
	return t.out.write(message)
}

// event gives one message of a stream.
func (t *teller) event(message []byte) error {
	if err := t.out.call.stillAllowed(t.out.clock()); err != nil {
		return err
	}
	if !t.out.stream {
		h := t.out.call.w.Header()
		h.Set("Content-Type", "text/event-stream")
		h.Set("Cache-Control", "no-store")
		h.Set("X-Accel-Buffering", "no")
		t.out.stream, t.status = true, http.StatusOK
		t.out.call.w.WriteHeader(http.StatusOK)
	}
	lines := bytes.ReplaceAll(bytes.ReplaceAll(message, []byte("\r"), []byte(" ")), []byte("\n"), []byte("\ndata: "))
	return t.out.write(append(append([]byte("event: message\ndata: "), lines...), "\n\n"...))
}

// cut says why the answer could not be given whole.
func (t *teller) cut(err error) error {
	c := t.out.call
	switch {
	case err == nil:
		return nil
	case isFault(context.Cause(c.ctx)):
		return context.Cause(c.ctx)
	case t.status != 0 || c.r.Context().Err() != nil:
		return c.cut(err)
	}
	return err
}
