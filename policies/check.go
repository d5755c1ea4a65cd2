package policies

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
	sast "github.com/cedar-policy/cedar-go/x/exp/schema/ast"

	"mintmark/broker/bundle"
)

// checks finds what Cedar's validator lets pass although it can only be a
// mistake: a literal entity that does not exist (the validator knows types,
// not names) and "has" of an attribute that never exists (which is just false).
// In a forbid, both would be a rule that never forbids.
type checks struct {
	model     model
	upstreams map[string]string // name → kind
	actions   []string          // verbs and groups

	facts        map[string][]string // all values of posture facts, where they are known
	trustDomains []string            // that agents come from; none where that is not known
}

func newChecks(o Options, m model) checks {
	c := checks{model: m, upstreams: map[string]string{}, actions: groups(), facts: o.PostureValues, trustDomains: o.TrustDomains}
	for _, u := range o.Upstreams {
		c.upstreams[u.Name] = kindOr(u.Kind)
	}
	for _, v := range verbs() {
		c.actions = append(c.actions, v.name)
	}
	return c
}

func kindOr(kind string) string {
	if kind == "" {
		return kindMCP
	}
	return kind
}

// policy returns the faults of one policy, each once.
func (c checks) policy(p *ast.Policy, where place) []problem {
	var out []problem
	add := func(i int, text string) {
		if f := (problem{where.at(i), text}); text != "" && !slices.Contains(out, f) {
			out = append(out, f)
		}
	}
	for _, uid := range scopeEntities(p) {
		add(findEntity(where.tokens, uid), c.entity(uid))
	}
	if s, ok := p.Resource.(ast.ScopeTypeIsIn); ok {
		add(findEntity(where.tokens, s.Entity), c.within(s.Type, s.Entity))
	}
	for _, cond := range p.Conditions {
		ast.Inspect(ast.NewNode(cond.Body), func(n ast.IsNode) bool {
			switch n := n.(type) {
			case ast.NodeValue:
				if uid, ok := n.Value.(types.EntityUID); ok {
					add(findEntity(where.tokens, uid), c.entity(uid))
				}
			case ast.NodeTypeHas:
				add(findAttribute(where.tokens, string(n.Value)), c.attribute(n.Arg, n.Value))
			case ast.NodeTypeAccess:
				add(findAttribute(where.tokens, string(n.Value)), c.attribute(n.Arg, n.Value))
			}
			if t, uid, ok := typeWithin(n); ok {
				add(findEntity(where.tokens, uid), c.within(t, uid))
			}
			for _, f := range c.literals(n) {
				add(f.find(where.tokens), f.text)
			}
			if t := testedType(n); t != "" && !slices.Contains(entityTypes(), t) {
				add(findWord(where.tokens, string(t)), unknownType(t))
			}
			return true
		})
	}
	return out
}

func scopeEntities(p *ast.Policy) []types.EntityUID {
	var out []types.EntityUID
	for _, scope := range []ast.IsScopeNode{p.Principal, p.Action, p.Resource} {
		switch s := scope.(type) {
		case ast.ScopeTypeEq:
			out = append(out, s.Entity)
		case ast.ScopeTypeIn:
			out = append(out, s.Entity)
		case ast.ScopeTypeInSet:
			out = append(out, s.Entities...)
		case ast.ScopeTypeIsIn:
			out = append(out, s.Entity)
		}
	}
	return out
}

// entity says what is wrong with a literal, or "".
func (c checks) entity(uid types.EntityUID) string {
	id := string(uid.ID)
	switch uid.Type {
	case typeAction:
		if !slices.Contains(c.actions, id) {
			return c.unknownAction(id)
		}
	case typeUpstream:
		return c.upstream(id, "")
	case typeTool, typePrompt, typeResource, typePath:
		return c.target(uid.Type, id)
	case typeAgent:
		if parsed, err := spiffeid.FromString(id); err != nil || parsed.Path() == "" {
			return fmt.Sprintf("agent, expected a SPIFFE ID with a path, got %q", id)
		}
	case typePathPrefix:
		if parsed, err := spiffeid.FromString(id); err != nil || parsed.Path() == "" {
			return fmt.Sprintf("path prefix, expected spiffe://TRUST-DOMAIN/PATH, got %q", id)
		}
	case typeTrustDomain:
		if td, err := spiffeid.TrustDomainFromString(id); err != nil || td.Name() != id {
			return fmt.Sprintf("trust domain, expected its bare name, got %q", id)
		}
	default:
		return unknownType(uid.Type)
	}
	return ""
}

func unknownType(t types.EntityType) string {
	return fmt.Sprintf("type, expected one of %v, got %q", entityTypes(), t)
}

func (c checks) target(t types.EntityType, id string) string {
	name, rest, ok := strings.Cut(id, "/")
	if !ok || rest == "" && t != typePath {
		return fmt.Sprintf("%s, expected \"UPSTREAM/NAME\", got %q", t, id)
	}
	if why := c.upstream(name, kindOf(t)); why != "" || t != typePath {
		return why
	}
	if err := plainPath("/" + rest); err != nil {
		return fmt.Sprintf("%s, %v", t, err)
	}
	return ""
}

// within says what is wrong with something of a type in an upstream, or "": tools
// are in none of kind http.
func (c checks) within(t types.EntityType, uid types.EntityUID) string {
	if kindOf(t) == "" || uid.Type != typeUpstream {
		return ""
	}
	return c.upstream(string(uid.ID), kindOf(t))
}

func (c checks) upstream(name, kind string) string {
	got, ok := c.upstreams[name]
	if !ok {
		known := slices.Sorted(maps.Keys(c.upstreams))
		return fmt.Sprintf("upstream, expected one of %s, got %q%s", strings.Join(known, ", "), name, bundle.DidYouMean(name, known))
	}
	if kind != "" && got != kind {
		return fmt.Sprintf("upstream, expected one of kind %s, got %q of kind %s", kind, name, got)
	}
	return ""
}

// attribute says what is wrong with reading or testing name of arg, or "".
func (c checks) attribute(arg ast.IsNode, name types.String) string {
	shape, path, ok := c.shape(arg)
	if !ok {
		return ""
	}
	if _, ok := shape[name]; ok {
		return ""
	}
	names := attributeNames(shape)
	want := "one of " + strings.Join(names, ", ")
	if len(names) == 0 {
		want = "none, because none is registered"
	}
	return fmt.Sprintf("attribute of %s, expected %s, got %q", path, want, name)
}

// shape returns the record that n always is, and how it is written.
func (c checks) shape(n ast.IsNode) (sast.RecordType, string, bool) {
	switch n := n.(type) {
	case ast.NodeTypeVariable:
		switch n.Name {
		case "context":
			return c.model.context, "context", true
		case "principal":
			return c.model.agent, "principal", true
		case "resource":
			return c.model.resource, "resource", true
		}
	case ast.NodeTypeAccess:
		parent, path, ok := c.shape(n.Arg)
		if !ok {
			return nil, "", false
		}
		r, ok := parent[n.Value].Type.(sast.RecordType)
		return r, path + "." + string(n.Value), ok
	}
	return nil, "", false
}

// testedType returns the type that n tests for with "is", or "".
func testedType(n ast.IsNode) types.EntityType {
	switch n := n.(type) {
	case ast.NodeTypeIs:
		return n.EntityType
	case ast.NodeTypeIsIn:
		return n.EntityType
	default:
		return ""
	}
}

// typeWithin returns the type and the literal that n tests for with "is in".
func typeWithin(n ast.IsNode) (t types.EntityType, uid types.EntityUID, ok bool) {
	test, ok := n.(ast.NodeTypeIsIn)
	if !ok {
		return "", types.EntityUID{}, false
	}
	value, ok := test.Entity.(ast.NodeValue)
	if !ok {
		return "", types.EntityUID{}, false
	}
	uid, ok = value.Value.(types.EntityUID)
	return test.EntityType, uid, ok
}

func (c checks) unknownAction(got string) string {
	if near := bundle.DidYouMean(got, c.actions); near != "" {
		return fmt.Sprintf("action, expected one of the model, got %q%s", got, near)
	}
	return fmt.Sprintf("action, expected one of the model, such as %s, got %q", nearestAction(got, c.actions), got)
}

// nearestAction returns the known one that shares most with got, or, where none is
// like it, the groups and what is in none of them.
func nearestAction(got string, known []string) string {
	best, score := "", 3 // fewer common letters than this is no hint
	for _, k := range known {
		if n := commonEnds(strings.ToLower(got), strings.ToLower(k)); n > score {
			best, score = k, n
		}
	}
	if best != "" {
		return strconv.Quote(best)
	}
	names := groups()
	for _, v := range verbs() {
		if v.group == "" {
			names = append(names, v.name)
		}
	}
	return strings.Join(names, ", ")
}

// commonEnds counts the letters two words share at their beginning and end.
func commonEnds(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	m := 0
	for m < len(a)-n && m < len(b)-n && a[len(a)-1-m] == b[len(b)-1-m] {
		m++
	}
	return n + m
}
