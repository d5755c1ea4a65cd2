package policies

import (
	"fmt"
	"iter"
	"net/url"
	"slices"
	"strings"

	"github.com/cedar-policy/cedar-go"
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
	given, ok := s.given(q, r, facts)
	if !ok {
		return s.evaluate(q, r, facts)
	}
	if ids, ok := s.allowed.find(given); ok {
		return Decision{Allow: true, Policies: ids, Facts: facts}
	}
	if d, ok := s.denied.find(given); ok {
		d.Facts = facts
		return d
	}
	d := s.evaluate(q, r, facts)
	if d.Allow {
		s.allowed.keep(given, d.Policies)
	} else {
		s.denied.keep(given, Decision{Policies: d.Policies, Reason: d.Reason})
	}
	return d
}

// evaluate has Cedar answer.
func (s *Set) evaluate(q *question, r Request, facts []posture.Fact) Decision {
	outcome, diag := cedar.Authorize(q.found, &q.call, cedar.Request{
		Principal: q.principal, Action: q.action.uid, Resource: q.resource,
		Context: s.context(q.reads, r, facts),
	})
	d := Decision{Facts: facts, Policies: determining(diag)}
	switch {
	case len(diag.Errors) > 0:
		// Cedar skips a policy that errs. A skipped forbid would allow.
		d.Reason = refusal(r, fmt.Sprintf("policy %q could not be evaluated, and nothing is allowed past it", diag.Errors[0].PolicyID))
		if len(diag.Errors) > 1 {
			d.Reason = refusal(r, "several policies could not be evaluated, and nothing is allowed past them")
		}
	case outcome == cedar.Allow:
		d.Allow = true
	case len(diag.Reasons) > 0:
		d.Reason = refusal(r, q.found.forbidden(d.Policies))
	default:
		d.Reason = refusal(r, q.found.unpermitted(d))
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
		resource:  resourceUID(r.Upstream, r.Target),
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

// determining returns the ids of the policies that decided or erred, sorted.
func determining(d cedar.Diagnostic) []string {
	if len(d.Reasons)+len(d.Errors) == 0 {
		return nil
	}
	ids := make([]string, 0, len(d.Reasons)+len(d.Errors))
	for _, e := range d.Errors {
		ids = append(ids, string(e.PolicyID))
	}
	for _, r := range d.Reasons {
		if len(d.Errors) == 0 || !slices.Contains(ids, string(r.PolicyID)) {
			ids = append(ids, string(r.PolicyID))
		}
	}
	slices.Sort(ids)
	return slices.Clip(ids)
}

// candidates are the policies whose scope can match one call.
type candidates struct {
	policies []policy
	at       []int
}

// All implements cedar.PolicyIterator.
func (c candidates) All() iter.Seq2[types.PolicyID, *cedar.Policy] {
	return func(yield func(types.PolicyID, *cedar.Policy) bool) {
		for _, i := range c.at {
			if !yield(c.policies[i].id, c.policies[i].cedar) {
				return
			}
		}
	}
}

func (c candidates) reads() reads {
	var r reads
	for _, i := range c.at {
		r = r.merge(c.policies[i].reads)
	}
	return r
}
