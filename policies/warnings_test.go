package policies_test

import (
	"strings"
	"testing"

	"mintmark/policies"
)

// TestCompileWarns holds that what is right and hardly meant is said, where it
// stands, with what there is, and that what may be meant is let be.
func TestCompileWarns(t *testing.T) {
	permit := func(condition string) string {
		return "permit (principal, action, resource)\nwhen { " + condition + " };"
	}
	for _, tc := range []struct {
		name, text string
		want       []string // in the warning; none: there is none
	}{
		{"agent of a stranger", `permit (principal == Agent::"spiffe://acme.exmaple/a", action, resource);`,
			[]string{"p.cedar:1:22: trust domain, expected one of acme.example, partner.example", `got "acme.exmaple"`, `did you mean "acme.example"?`}},
		{"trust domain of a stranger", `permit (principal in TrustDomain::"globex.test", action, resource);`,
			[]string{"p.cedar:1:22: trust domain", `got "globex.test", of which no agent comes unless SPIRE federates with it`}},
		{"path prefix of a stranger, in a forbid", "\nforbid (principal in PathPrefix::\"spiffe://acme.exampel/team\", action, resource);",
			[]string{"p.cedar:2:22: trust domain", `got "acme.exampel"`, `did you mean "acme.example"?`}},
		{"agent of a stranger in a condition", permit(`principal == Agent::"spiffe://acme/a"`), []string{"p.cedar:2:21: trust domain", `got "acme"`}},
		{"trust domain of a stranger in a string", permit(`principal.trust_domain == "partner.exampel"`),
			[]string{"p.cedar:2:34: trust domain", `got "partner.exampel"`, `did you mean "partner.example"?`}},
		{"trust domain of a stranger in a set", permit(`["acme.example", "partner"].contains(principal.trust_domain)`), []string{"p.cedar:2:25: trust domain", `got "partner"`}},
		{"a letter less in an annotation", `@id("x") @hnt("scan it") permit (principal, action, resource);`,
			[]string{`p.cedar:1:10: annotation, expected @hint or @id, got "@hnt", which does nothing: did you mean "@hint"?`}},
		{"two letters changed about in an annotation", "@hitn(\"scan it\")\npermit (principal, action, resource);", []string{`p.cedar:1:1: annotation`, `did you mean "@hint"?`}},
		{"upper case in an annotation", "@ID(\"x\")\npermit (principal, action, resource);", []string{`p.cedar:1:1: annotation`, `got "@ID"`, `did you mean "@id"?`}},
		{"a letter more in an annotation", "@hints(\"x\")\npermit (principal, action, resource);", []string{`got "@hints"`, `did you mean "@hint"?`}},
		{"who is known", permit(`principal.trust_domain == "partner.example" || principal == Agent::"spiffe://acme.example/a"`), nil},
		{"another string that is a trust domain", permit(`resource.name == "globex.test"`), nil},
		{"annotations of one's own", `@owner("a") @link("b") @kind("c") @description("d") permit (principal, action, resource);`, nil},
		{"annotations of ours", `@id("a") @hint("b") permit (principal, action, resource);`, nil},
		{"an annotation's word elsewhere", permit(`principal.path == "/hnt"`), nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := options(t)
			o.TrustDomains = []string{"acme.example", "partner.example"}
			set, err := policies.Compile([]policies.File{{Name: "p.cedar", Content: []byte(tc.text)}}, o)
			if err != nil {
				t.Fatalf("%s\ngot %v, want no fault", tc.text, err)
			}
			got := set.Warnings()
			if len(got) != min(len(tc.want), 1) {
				t.Fatalf("%s\ngot %v, want %d warnings", tc.text, got, min(len(tc.want), 1))
			}
			for _, want := range tc.want {
				if !strings.Contains(got[0].Error(), want) {
					t.Errorf("%s\ngot  %v\nwant %q in it", tc.text, got[0], want)
				}
			}
		})
	}
}

// A bundle's trust domains are not always known, and then none is a stranger.
func TestNobodyIsAStrangerWhereNobodyIsKnown(t *testing.T) {
	if got := compile(t, `permit (principal in TrustDomain::"globex.test", action, resource);`).Warnings(); len(got) != 0 {
		t.Errorf("got %v, want no warning", got)
	}
}
