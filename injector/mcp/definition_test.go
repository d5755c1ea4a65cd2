package mcp_test

import (
	"slices"
	"strings"
	"testing"

	"mintmark/injector/mcp"
)

func TestTheChangedPartsOfADefinitionAreNamed(t *testing.T) {
	const before = `{"name":"lookup","description":"finds an order","inputSchema":{"type":"object","required":["a"]}}`
	for name, c := range map[string]struct {
		after string
		want  []string
	}{
		"nothing":                 {before, nil},
		"order and spacing":       {`{"inputSchema": {"required":["a"], "type":"object"}, "description":"finds an order", "name":"lookup"}`, nil},
		"the description":         {strings.Replace(before, "finds", "sends", 1), []string{"description"}},
		"the schema":              {strings.Replace(before, `"a"`, `"b"`, 1), []string{"inputSchema"}},
		"both":                    {strings.NewReplacer("finds", "sends", `"a"`, `"b"`).Replace(before), []string{"description", "inputSchema"}},
		"one that was not there":  {strings.Replace(before, "{", `{"title":"Lookup",`, 1), []string{"title"}},
		"one that is gone":        {strings.Replace(before, `"description":"finds an order",`, "", 1), []string{"description"}},
		"what is no part of it":   {strings.Replace(before, "{", `{"_meta":{"a":1},`, 1), nil},
		"a description, repeated": {strings.Replace(before, "finds an order", "canary-secret", 1), []string{"description"}},
	} {
		first, err := mcp.DefinitionParts([]byte(before))
		if err != nil {
			t.Fatal(err)
		}
		second, err := mcp.DefinitionParts([]byte(c.after))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := mcp.ChangedParts(first, second); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v, of %q and %q", name, got, c.want, first, second)
		}
		// A server that looks for two texts with one digest has 2^64 to try.
		if one, _, _ := strings.Cut(strings.TrimPrefix(second, "name "), ","); strings.HasPrefix(second, "name ") && len(one) != 32 {
			t.Errorf("%s: got digests of %d characters in %q, want 32", name, len(one), second)
		}
		if strings.Contains(second, "canary") || strings.Contains(second, "order") {
			t.Errorf("%s: got the text itself in %q", name, second)
		}
	}
	if _, err := mcp.DefinitionParts([]byte(`{"Name":"a"}`)); err == nil {
		t.Error("got the parts of a tool that can be read in two ways")
	}
}
