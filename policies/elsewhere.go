package policies

import (
	"strings"

	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// concern is that a permit policy has a principal in its scope together with an
// upstream; upstream "" is each of them, by a policy without conditions.
type concern struct {
	principal int // of index.ids
	upstream  string
}

// concernOf returns what a policy's scope concerns, and false when that says
// nothing: a forbid permits nothing, and a permit for all upstreams under
// conditions may be for one of them alone.
func concernOf(p policy, tree *ast.Policy, principal int) (concern, bool) {
	name := scopeUpstream(tree.Resource)
	return concern{principal, name}, p.permit && (name != "" || len(tree.Conditions) == 0)
}

// scopeUpstream returns the name of the upstream that a resource scope is about,
// or "" when it is about any.
func scopeUpstream(scope ast.IsScopeNode) string {
	var uid types.EntityUID
	switch s := scope.(type) {
	case ast.ScopeTypeEq:
		uid = s.Entity
	case ast.ScopeTypeIn:
		uid = s.Entity
	case ast.ScopeTypeIsIn:
		uid = s.Entity
	default:
		return ""
	}
	name, _, _ := strings.Cut(string(uid.ID), "/") // an upstream's name has no slash
	return name
}

// Concerns reports whether a permit policy has agent and upstream in its scope,
// whatever it permits and under which conditions: such an agent may know that
// there is this upstream.
func (s *Set) Concerns(agent spiffeid.ID, upstream string) bool {
	if s == nil || agent.IsZero() || s.upstreams[upstream] == nil {
		return false
	}
	c := call{agent: agent, principal: types.NewEntityUID(typeAgent, types.String(agent.String()))}
	var buf [8]int
	for _, p := range s.index.principals(&c, buf[:0]) {
		if s.index.concerns[concern{p, upstream}] || s.index.concerns[concern{p, ""}] {
			return true
		}
	}
	return false
}

// orNone ends each reason of Elsewhere.
const orNone = "; or no upstream of this name and kind is registered"

// Elsewhere returns the reason for denying r to an agent that is not to learn
// whether there is r.Upstream: it is the same if there is and if there is not.
// What is forbidden everywhere is forbidden there too, and says why.
func (s *Set) Elsewhere(r Request) string {
	const unpermitted = "no policy permits this agent to do that there"
	if s == nil {
		return refusal(r, unpermitted+orNone)
	}
	act, ok := s.actions[r.Method]
	if !ok || checkTarget(act.verb, r.Target) != "" || r.Agent.IsZero() {
		return refusal(r, unpermitted+orNone)
	}
	nowhere := s.nowhere[act.verb.kind()]
	c := call{
		set: s, agent: r.Agent, target: r.Target, action: act, upstream: nowhere,
		principal: types.NewEntityUID(typeAgent, types.String(r.Agent.String())), resource: nowhere.resource(r.Target),
	}
	d := s.decide(s.question(c), r, s.visible(r.Posture, r.Now))
	if d.Allow {
		return refusal(r, unpermitted+orNone)
	}
	return d.Reason + orNone
}
