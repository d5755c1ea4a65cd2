package policies

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"mintmark/broker/bundle"
)

// literal is a string that an attribute can never equal, or be like.
type literal struct {
	got, text string
	of        string // the attribute, where got is a pattern
}

// find returns the index of the token that is at fault, or -1.
func (l literal) find(tokens []token) int {
	if l.of != "" { // Cedar keeps patterns in another form than they are written in
		return findAttribute(tokens, l.of)
	}
	return findString(tokens, l.got)
}

// literals finds what n compares an attribute with that it never is: of one of few
// values another ("Saturday" is not "saturday", and never equal to any weekday), of
// an agent's what no SPIFFE ID has.
func (c checks) literals(n ast.IsNode) []literal {
	if like, ok := n.(ast.NodeTypeLike); ok {
		return c.unlike(like)
	}
	sides, ok := equated(n)
	if !ok {
		return nil
	}
	return append(c.outside(sides.Left, sides.Right), c.outside(sides.Right, sides.Left)...)
}

// equated returns the two sides of n where it asks whether something is equal to, or
// one of, something else.
func equated(n ast.IsNode) (sides ast.BinaryNode, ok bool) {
	switch n := n.(type) {
	case ast.NodeTypeEquals:
		return n.BinaryNode, true
	case ast.NodeTypeNotEquals:
		return n.BinaryNode, true
	case ast.NodeTypeContains:
		return n.BinaryNode, true
	default:
		return ast.BinaryNode{}, false
	}
}

func (c checks) outside(attribute, values ast.IsNode) []literal {
	a, ok := attribute.(ast.NodeTypeAccess)
	if !ok {
		return nil
	}
	known := c.values(a)
	var out []literal
	for _, got := range stringLiterals(values) {
		want, near := malformed(a, got), ""
		if known != nil && !slices.Contains(known, got) {
			want = "one of " + strings.Join(known, ", ")
			near = bundle.DidYouMean(got, known)
		}
		if want != "" {
			out = append(out, literal{got: got, text: fmt.Sprintf("%s, expected %s, got %q%s", written(a), want, got, near)})
		}
	}
	return out
}

// unlike finds the pattern of n that no value of its attribute matches.
func (c checks) unlike(n ast.NodeTypeLike) []literal {
	a, ok := n.Arg.(ast.NodeTypeAccess)
	if !ok {
		return nil
	}
	known := c.values(a)
	matches := func(value string) bool { return n.Value.Match(types.String(value)) }
	if known == nil || slices.ContainsFunc(known, matches) {
		return nil
	}
	got := n.Value.MarshalCedar()
	text := fmt.Sprintf("%s, expected a pattern of one of %s, got %s", written(a), strings.Join(known, ", "), got)
	return []literal{{got: string(got), text: text, of: string(a.Value)}}
}

// written returns what an attribute is called: that of a fact with the fact's name,
// as "value" alone could be anything.
func written(a ast.NodeTypeAccess) string {
	if fact, ok := factOf(a.Arg); ok {
		return "context.posture." + fact + "." + string(a.Value)
	}
	return string(a.Value)
}

// malformed returns what an agent's attribute always is, where got is not that; or "".
func malformed(a ast.NodeTypeAccess, got string) (want string) {
	if v, ok := a.Arg.(ast.NodeTypeVariable); !ok || v.Name != "principal" {
		return ""
	}
	switch a.Value {
	case "trust_domain":
		if td, err := spiffeid.TrustDomainFromString(got); err != nil || td.Name() != got {
			return "a trust domain's bare name"
		}
	case "path":
		if got == "" || spiffeid.ValidatePath(got) != nil {
			return "the path of a SPIFFE ID, which begins with a slash and ends without"
		}
	}
	return ""
}

// values returns all values that an attribute can have, or nil when they are
// not known.
func (c checks) values(a ast.NodeTypeAccess) []string {
	v, ok := a.Arg.(ast.NodeTypeVariable)
	onResource := ok && v.Name == "resource"
	fact, ofFact := factOf(a.Arg)
	switch {
	case ofFact && a.Value == "value":
		return c.facts[fact]
	case a.Value == "weekday":
		return weekdays()
	case onResource && a.Value == "upstream":
		return slices.Sorted(maps.Keys(c.upstreams))
	case onResource && a.Value == "kind":
		return []string{kindHTTP, kindMCP}
	default:
		return nil
	}
}

func stringLiterals(n ast.IsNode) []string {
	switch n := n.(type) {
	case ast.NodeValue:
		if s, ok := n.Value.(types.String); ok {
			return []string{string(s)}
		}
	case ast.NodeTypeSet:
		var out []string
		for _, e := range n.Elements {
			out = append(out, stringLiterals(e)...)
		}
		return out
	}
	return nil
}
