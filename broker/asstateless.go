package broker

import (
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
		return b.orWithheld(c, err)
	}
	if c.msg.Kind == mcp.Notification {
		// It says again what the agent says by closing the stream of its request:
		// that one is passed on. An id alone would not do, since it does not say
		// which of the agent's processes it is of.
		if err := b.decide(c); err != nil {
			return err
		}
		return b.local(c, http.StatusAccepted, nil)
	}
	sender, err := mcp.SenderOf(&c.msg)
	if err != nil {
		return b.orWithheld(c, err)
	}
	if err := b.decide(c); err != nil {
		return err
	}
	if c.method == "server/discover" {
		return b.discovered(c, sender)
	}
	defer b.streams.add(c)()
	source, err := b.converse(c, sender)
	if err != nil {
		return err
	}
	r := newReply(c)
	if err := b.retold(r, source); err != nil {
		r.fail(err)
	}
	return nil
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

// discovered answers server/discover from what the upstream said when the
// agent's session began.
func (b *Broker) discovered(c *call, sender mcp.Sender) error {
	h, err := b.session(c, sender)
	if err != nil {
		return err
	}
	return b.local(c, http.StatusOK, mcp.Reply(c.msg.ID, h.discovery.Result.JSON()))
}
