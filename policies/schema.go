package policies

import (
	"maps"
	"slices"

	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/schema/ast"
)

// model is the schema in the form the checks walk: the generated syntax tree
// and the shapes behind the variables of a policy.
type model struct {
	ast      *ast.Schema
	context  ast.RecordType
	agent    ast.RecordType
	resource ast.RecordType // what any resource can have
}

func newModel(o Options) model {
	m := model{
		context:  contextShape(o),
		agent:    record("trust_domain", ast.String(), "path", ast.String()),
		resource: record("upstream", ast.String(), "name", ast.String(), "kind", ast.String()),
	}
	target := record("upstream", ast.String(), "name", ast.String())
	inUpstream := []ast.EntityTypeRef{ast.EntityTypeRef(typeUpstream)}
	m.ast = &ast.Schema{
		CommonTypes: ast.CommonTypes{"Context": {Type: m.context}},
		Entities: ast.Entities{
			ast.Ident(typeTrustDomain): {},
			ast.Ident(typePathPrefix):  {},
			ast.Ident(typeAgent): {
				ParentTypes: []ast.EntityTypeRef{ast.EntityTypeRef(typeTrustDomain), ast.EntityTypeRef(typePathPrefix)},
				Shape:       m.agent,
			},
			ast.Ident(typeUpstream): {Shape: m.resource},
			ast.Ident(typeTool):     {ParentTypes: inUpstream, Shape: target},
			ast.Ident(typePrompt):   {ParentTypes: inUpstream, Shape: target},
			ast.Ident(typeResource): {ParentTypes: inUpstream, Shape: target},
			ast.Ident(typePath):     {ParentTypes: inUpstream, Shape: target},
		},
		Actions: schemaActions(),
	}
	return m
}

func schemaActions() ast.Actions {
	out := ast.Actions{}
	for _, g := range groups() {
		out[types.String(g)] = ast.Action{}
	}
	for _, v := range verbs() {
		a := ast.Action{AppliesTo: &ast.AppliesTo{
			Principals: []ast.EntityTypeRef{ast.EntityTypeRef(typeAgent)},
			Context:    ast.Type("Context"),
		}}
		for _, t := range v.on {
			a.AppliesTo.Resources = append(a.AppliesTo.Resources, ast.EntityTypeRef(t))
		}
		if v.group != "" {
			a.Parents = []ast.ParentRef{ast.ParentRefFromID(types.String(v.group))}
		}
		out[types.String(v.name)] = a
	}
	return out
}

func contextShape(o Options) ast.RecordType {
	fact := record("value", ast.String(), "age", ast.Long(), "issuer", ast.String())
	facts := ast.RecordType{}
	for _, name := range o.PostureNames {
		facts[types.String(name)] = ast.Attribute{Type: fact, Optional: true}
	}
	zone := record("weekday", ast.String(), "hour", ast.Long(), "minute", ast.Long(),
		"minute_of_day", ast.Long(), "date", ast.String())
	clocks := ast.RecordType{}
	for name := range o.Clocks {
		clocks[types.String(name)] = ast.Attribute{Type: zone}
	}
	return record("posture", facts, "clock", clocks, "now", ast.Datetime(), "credential", ast.String())
}

// record makes a record type of required attributes from name, type pairs.
func record(pairs ...any) ast.RecordType {
	out := ast.RecordType{}
	for i := 0; i < len(pairs); i += 2 {
		out[types.String(pairs[i].(string))] = ast.Attribute{Type: pairs[i+1].(ast.IsType)}
	}
	return out
}

func attributeNames(r ast.RecordType) []string {
	names := make([]string, 0, len(r))
	for _, n := range slices.Sorted(maps.Keys(r)) {
		names = append(names, string(n))
	}
	return names
}
