package arch_test

import (
	"go/ast"
	"go/types"
	"testing"
)

// TestOnlyTheSearchHasPartsBeforeTheRecord holds the one way to a secret that needs no
// receipt, PoolOptions.Derive, to what answers are searched for: whoever took it must
// write a function of providers.Parts, or give the Pool another.
func TestOnlyTheSearchHasPartsBeforeTheRecord(t *testing.T) {
	takes, gives := 0, 0
	for _, f := range product(t) {
		for _, position := range f.uses("providers", "Parts") {
			takes++
			if f.name != "injector/forms.go" {
				t.Errorf("%s uses providers.Parts: only what an answer is searched for is made of them; a request takes a providers.Opened", position)
			}
		}
		for position, value := range f.given("Derive") {
			gives++
			if f.pkg != "broker" || value != "injector.Forms" {
				t.Errorf("%s gives %s as Derive: expected injector.Forms, in broker alone", position, value)
			}
		}
	}
	if takes != 1 || gives != 1 {
		t.Errorf("got %d uses of providers.Parts and %d of Derive, want one of each: does this test still find them?", takes, gives)
	}
}

// given returns what s sets a field of this name to, in a literal or by an assignment, by
// where.
func (s source) given(field string) map[string]string {
	found := map[string]string{}
	ast.Inspect(s.file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.KeyValueExpr:
			if key, ok := n.Key.(*ast.Ident); ok && key.Name == field {
				found[s.set.Position(n.Pos()).String()] = types.ExprString(n.Value)
			}
		case *ast.AssignStmt:
			for i, left := range n.Lhs {
				if x, ok := left.(*ast.SelectorExpr); ok && x.Sel.Name == field {
					found[s.set.Position(n.Pos()).String()] = types.ExprString(n.Rhs[min(i, len(n.Rhs)-1)])
				}
			}
		}
		return true
	})
	return found
}
