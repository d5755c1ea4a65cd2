package broker

import (
	"net/http"

	"mintmark/injector/mcp"
	"mintmark/internal/fault"
)

// asSession serves an agent that speaks the revisions with sessions on an
// upstream that is stateless. What a session needs beyond single requests is
// done here; each request is sent as the upstream's revision has it, by an
// exchange of its own. What can't keep its meaning is refused.
func (b *Broker) asSession(c *call) error {
	begins := c.msg.Kind == mcp.Request && c.method == "initialize"
	if c.bridged == nil && c.handle() == "" && !begins {
		return b.orWithheld(c, errNoSession())
	}
	if err := b.decide(c); err != nil {
		return err
	}
	switch {
	case begins:
		return b.begin(c)
	case c.bridged == nil: // it is of when this upstream had sessions
		return unknownSession()
	case c.verb == http.MethodGet:
		// Its counterpart, subscriptions/listen, is no stream of a session's.
		c.w.Header().Set("Allow", "POST, DELETE")
		return b.local(c, http.StatusMethodNotAllowed, nil)
	case c.verb == http.MethodDelete:
		b.flights.end(c.bridged.digest)
		return b.local(c, http.StatusOK, nil)
	case c.msg.Kind == mcp.Response:
		return b.respond(c)
	case c.msg.Kind == mcp.Notification:
		return b.notice(c)
	case c.method == "ping":
		return b.local(c, http.StatusOK, mcp.Reply(c.msg.ID, []byte(`{}`)))
	case carried(c.method):
		return b.carry(c)
	}
	return notBridged(c)
}

// carried reports whether a request means the same in both eras.
func carried(method string) bool {
	switch method {
	case "tools/list", "prompts/list", "resources/list", "resources/templates/list",
		"tools/call", "prompts/get", "resources/read", "completion/complete":
		return true
	}
	return false
}

func notBridged(c *call) error {
	return fault.Wrap("forward", fault.Invalid, "", mcp.NotBridged(&c.msg))
}

// local puts on record that what the agent sent is allowed, and answers it here.
func (b *Broker) local(c *call, status int, message []byte) error {
	if err := b.admit(c); err != nil {
		return err
	}
	b.conclude(c, status, message)
	return nil
}

// admit puts on record that what the agent sent is allowed, where no request to
// the upstream stands for it. No credential is used for it, so its receipt
// serves for nothing.
func (b *Broker) admit(c *call) error {
	if c.recorded {
		return nil
	}
	rec := c.decisionRecord()
	rec.Allow = true
	_, err := b.log.Append(c.ctx, &rec)
	c.recorded = err == nil
	return err
}

// conclude answers with one message, or none, and puts the outcome on record.
func (b *Broker) conclude(c *call, status int, message []byte) {
	r := newReply(c)
	r.whole(status, message)
	b.outcome(c, status, r.written, nil)
}

// begin answers initialize by what the upstream says of itself.
func (b *Broker) begin(c *call) error {
	client, err := mcp.ReadClient(c.body)
	if err != nil {
		return err
	}
	if err := b.admit(c); err != nil {
		return err
	}
	result, err := b.describe(c, client)
	if err != nil {
		return err
	}
	return b.welcome(c, client, result)
}

// beginsInstead answers an initialize that the upstream refused, where that is
// because it is stateless. It reports whether the call is answered, or ended by
// the error. An upstream that speaks both eras is never bridged this way.
func (b *Broker) beginsInstead(c *call, resp *http.Response) (bool, error) {
	if c.plain || c.msg.Kind != mcp.Request || c.method != "initialize" || c.era() != eraSessions ||
		resp.StatusCode < http.StatusBadRequest || c.upstream.oneEra || c.upstream.speaks.at(b.clock()) == eraSessions {
		return false, nil
	}
	client, err := mcp.ReadClient(c.body)
	if err != nil {
		return false, nil //nolint:nilerr // the upstream's own refusal stands
	}
	result, err := b.describe(c, client)
	if err != nil {
		return false, nil //nolint:nilerr // it is on record, and the upstream's own refusal stands
	}
	c.upstream.speaks.learn(eraStateless, b.clock())
	return true, b.welcome(c, client, result)
}

// describe asks the upstream what it is, in the name of client.
func (b *Broker) describe(c *call, client mcp.Client) (mcp.Object, error) {
	f, err := b.fork(c, worded{upstream: c.name, body: client.Discover(c.msg.ID)})
	if err != nil {
		return nil, err
	}
	s, err := b.directly(f)
	if err != nil {
		return nil, err
	}
	m, err := response(b, s)
	if err == nil && !supports(m.Result, mcp.Stateless) {
		err = fault.New("answer", fault.BadUpstream, "the upstream does not speak MCP "+mcp.Stateless)
	}
	s.close(b, 0, err)
	return m.Result, err
}

// welcome gives the agent its session.
func (b *Broker) welcome(c *call, client mcp.Client, discovered mcp.Object) error {
	result, err := mcp.InitializeResult(discovered, client.Revision, c.name)
	if err != nil {
		return unreadable(err)
	}
	b.giveBridged(c, client, c.name)
	b.conclude(c, http.StatusOK, mcp.Reply(c.msg.ID, result))
	return nil
}

// notice takes a notification. What it would tell is told by single requests in
// the upstream's era, or is lost on no one; the rest is refused.
func (b *Broker) notice(c *call) error {
	switch c.method {
	case "notifications/initialized", "notifications/roots/list_changed", "notifications/progress":
	case "notifications/cancelled":
		b.cancel(c)
	default:
		return notBridged(c)
	}
	return b.local(c, http.StatusAccepted, nil)
}

// cancel ends the request that a notification names. Without a session there is
// none to name: leaving a request cancels it.
func (b *Broker) cancel(c *call) {
	if c.bridged == nil {
		return
	}
	if params, err := mcp.CutParams(c.body); err == nil {
		b.flights.cancel(c.bridged.digest, params.Get("requestId"))
	}
}
