package policies

import (
	"fmt"
	"slices"
	"strings"

	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"mintmark/broker/bundle"
)

// strangers returns what is to be said of the trust domains that a policy names and
// that are not known. It is no fault: SPIRE may federate with them any day.
func (c checks) strangers(p *ast.Policy, where place) []problem {
	if len(c.trustDomains) == 0 {
		return nil
	}
	var out []problem
	look := func(name string, at int) {
		if name == "" || slices.Contains(c.trustDomains, name) {
			return
		}
		f := problem{where.at(at), fmt.Sprintf("trust domain, expected one of %s, got %q, of which no agent comes unless SPIRE federates with it%s",
			strings.Join(c.trustDomains, ", "), name, bundle.DidYouMean(name, c.trustDomains))}
		if !slices.Contains(out, f) {
			out = append(out, f)
		}
	}
	for _, uid := range scopeEntities(p) {
		look(domainOf(uid), findEntity(where.tokens, uid))
	}
	for _, cond := range p.Conditions {
		ast.Inspect(ast.NewNode(cond.Body), func(n ast.IsNode) bool {
			if v, ok := n.(ast.NodeValue); ok {
				if uid, ok := v.Value.(types.EntityUID); ok {
					look(domainOf(uid), findEntity(where.tokens, uid))
				}
			}
			for _, name := range comparedDomains(n) {
				look(name, findString(where.tokens, name))
			}
			return true
		})
	}
	return out
}

// domainOf returns the trust domain that a literal entity is of, or "" where it is
// of none.
func domainOf(uid types.EntityUID) string {
	switch uid.Type {
	case typeTrustDomain:
		return string(uid.ID)
	case typeAgent, typePathPrefix:
		id, _ := spiffeid.FromString(string(uid.ID)) // one that is none is a fault, and is told elsewhere
		return id.TrustDomain().Name()
	default:
		return ""
	}
}

// comparedDomains returns the strings that n compares an agent's trust domain with.
func comparedDomains(n ast.IsNode) []string {
	sides, ok := equated(n)
	if !ok {
		return nil
	}
	var out []string
	for _, s := range [][2]ast.IsNode{{sides.Left, sides.Right}, {sides.Right, sides.Left}} {
		if a, ok := s[0].(ast.NodeTypeAccess); ok && isVariable(a.Arg, "principal") && a.Value == "trust_domain" {
			out = append(out, stringLiterals(s[1])...)
		}
	}
	return out
}
