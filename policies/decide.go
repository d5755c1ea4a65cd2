package policies

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/cedar-policy/cedar-go/types"

	"mintmark/attest/posture"
	"mintmark/broker/bundle"
)

// Decide answers r. It is pure: the same Set and Request give the same
// Decision. It is safe for concurrent use and does not block.
func (s *Set) Decide(r Request) Decision {
	if s == nil {
		return Decision{Reason: "no policies are loaded"}
	}
	facts := s.visible(r.Posture, r.Now)
	q, why := s.ask(r)
	if why != "" {
		return Decision{Reason: refusal(r, why), Facts: facts}
	}
	return s.decide(q, r, facts)
}

// decide answers q, as r asks it and on facts.
func (s *Set) decide(q *question, r Request, facts []posture.Fact) Decision {
	d := s.said(q, r, facts).Decision
	d.Facts = facts
	if q.any && !d.Allow {
		d.Reason = refusal(r, d.Reason)
	}
	return d
}

// said returns what is decided of q. Of any target, it does not say of which.
func (s *Set) said(q *question, r Request, facts []posture.Fact) *said {
	seen, whole := s.see(q, r, facts)
	if !whole {
		return q.anew(seen.build(s.seeAll(q, r, facts)), false, r, facts)
	}
	known, before := q.answers.find(&seen)
	if known == nil {
		v := s.view(seen)
		known = q.anew(v, before, r, facts)
		q.answers.keep(v, known)
	}
	return known
}

// anew has Cedar decide: all at once what may never be asked again, and what was
// asked before by those policies alone that can say something else of v.
func (q *question) anew(v *view, before bool, r Request, facts []posture.Fact) *said {
	if !before {
		return &said{Decision: q.decision(r, q.authorize(&q.found, v.record), facts)}
	}
	parts := q.parts()
	open := q.authorize(parts.open, v.record)
	if alike := q.answers.alike(v, open); alike != nil {
		return alike
	}
	return &said{q.decision(r, parts.fixed.and(open), facts), true, open}
}

// decision makes one of what all policies of q say. It has no Facts.
func (q *question) decision(r Request, v verdict, facts []posture.Fact) Decision {
	d := Decision{Policies: v.determining()}
	switch {
	case len(v.Errors) > 1:
		d.Reason = "several policies could not be evaluated, and nothing is allowed past them"
	case len(v.Errors) > 0:
		// Cedar skips a policy that errs. A skipped forbid would allow.
		d.Reason = fmt.Sprintf("policy %q could not be evaluated, and nothing is allowed past it", v.Errors[0].PolicyID)
	case bool(v.allow):
		d.Allow = true
		return d
	case len(v.Reasons) > 0:
		d.Reason = q.found.forbidden(d.Policies)
	default:
		d.Reason = q.found.unpermitted(facts)
	}
	if !q.any {
		d.Reason = refusal(r, d.Reason)
	}
	return d
}

// call puts r into Cedar's terms, or says why it cannot be asked at all.
func (s *Set) call(r Request) (call, string) {
	act, ok := s.actions[r.Method]
	if !ok {
		return call{}, "the method is not one that policies know, so none can permit it"
	}
	up, ok := s.upstreams[r.Upstream]
	if !ok {
		return call{}, "no upstream of that name is registered"
	}
	if up.kind != act.verb.kind() {
		return call{}, fmt.Sprintf("the upstream is of kind %s, and the method is for kind %s", up.kind, act.verb.kind())
	}
	if why := checkTarget(act.verb, r.Target); why != "" {
		return call{}, why
	}
	if r.Agent.IsZero() || r.Agent.Path() == "" {
		return call{}, "the agent is not proven"
	}
	return call{
		set: s, agent: r.Agent, target: r.Target, action: act, upstream: up,
		principal: types.NewEntityUID(typeAgent, types.String(r.Agent.String())),
		resource:  up.resource(r.Target),
	}, ""
}

func checkTarget(v verb, t Target) string {
	if !slices.Contains(v.on, t.Type.entityType()) {
		return fmt.Sprintf("the method is for a %s, and none was named", strings.ToLower(string(v.on[0])))
	}
	if t.Type == 0 && t.Name != "" || t.Type != 0 && t.Name == "" {
		return "what the call is for has no name or no type"
	}
	if t.Type == Path {
		if err := plainPath(t.Name); err != nil {
			return "the path is not plain: " + err.Error()
		}
	}
	return ""
}

// plainPath holds a path to bundle.PlainPath. Policies know its decoded form
// alone, in which a percent sign can only be an escape that was left over.
func plainPath(decoded string) error {
	if i := strings.IndexByte(decoded, '%'); i >= 0 {
		return fmt.Errorf("expected the decoded path, got %q", decoded[i:min(i+3, len(decoded))])
	}
	return bundle.PlainPath(decoded, (&url.URL{Path: decoded}).EscapedPath())
}
