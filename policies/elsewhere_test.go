package policies_test

import (
	"strings"
	"testing"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"mintmark/policies"
)

func TestConcerns(t *testing.T) {
	upstreams := []policies.Upstream{{Name: "one"}, {Name: "two"}, {Name: "web", Kind: "http"}}
	const agent = `principal == Agent::"spiffe://a.example/x"`
	for name, c := range map[string]struct {
		policy string
		one    bool // of upstream one
	}{
		"named":                         {`permit (` + agent + `, action, resource in Upstream::"one");`, true},
		"named, under a condition":      {`permit (` + agent + `, action, resource in Upstream::"one") when { context.now < datetime("1999-01-01") };`, true},
		"a tool of it":                  {`permit (` + agent + `, action == Action::"tools/call", resource == Tool::"one/t");`, true},
		"by its trust domain":           {`permit (principal in TrustDomain::"a.example", action == Action::"tools/call", resource is Tool in Upstream::"one");`, true},
		"all of them":                   {`permit (` + agent + `, action, resource);`, true},
		"all of them, under conditions": {`permit (` + agent + `, action, resource) when { resource.upstream == "one" };`, false},
		"another":                       {`permit (` + agent + `, action, resource in Upstream::"two");`, false},
		"another agent":                 {`permit (principal == Agent::"spiffe://a.example/y", action, resource in Upstream::"one");`, false},
		"a forbid":                      {`forbid (` + agent + `, action, resource in Upstream::"one");`, false},
		"nothing":                       {``, false},
	} {
		t.Run(name, func(t *testing.T) {
			set, err := policies.Compile([]policies.File{{Name: "p.cedar", Content: []byte(c.policy)}}, policies.Options{Upstreams: upstreams})
			if err != nil {
				t.Fatal(err)
			}
			id := spiffeid.RequireFromString("spiffe://a.example/x")
			if got := set.Concerns(id, "one"); got != c.one {
				t.Errorf("got %t, want %t", got, c.one)
			}
			if set.Concerns(id, "three") || set.Concerns(spiffeid.ID{}, "one") {
				t.Error("an upstream or an agent that is none concerns somebody")
			}
		})
	}
}

// The reason is the same for each upstream, whatever policies say of it.
func TestElsewhereSaysNothingOfTheUpstream(t *testing.T) {
	set, err := policies.Compile([]policies.File{{Name: "p.cedar", Content: []byte(`
		@id("all") permit (principal, action == Action::"tools/list", resource);
		@id("one") @hint("secret one") forbid (principal, action, resource in Upstream::"one");
		@id("two") @hint("secret two") permit (principal, action, resource) when { resource.upstream == "two" };
		@id("any") @hint("not now") forbid (principal, action == Action::"tools/call", resource) when { resource.name == "t" };
	`)}}, policies.Options{Upstreams: []policies.Upstream{{Name: "one"}, {Name: "two"}, {Name: "web", Kind: "http"}}})
	if err != nil {
		t.Fatal(err)
	}
	agent := spiffeid.RequireFromString("spiffe://a.example/x")
	for _, c := range []struct {
		method string
		target policies.Target
		says   string
	}{
		{"tools/list", policies.Target{}, "no policy permits this agent to do that there; or no upstream"},
		{"tools/call", policies.Target{Type: policies.Tool, Name: "t"}, `forbidden by policy "any": not now; or no upstream`},
		{"tools/call", policies.Target{}, "no policy permits this agent to do that there; or no upstream"},
		{"tools/call", policies.Target{Type: policies.Tool, Name: "u"}, "no upstream of this name"},
		{"http/GET", policies.Target{Type: policies.Path, Name: "/x"}, "no upstream of this name"},
		{"no/method", policies.Target{}, "no policy permits this agent to do that there; or no upstream"},
	} {
		want := set.Elsewhere(policies.Request{Agent: agent, Upstream: "NAME", Method: c.method, Target: c.target, Now: noon})
		if !strings.Contains(want, c.says) || strings.Contains(want, "secret one") {
			t.Errorf("%s %v: got %q, want %q in it", c.method, c.target, want, c.says)
		}
		for _, upstream := range []string{"one", "two", "web", "nobody"} {
			got := set.Elsewhere(policies.Request{Agent: agent, Upstream: upstream, Method: c.method, Target: c.target, Now: noon})
			if got = strings.ReplaceAll(got, `upstream "`+upstream, `upstream "NAME`); got != want {
				t.Errorf("%s of %s: got %q, want %q", c.method, upstream, got, want)
			}
		}
	}
}
