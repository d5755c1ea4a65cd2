package policies

import (
	"iter"
	"slices"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"
)

// verdict is what Cedar says of some of a question's policies.
type verdict struct {
	allow cedar.Decision
	cedar.Diagnostic
}

// authorize has Cedar ask the policies of c.
func (c *call) authorize(of *candidates, context types.Record) verdict {
	if len(of.at) == 0 {
		return verdict{}
	}
	allow, diag := cedar.Authorize(of, c, cedar.Request{
		Principal: c.principal, Action: c.action.uid, Resource: c.resource.UID, Context: context,
	})
	return verdict{allow, diag}
}

// forbids reports whether a forbid policy is among the reasons, and then they are
// all of forbid policies.
func (v verdict) forbids() bool { return !bool(v.allow) && len(v.Reasons) > 0 }

// and returns what Cedar says of the policies of both: each is asked by itself,
// one that forbids wins over all that permit, and each error counts.
func (v verdict) and(o verdict) verdict {
	if len(o.Reasons)+len(o.Errors) == 0 {
		return v
	}
	out := verdict{Diagnostic: cedar.Diagnostic{Errors: slices.Concat(v.Errors, o.Errors)}}
	switch {
	case v.forbids() == o.forbids():
		out.allow = v.allow || o.allow
		out.Reasons = slices.Concat(v.Reasons, o.Reasons)
	case v.forbids():
		out.Reasons = v.Reasons
	default:
		out.Reasons = o.Reasons
	}
	return out
}

// equal reports whether both are the same for the same reasons. What erred is
// equal to nothing.
func (v verdict) equal(o verdict) bool {
	return v.allow == o.allow && len(v.Errors)+len(o.Errors) == 0 &&
		slices.EqualFunc(v.Reasons, o.Reasons, func(a, b cedar.DiagnosticReason) bool { return a.PolicyID == b.PolicyID })
}

// determining returns the ids of the policies that decided or erred, sorted.
func (v verdict) determining() []string {
	if len(v.Reasons)+len(v.Errors) == 0 {
		return nil
	}
	ids := make([]string, 0, len(v.Reasons)+len(v.Errors))
	for _, e := range v.Errors {
		ids = append(ids, string(e.PolicyID))
	}
	for _, r := range v.Reasons {
		if len(v.Errors) == 0 || !slices.Contains(ids, string(r.PolicyID)) {
			ids = append(ids, string(r.PolicyID))
		}
	}
	slices.Sort(ids)
	return slices.Clip(ids)
}

// candidates are policies whose scope can match one call.
type candidates struct {
	policies []policy
	at       []int
	all      iter.Seq2[types.PolicyID, *cedar.Policy] // made once, for those that are asked often
}

// those returns the ones of c that are so, to be asked often.
func (c *candidates) those(are func(*policy) bool) *candidates {
	out := &candidates{policies: c.policies}
	for _, i := range c.at {
		if are(&c.policies[i]) {
			out.at = append(out.at, i)
		}
	}
	out.all = out.each
	return out
}

// All implements cedar.PolicyIterator.
func (c *candidates) All() iter.Seq2[types.PolicyID, *cedar.Policy] {
	if c.all != nil {
		return c.all
	}
	return c.each
}

func (c *candidates) each(yield func(types.PolicyID, *cedar.Policy) bool) {
	for _, i := range c.at {
		if !yield(c.policies[i].id, c.policies[i].cedar) {
			return
		}
	}
}
