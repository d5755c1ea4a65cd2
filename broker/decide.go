package broker

import (
	"strings"

	"mintmark/injector/mcp"
	"mintmark/internal/fault"
)

// decide finds the upstream and the credential that would serve the call, and
// asks policy.
func (b *Broker) decide(c *call) error {
	if err := b.openSession(c); err != nil {
		return err
	}
	if u, ok := c.snap.upstreams[c.name]; ok && u.plain == c.plain {
		c.upstream = u
	}
	if c.batch != nil {
		return b.decideBatch(c)
	}
	return b.decideOne(c)
}

// decideOne decides on one message.
func (b *Broker) decideOne(c *call) error {
	if c.upstream == nil {
		return b.withheld(c, fault.New("decide", fault.NotFound, "no upstream of this name and kind is registered"))
	}
	var ok bool
	c.injection, ok = c.upstream.injectionFor(c.target().Name)
	if !ok {
		return b.withheld(c, fault.New("decide", fault.Denied, "no credential is registered for this call to this upstream"))
	}
	// Read before the facts: a change in between costs one decision too many,
	// never one too few.
	c.epoch = c.snap.tracker.Epoch()
	c.judged = b.clock()
	c.decision = c.judge(c.judged)
	if !c.decision.Allow {
		return b.withheld(c, fault.New("decide", fault.Denied, c.decision.Reason))
	}
	return b.pinned(c, &c.msg, "")
}

// known refuses a request of a method that policies do not know in the protocol's
// own words: clients ask for what they can do without. A message that has for its
// method what policies call something else by would be judged as that.
func (c *call) known() error {
	switch c.msg.Kind {
	case mcp.Request:
		if c.snap.policies.Knows(c.msg.Method) && !isWordOfPolicy(c.msg.Method) {
			return nil
		}
	case mcp.Notification:
		if !isWordOfPolicy(c.msg.Method) {
			return nil
		}
	default:
		return nil
	}
	return fault.Wrap("decide", fault.Denied, "", mcp.UnknownMethod(&c.msg))
}

// isWordOfPolicy reports whether an action stands for what is no message with a
// method: a GET, a DELETE, the answer to a server's request, a plain call.
func isWordOfPolicy(action string) bool {
	return action == "stream" || action == "end" || action == "response" || strings.HasPrefix(action, "http/")
}

// openSession finds the upstream's own session id behind the agent's handle.
func (b *Broker) openSession(c *call) (err error) {
	handle := c.handle()
	if handle == "" || c.bridged != nil {
		return nil
	}
	c.session, err = b.sessions.open(handle, c.name, c.identity)
	return err
}

// handle returns the agent's session handle, or "".
func (c *call) handle() string {
	if c.plain || c.msg.Version != "" { // the stateless revisions have no sessions
		return ""
	}
	return c.header.Get(mcp.HeaderSession)
}
