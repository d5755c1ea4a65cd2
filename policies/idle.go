package policies

import (
	"fmt"
	"slices"

	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/ast"

	"mintmark/broker/bundle"
)

// Warnings returns what is right and hardly meant: that there is no policy at all,
// or, in order of position, policies that can match no call, trust domains that
// nobody is known to have, and annotations that are nearly one of ours.
func (s *Set) Warnings() []bundle.Problem { return s.warnings }

// idle returns what is to be said of a policy whose actions are none of its
// upstream's kind: it can match no call.
func (c checks) idle(p *ast.Policy, where place) []problem {
	name := scopeUpstream(p.Resource)
	names := scopeActions(p.Action)
	kind, ok := c.upstreams[name]
	if !ok || len(names) == 0 {
		return nil
	}
	for _, v := range verbs() {
		if v.kind() == kind && slices.Contains(names, actionUID(v.name)) {
			return nil
		}
	}
	at := findEntity(where.tokens, types.NewEntityUID(typeUpstream, types.String(name)))
	return []problem{{where.at(at), fmt.Sprintf("this policy matches no call: upstream %q is of kind %s, and none of the actions is", name, kind)}}
}

func (c *compiler) warnings() []bundle.Problem {
	if len(c.policies) == 0 {
		return []bundle.Problem{{File: bundle.ConfigName, Text: "there is no policy (*.cedar) beside it: every call is denied"}}
	}
	sortProblems(c.doubtful)
	return placed(c.doubtful)
}
