package policies

import (
	"slices"

	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
)

// readsOf finds which parts of the context p looks at. A context that is used
// as a whole, in any way but reading one attribute, counts as all of it.
func readsOf(p *ast.Policy) reads {
	var r reads
	for _, c := range p.Conditions {
		ast.Inspect(ast.NewNode(c.Body), func(n ast.IsNode) bool { return r.node(n) })
	}
	slices.Sort(r.facts)
	r.facts = slices.Compact(r.facts)
	return r
}

// node notes what n reads and says whether to look below it.
func (r *reads) node(n ast.IsNode) bool {
	switch n := n.(type) {
	case ast.NodeTypeAccess:
		return r.attribute(n.Arg, n.Value)
	case ast.NodeTypeHas:
		return r.attribute(n.Arg, n.Value)
	case ast.NodeTypeVariable:
		if n.Name == "context" {
			r.posture, r.clock, r.now, r.credential = true, true, true, true
		}
	}
	return true
}

func (r *reads) attribute(arg ast.IsNode, name types.String) bool {
	if isContext(arg) {
		r.part(name)
		return false
	}
	if a, ok := arg.(ast.NodeTypeAccess); ok && isContext(a.Arg) && a.Value == "posture" {
		r.facts = append(r.facts, string(name))
	}
	return true
}

func (r *reads) part(name types.String) {
	switch name {
	case "posture":
		r.posture = true
	case "clock":
		r.clock = true
	case "now":
		r.now = true
	case "credential":
		r.credential = true
	}
}

func isContext(n ast.IsNode) bool {
	v, ok := n.(ast.NodeTypeVariable)
	return ok && v.Name == "context"
}
