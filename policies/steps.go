package policies

import (
	"slices"

	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
	"github.com/cedar-policy/cedar-go/x/exp/eval"
)

// steps are the numbers that policies compare a number with that changes by
// itself: an age, the time. Between two of them all policies say the same
// whatever the number is.
type steps struct {
	at    []int64 // once settled, ascending and each once
	exact bool    // it is looked at in another way too, so that each value counts
}

// same returns one number for all of those that no comparison tells from n.
func (s steps) same(n int64) int64 {
	i, found := slices.BinarySearch(s.at, n)
	switch {
	case s.exact || found:
		return n
	case i > 0:
		return s.at[i-1] + 1 // at most n
	case len(s.at) > 0:
		return s.at[0] - 1 // at least n
	default:
		return 0
	}
}

func (s steps) and(o steps) steps {
	return steps{at: append(s.at, o.at...), exact: s.exact || o.exact}
}

func (s steps) settled() steps {
	slices.Sort(s.at)
	return steps{at: slices.Compact(s.at), exact: s.exact}
}

// times are the steps of all that changes by itself in a context, and what else of
// facts some policy looks at.
type times struct {
	now    steps            // in milliseconds
	ages   map[string]steps // by the fact's name, in seconds
	any    bool             // facts are looked at in a way that may be at any one's age
	issuer bool             // and at their issuer
}

// allTimes returns those of all policies.
func allTimes(policies []policy) times {
	var t times
	for _, p := range policies {
		t.now = t.now.and(p.times.now)
		t.any, t.issuer = t.any || p.times.any, t.issuer || p.times.issuer
		for name, s := range p.times.ages {
			t.age(name, s)
		}
	}
	t.now = t.now.settled()
	for name, s := range t.ages {
		t.ages[name] = s.settled()
	}
	return t
}

func (t *times) age(fact string, s steps) {
	if t.ages == nil {
		t.ages = map[string]steps{}
	}
	t.ages[fact] = t.ages[fact].and(s)
}

// sameAge is steps.same for the age of a fact.
func (t *times) sameAge(fact string, age int64) int64 {
	if t.any {
		return age
	}
	return t.ages[fact].same(age)
}

// compared returns the sides of n when it compares two values: the result then
// depends on nothing but which is the greater, or that none is.
func compared(n ast.IsNode) (b ast.BinaryNode, ok bool) {
	switch n := n.(type) {
	case ast.NodeTypeLessThan:
		return n.BinaryNode, true
	case ast.NodeTypeLessThanOrEqual:
		return n.BinaryNode, true
	case ast.NodeTypeGreaterThan:
		return n.BinaryNode, true
	case ast.NodeTypeGreaterThanOrEqual:
		return n.BinaryNode, true
	case ast.NodeTypeEquals:
		return n.BinaryNode, true
	case ast.NodeTypeNotEquals:
		return n.BinaryNode, true
	default:
		return ast.BinaryNode{}, false
	}
}

// constant returns the value of an expression without variables and entities, which
// are another thing in each call, or nil when it has some, or none that is one.
func constant(n ast.IsNode) types.Value {
	fixed := true
	ast.Inspect(ast.NewNode(n), func(n ast.IsNode) bool {
		switch n := n.(type) {
		case ast.NodeTypeVariable:
			fixed = false
		case ast.NodeValue:
			if _, ok := n.Value.(types.EntityUID); ok {
				fixed = false
			}
		}
		return fixed
	})
	if !fixed {
		return nil
	}
	v, err := eval.Eval(n, eval.Env{Entities: types.EntityMap{}})
	if err != nil {
		return nil
	}
	return v
}
