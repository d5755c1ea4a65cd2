package broker

import (
	"errors"
	"time"

	"mintmark/internal/fault"
	"mintmark/policies"
)

// withheld is a denial whose reason is on record and in the log, and not said to
// the agent.
type withheld struct{ reason *fault.Error }

// Error implements error. There is no Unwrap: whoever looks in the chain for what
// may be said is not to find the reason.
func (w withheld) Error() string { return w.reason.Error() }

// withheld returns the refusal of c for a reason that may show whether its upstream
// is registered. An agent that no policy permits anything there gets the words in
// which the same call would be denied at any upstream, be there one or not.
func (b *Broker) withheld(c *call, reason *fault.Error) error {
	if c.upstream != nil && c.snap.policies.Concerns(c.identity.ID(), c.name) {
		return reason
	}
	said := c.snap.policies.Elsewhere(c.question(c.snap, b.clock(), c.method, c.target(), nil))
	return fault.Wrap("decide", fault.Denied, said, withheld{reason})
}

// orWithheld returns err, which shows what the upstream of c is, to an agent that may
// know that it is there, and the denial of c to any other.
func (b *Broker) orWithheld(c *call, err error) error {
	if !c.snap.policies.Concerns(c.identity.ID(), c.name) {
		if denied := b.decide(c); denied != nil {
			return denied
		}
	}
	return err
}

// question is what policy is asked about a call of this agent to this upstream.
func (c *call) question(s *snapshot, now time.Time, method string, target policies.Target, with *injection) policies.Request {
	credential := ""
	if with != nil {
		credential = with.provider
	}
	return policies.Request{
		Agent:      c.identity.ID(),
		Upstream:   c.name,
		Method:     method,
		Target:     target,
		Credential: credential,
		Posture:    s.facts(now, c.identity.Subject()),
		Now:        now,
	}
}

// truth returns the kind and the words in which a refusal goes on record.
func (r refusal) truth() (fault.Kind, string) {
	if r.withheld != nil {
		return r.withheld.Kind, r.withheld.Hint
	}
	if r.why != "" {
		return r.Kind, r.Text + ": " + r.why
	}
	return r.Kind, r.Text
}

// withheldIn returns the reason in err that the agent is not told, or nil.
func withheldIn(err error) *fault.Error {
	if w, ok := errors.AsType[withheld](err); ok {
		return w.reason
	}
	return nil
}
