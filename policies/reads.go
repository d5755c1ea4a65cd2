package policies

import (
	"slices"

	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
)

// reads says which parts of the context a policy looks at, so that the others
// need not be built, and what it looks at of the resource, beside its scope.
type reads struct {
	posture, clock, now, credential bool
	name                            bool     // of an entity
	resource                        bool     // which one of its upstream's the resource is
	allFacts                        bool     // posture other than by the name of a fact
	facts                           []string // names of the posture facts, sorted
}

// context reports whether r is of anything that is not the same for each call
// of a question.
func (r reads) context() bool { return r.posture || r.clock || r.now || r.credential }

// fact reports whether r is of the fact of that name.
func (r reads) fact(name string) bool { return r.allFacts || slices.Contains(r.facts, name) }

func (r reads) merge(o reads) reads {
	facts := r.facts
	switch {
	case len(facts) == 0:
		facts = o.facts
	case len(o.facts) > 0 && !slices.Equal(facts, o.facts):
		facts = slices.Concat(facts, o.facts)
		slices.Sort(facts)
		facts = slices.Compact(facts)
	}
	return reads{
		posture: r.posture || o.posture, clock: r.clock || o.clock,
		now: r.now || o.now, credential: r.credential || o.credential,
		name: r.name || o.name, resource: r.resource || o.resource, allFacts: r.allFacts || o.allFacts, facts: facts,
	}
}

// reader finds what one policy looks at.
type reader struct {
	reads
	times
}

// readsOf finds which parts of the context p looks at, and what it compares
// their numbers with. A context that is used as a whole, in any way but reading
// one attribute, counts as all of it.
func readsOf(p *ast.Policy) (reads, times) {
	var r reader
	for _, c := range p.Conditions {
		ast.Inspect(ast.NewNode(c.Body), r.node)
	}
	slices.Sort(r.facts)
	r.facts = slices.Compact(r.facts)
	return r.reads, r.times
}

// node notes what n reads and says whether to look below it.
func (r *reader) node(n ast.IsNode) bool {
	if sides, ok := compared(n); ok {
		return !r.step(sides.Left, sides.Right) && !r.step(sides.Right, sides.Left)
	}
	if whichever(n) {
		return false
	}
	switch n := n.(type) {
	case ast.NodeTypeAccess:
		return r.attribute(n.Arg, n.Value, n)
	case ast.NodeTypeHas:
		return r.attribute(n.Arg, n.Value, nil)
	case ast.NodeValue:
		// What a condition names in another way than as the resource is there, and in
		// its upstream, only in a call of it.
		uid, ok := n.Value.(types.EntityUID)
		r.resource = r.resource || ok && kindOf(uid.Type) != ""
	case ast.NodeTypeVariable:
		r.resource = r.resource || n.Name == "resource"
		if n.Name == "context" {
			r.posture, r.clock, r.reads.now, r.credential, r.allFacts = true, true, true, true, true
			r.any, r.issuer, r.times.now.exact = true, true, true
		}
	}
	return true
}

// step notes that a number that changes by itself is compared with a constant,
// and reports whether it is one.
func (r *reader) step(number, with ast.IsNode) bool {
	a, ok := number.(ast.NodeTypeAccess)
	if !ok {
		return false
	}
	if isContext(a.Arg) && a.Value == "now" {
		at, ok := constant(with).(types.Datetime)
		if ok {
			r.reads.now = true
			r.times.now = r.times.now.and(steps{at: []int64{at.Milliseconds()}})
		}
		return ok
	}
	fact, ok := factOf(a.Arg)
	if !ok || a.Value != "age" {
		return false
	}
	at, ok := constant(with).(types.Long)
	if ok {
		r.posture, r.facts = true, append(r.facts, fact)
		r.age(fact, steps{at: []int64{int64(at)}})
	}
	return ok
}

// attribute notes a look at attribute name of arg: at its value when read is the
// node for that, and nil where it is only asked for whether there is one.
func (r *reader) attribute(arg ast.IsNode, name types.String, read ast.IsNode) bool {
	if isContext(arg) {
		r.part(name, read != nil)
		return false
	}
	if isPosture(arg) {
		r.posture, r.facts = true, append(r.facts, string(name))
		if read != nil { // the fact as a whole, as its parts do not come here
			r.issuer = true
			r.age(string(name), steps{exact: true})
		}
		return false
	}
	if fact, ok := factOf(arg); ok {
		r.posture, r.facts = true, append(r.facts, fact)
		if read != nil && name == "age" {
			r.age(fact, steps{exact: true})
		}
		r.issuer = r.issuer || name == "issuer"
		return false
	}
	r.name = r.name || name == "name"
	return true
}

// part notes a look at a part of the context, other than at one fact.
func (r *reader) part(name types.String, value bool) {
	switch name {
	case "posture":
		r.posture = true
		r.allFacts, r.any, r.issuer = r.allFacts || value, r.any || value, r.issuer || value
	case "clock":
		r.clock = true
	case "now":
		r.reads.now = true
		r.times.now.exact = r.times.now.exact || value
	case "credential":
		r.credential = true
	}
}

// whichever reports whether n says the same of all resources of one upstream and
// type.
func whichever(n ast.IsNode) bool {
	switch n := n.(type) {
	case ast.NodeTypeIs:
		return isVariable(n.Left, "resource")
	case ast.NodeTypeIn:
		v, ok := n.Right.(ast.NodeValue)
		if !ok {
			return false
		}
		uid, ok := v.Value.(types.EntityUID)
		return ok && uid.Type == typeUpstream && isVariable(n.Left, "resource")
	case ast.NodeTypeAccess:
		return n.Value == "upstream" && isVariable(n.Arg, "resource")
	default:
		return false
	}
}

func isContext(n ast.IsNode) bool { return isVariable(n, "context") }

func isVariable(n ast.IsNode, name types.String) bool {
	v, ok := n.(ast.NodeTypeVariable)
	return ok && v.Name == name
}

func isPosture(n ast.IsNode) bool {
	a, ok := n.(ast.NodeTypeAccess)
	return ok && isContext(a.Arg) && a.Value == "posture"
}

// factOf returns the name of the fact that n is the whole of.
func factOf(n ast.IsNode) (string, bool) {
	a, ok := n.(ast.NodeTypeAccess)
	return string(a.Value), ok && isPosture(a.Arg)
}
