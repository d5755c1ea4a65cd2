package broker

import (
	"maps"
	"net/http"
	"slices"
	"strings"

	"mintmark/injector/mcp"
	"mintmark/internal/fault"
	"mintmark/policies"
)

// /mcp is one server to an agent, and all upstreams behind it. What an upstream
// is asked on its behalf is a call of its own: judged by the upstream's own names,
// recorded and injected as if it had come to /mcp/NAME. Nothing is decided about
// the whole, except that it is there for those who may ask at least one upstream
// for the same.

// merge serves a call to /mcp. An error is a refusal that was not answered yet.
func (b *Broker) merge(c *call) error {
	if c.era() == eraSessions && c.method != "initialize" {
		if err := b.openMerged(c); err != nil {
			return err
		}
	}
	switch {
	case c.verb == http.MethodGet:
		// No upstream's own stream comes through here.
		c.w.Header().Set("Allow", "POST, DELETE")
		return b.mergedLocal(c, http.StatusMethodNotAllowed, nil)
	case c.verb == http.MethodDelete:
		return b.endMerged(c)
	case c.msg.Kind == mcp.Response:
		return b.mergedResponse(c)
	case c.msg.Kind == mcp.Notification:
		return b.mergedNotice(c)
	case c.method == "initialize":
		return b.beginMerged(c)
	case c.method == "server/discover":
		return b.mergedLocal(c, http.StatusOK, mcp.Reply(c.msg.ID, mergedDiscovery().JSON()))
	case c.method == "ping":
		return b.mergedLocal(c, http.StatusOK, mcp.Reply(c.msg.ID, []byte(`{}`)))
	case mcp.ListMember(c.method) != "":
		return b.mergeList(c)
	case routed(c.method):
		return b.mergeCall(c)
	}
	return fault.Wrap("receive", fault.Invalid, "", notMerged(c))
}

// routed reports whether a request names the upstream that it is for.
func routed(method string) bool {
	switch method {
	case "tools/call", "prompts/get", "resources/read", "completion/complete":
		return true
	}
	return false
}

// notMerged refuses a method that has no meaning across upstreams, in the words
// that clients know.
func notMerged(c *call) error {
	status := http.StatusOK
	if c.era() == eraStateless {
		status = http.StatusNotFound
	}
	return &mcp.Error{Code: mcp.CodeMethodNotFound, Status: status,
		Message: "the method " + string(mcp.Quote(c.method)) + " is not served at /mcp, where several upstreams are one; call it at /mcp/NAME"}
}

// branch returns what c is on one upstream: its request in the stateless revision,
// by the upstream's own names, decided. It ends by its end. An error is on record
// already.
func (b *Broker) branch(c *call, upstream string, message []byte) (*call, error) {
	br, err := b.fork(c, worded{upstream: upstream, body: message})
	if err != nil {
		return nil, err
	}
	br.bridged = c.bridged
	br.mirrored = mirrored(c)
	if err := b.decide(br); err != nil {
		br.end(nil)
		return nil, b.stopped(br, err)
	}
	return br, nil
}

// mirrored returns the headers that repeat single arguments, which stay as they
// are whatever the call is named by.
func mirrored(c *call) http.Header {
	h := http.Header{}
	for name, values := range c.header {
		if c.era() == eraStateless && strings.HasPrefix(name, mcp.PrefixParam) {
			h[name] = values
		}
	}
	return h
}

// permitting returns the names of the upstreams that permit c's method to its
// agent, sorted, by the decision that each would make on it. What they decided
// becomes the decision of c. No upstream at all is a denial.
func (b *Broker) permitting(c *call) ([]string, error) {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(c.snap.upstreams)) {
		u := c.snap.upstreams[name]
		with, ok := u.injectionFor("")
		if u.plain || !ok {
			continue
		}
		judged := &call{snap: c.snap, identity: c.identity, name: name}
		d := judged.ask(b.clock(), c.method, policies.Target{}, with)
		switch {
		case d.Allow && !c.decision.Allow:
			c.decision = d
		case d.Allow:
			c.decision.Policies = append(c.decision.Policies, d.Policies...)
		case !c.decision.Allow: // whoever reads the record sees who denied
			d.Policies = append(c.decision.Policies, d.Policies...)
			c.decision = d
		}
		if d.Allow {
			names = append(names, name)
		}
	}
	c.decision.Policies = slices.Compact(slices.Sorted(slices.Values(c.decision.Policies))) // a copy: a decision's own are read only
	if len(names) == 0 {
		return nil, fault.New("decide", fault.Denied, "no upstream permits "+c.method+" to this agent")
	}
	return names, nil
}

// mergedLocal answers what the broker answers by itself, to agents that may ask
// at least one upstream for the same.
func (b *Broker) mergedLocal(c *call, status int, message []byte) error {
	if _, err := b.permitting(c); err != nil {
		return err
	}
	return b.local(c, status, message)
}

// mergedNotice takes a notification. What it would tell, upstreams learn from the
// requests that are made of them.
func (b *Broker) mergedNotice(c *call) error {
	switch c.method {
	case "notifications/initialized", "notifications/roots/list_changed", "notifications/progress":
	case "notifications/cancelled":
		b.cancel(c)
	default:
		return fault.Wrap("receive", fault.Invalid, "", notMerged(c))
	}
	return b.mergedLocal(c, http.StatusAccepted, nil)
}
