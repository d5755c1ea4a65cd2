package broker

import (
	"strings"
	"time"

	"mintmark/injector/mcp"
	"mintmark/policies"
)

// judge asks policy about the call as things stand at now.
func (c *call) judge(now time.Time) policies.Decision {
	if c.batch != nil {
		return c.judgeBatch(now)
	}
	return c.ask(now, c.method, c.target(), c.injection)
}

// ask asks policy about a call of this agent to this upstream: that of the bundle
// the call began with, and that of the one in force, where there is another by now.
// Either can deny.
func (c *call) ask(now time.Time, method string, target policies.Target, with *injection) policies.Decision {
	d := c.askOf(c.snap, now, method, target, with)
	if latest := c.snap.latest(); d.Allow && latest != c.snap {
		if later := c.askOf(latest, now, method, target, with); !later.Allow {
			return later
		}
	}
	return d
}

func (c *call) askOf(s *snapshot, now time.Time, method string, target policies.Target, with *injection) policies.Decision {
	return s.policies.Decide(c.question(s, now, method, target, with))
}

// object is what the call acts on, as it is sent.
func (c *call) object() string {
	if c.plain {
		return c.path
	}
	return c.msg.Target
}

// target is what the call acts on, in the words of policy.
func (c *call) target() policies.Target {
	if c.plain {
		// With or without a slash at its end a path is the same to policy: most
		// servers take the two for one.
		return policies.Target{Type: policies.Path, Name: "/" + strings.Trim(c.path, "/")}
	}
	return targetOf(&c.msg)
}

// targetOf is what a message acts on, in the words of policy.
func targetOf(m *mcp.Message) policies.Target {
	switch m.TargetOf {
	case mcp.Tool:
		return policies.Target{Type: policies.Tool, Name: m.Target}
	case mcp.Prompt:
		return policies.Target{Type: policies.Prompt, Name: m.Target}
	case mcp.Resource:
		return policies.Target{Type: policies.Resource, Name: m.Target}
	}
	return policies.Target{}
}
