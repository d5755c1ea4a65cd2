package policies

import (
	"slices"

	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
)

// index finds the policies whose scope can match a request, so that a decision
// costs what concerns it and not what is written. It is only a filter: what it
// returns is evaluated in full, scope included, and what it leaves out has a
// scope that does not match and so could neither decide nor err.
type index struct {
	ids      map[types.EntityUID]int // entities named in scopes; 0 is "any"
	prefixes bool                    // whether any scope names a PathPrefix
	policies map[key][]int           // positions in Set.policies, ascending
	concerns map[concern]bool
}

// key is what a policy's scope asks for; 0 asks for nothing.
type key struct{ principal, action, resource int }

func newIndex(policies []policy) index {
	x := index{ids: map[types.EntityUID]int{}, policies: map[key][]int{}, concerns: map[concern]bool{}}
	for i, p := range policies {
		tree := (*ast.Policy)(p.cedar.AST())
		k := key{principal: x.scopeID(tree.Principal), resource: x.scopeID(tree.Resource)}
		if c, ok := concernOf(p, tree, k.principal); ok {
			x.concerns[c] = true
		}
		for _, a := range x.actionIDs(tree.Action) {
			k.action = a
			x.policies[k] = append(x.policies[k], i)
		}
	}
	return x
}

// id returns the number of uid, giving it one when it has none.
func (x *index) id(uid types.EntityUID) int {
	if n, ok := x.ids[uid]; ok {
		return n
	}
	n := len(x.ids) + 1
	x.ids[uid] = n
	x.prefixes = x.prefixes || uid.Type == typePathPrefix
	return n
}

// scopeID returns what a principal or resource scope asks for. "is T in e" is
// filed under e, which is the narrower.
func (x *index) scopeID(scope ast.IsScopeNode) int {
	switch s := scope.(type) {
	case ast.ScopeTypeEq:
		return x.id(s.Entity)
	case ast.ScopeTypeIn:
		return x.id(s.Entity)
	case ast.ScopeTypeIsIn:
		return x.id(s.Entity)
	case ast.ScopeTypeIs:
		return x.id(kindUID(s.Type))
	default:
		return 0
	}
}

// kindUID stands for all entities of a type. No real entity has an empty type.
func kindUID(t types.EntityType) types.EntityUID { return types.EntityUID{ID: types.String(t)} }

// actionIDs returns the numbers of the actions that a scope matches.
func (x *index) actionIDs(scope ast.IsActionScopeNode) []int {
	names := scopeActions(scope)
	if names == nil {
		return []int{0}
	}
	out := make([]int, len(names))
	for i, uid := range names {
		out[i] = x.id(uid)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// scopeActions returns the actions that a scope matches, with groups opened,
// or nil when it matches all.
func scopeActions(scope ast.IsActionScopeNode) []types.EntityUID {
	var named []types.EntityUID
	switch s := scope.(type) {
	case ast.ScopeTypeEq:
		return []types.EntityUID{s.Entity}
	case ast.ScopeTypeIn:
		named = []types.EntityUID{s.Entity}
	case ast.ScopeTypeInSet:
		named = s.Entities
	default:
		return nil
	}
	out := slices.Clone(named)
	for _, v := range verbs() {
		if v.group != "" && slices.Contains(named, actionUID(v.group)) {
			out = append(out, actionUID(v.name))
		}
	}
	return out
}

// names reports whether some scope names the target: it can be another's than a
// resource's, and then it is taken for it.
func (x *index) names(upstream string, t Target) bool {
	var buf [128]byte
	b := appendResource(buf[:0], upstream, t)
	_, ok := x.ids[types.EntityUID{Type: t.Type.entityType(), ID: types.String(b)}]
	return ok
}

// lookup returns the positions of the policies that can match c, each once.
func (x *index) lookup(c *call) []int {
	var pbuf, rbuf, abuf [8]int
	principals := x.principals(c, pbuf[:0])
	actions := x.known(abuf[:0], c.action.uid)
	resources := x.known(rbuf[:0], c.resource.UID, c.upstream.entity.UID, kindUID(c.resource.UID.Type))
	var obuf [32]int
	out := obuf[:0]
	for _, p := range principals {
		for _, a := range actions {
			for _, r := range resources {
				out = append(out, x.policies[key{p, a, r}]...)
			}
		}
	}
	return slices.Clone(out) // of the right size
}

// known returns 0 and the numbers of those uids that some scope names. The
// upstream itself can be the resource, so a number is not repeated.
func (x *index) known(out []int, uids ...types.EntityUID) []int {
	out = append(out, 0)
	for _, uid := range uids {
		if n, ok := x.ids[uid]; ok && !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out
}

func (x *index) principals(c *call, out []int) []int {
	out = x.known(out, c.principal, types.NewEntityUID(typeTrustDomain, types.String(c.agent.TrustDomain().Name())), kindUID(typeAgent))
	if !x.prefixes {
		return out
	}
	for prefix := range pathPrefixes(c.agent) {
		if n, ok := x.ids[types.NewEntityUID(typePathPrefix, types.String(prefix))]; ok {
			out = append(out, n)
		}
	}
	return out
}
