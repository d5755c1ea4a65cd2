package policies_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mintmark/attest/posture/trivy"
	"mintmark/attest/x509svid"
	"mintmark/broker/bundle"
	"mintmark/policies"
)

const examples = "../docs/examples/policies"

// TestExamples runs the policy tests that are printed in the documentation, as
// "mintmark policy test" does: the whole directory at once.
func TestExamples(t *testing.T) {
	set := loadExamples(t)
	tests, err := filepath.Glob(filepath.Join(examples, "*.test.yaml"))
	if err != nil || len(tests) < 2 {
		t.Fatalf("got %d test files (%v), want at least 2", len(tests), err)
	}
	for _, file := range tests {
		t.Run(filepath.Base(file), func(t *testing.T) {
			results, err := policies.RunTests(set, known(), filepath.Base(file), read(t, file))
			if err != nil {
				t.Fatal(err)
			}
			if len(results) < 10 {
				t.Errorf("got %d cases, want at least 10", len(results))
			}
			for _, r := range results.Failed() {
				t.Error(r)
			}
		})
	}
}

// loadExamples compiles the examples against the registrations beside them.
func loadExamples(t *testing.T) *policies.Set {
	t.Helper()
	b, err := bundle.Load(examples, bundle.Kinds{
		Attestors: map[string]func() any{"x509-svid": func() any { return new(x509svid.Config) }},
		Posture:   map[string]func() any{"trivy": func() any { return new(trivy.Config) }},
	})
	if err != nil {
		t.Fatal(err)
	}
	o := policies.Options{Clocks: map[string]*time.Location{}, PostureNames: slices.Collect(maps.Keys(b.Config.Posture))}
	for name, zone := range b.Config.Clocks {
		o.Clocks[name] = zone.Location
	}
	for name, u := range b.Config.Upstreams {
		o.Upstreams = append(o.Upstreams, policies.Upstream{Name: name, Kind: u.Kind})
	}
	var files []policies.File
	for _, p := range b.Policies {
		files = append(files, policies.File{Name: p.Name, Content: p.Content})
	}
	set, err := policies.Compile(files, o)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// known is what the tests' cases may name.
func known() policies.Known {
	return policies.Known{TrustDomains: []string{"acme.example"}, Credentials: map[string][]string{"github": {"gh", "github-app"}}}
}

const goodCase = `cases:
  - name: one
    agent: spiffe://acme.example/team/a/agent
    upstream: github
    method: tools/call
    tool: create_issue
    time: 2026-06-10T12:00:00Z
    expect: allow
`

func TestRunTestsJudges(t *testing.T) {
	set := compile(t, `@id("all") permit (principal, action, resource) when { context.credential == "" };
		@id("other") forbid (principal, action == Action::"tools/list", resource);`)
	for _, tc := range []struct {
		name, more string
		pass       bool
	}{
		{"as expected", "", true},
		{"by the policy named", "    policies: [all]\n", true},
		{"by another policy", "    policies: [other]\n", false},
		{"by none", "    policies: []\n", false},
		{"with another credential", "    credential: gh\n", false},
		{"without the reason", "    reason_contains: because\n", false},
	} {
		results, err := policies.RunTests(set, known(), "x.test.yaml", []byte(goodCase+tc.more))
		if err != nil || len(results) != 1 {
			t.Fatalf("%s: got %v, %v", tc.name, results, err)
		}
		if r := results[0]; r.Pass != tc.pass || r.Name != "one" || r.Line != 2 {
			t.Errorf("%s: got %s", tc.name, r)
		}
		if failed := results.Failed(); (len(failed) == 0) != tc.pass {
			t.Errorf("%s: failed %v", tc.name, failed)
		}
	}
	elsewhere := strings.Replace("trust_domains: [b.example]\n"+goodCase, "acme.example", "b.example", 1)
	if results, err := policies.RunTests(set, known(), "x.test.yaml", []byte(elsewhere)); err != nil || len(results.Failed()) != 0 {
		t.Errorf("an agent of a trust domain that the file lists: got %v, %v, want a pass", results, err)
	}
	results, _ := policies.RunTests(set, known(), "x.test.yaml", []byte(strings.Replace(goodCase, "allow", "deny", 1)))
	if len(results) == 1 && strings.Contains(results[0].String(), "()") {
		t.Errorf("got %s, want no empty reason", results[0])
	}
	if len(results) != 1 || results[0].Pass || results[0].Got != "allow" || !slices.Equal(results[0].Policies, []string{"all"}) {
		t.Errorf("a wrong expectation: got %v, want it to fail and say by which policy", results)
	}
}

func TestRunTestsRefuses(t *testing.T) {
	set := compile(t, "")
	change := func(old, with string) string { return strings.Replace(goodCase, old, with, 1) }
	for _, tc := range []struct{ name, file, want string }{
		{"nothing", "", "at least one"},
		{"no cases", "cases: []", "at least one"},
		{"unknown key", change("tool:", "tols:"), `x.test.yaml:6: got unknown key "tols", want one of name, agent, `},
		{"unknown key, nearly one", change("tool:", "tol:"), `did you mean "tool"?`},
		{"unknown upstream", change("upstream: github", "upstream: githob"), `x.test.yaml:4:15: case "one": upstream: got "githob", want the name of a registered upstream: did you mean "github"?`},
		{"unknown method", change("tools/call", "tools/cal"), `x.test.yaml:5:13: case "one": method: got "tools/cal", want an action of the model, see: mintmark policy schema: did you mean "tools/call"?`},
		{"unknown trust domain", change("acme.example", "acme.exmaple"), `x.test.yaml:3:12: case "one": agent: got one of trust domain "acme.exmaple", want one of acme.example, or list it under trust_domains beside cases: did you mean "acme.example"?`},
		{"agent without a path", change("spiffe://acme.example/team/a/agent", "spiffe://acme.example"), "the agent is not proven"},
		{"method of another kind", change("upstream: github", "upstream: api"), `got "tools/call" on upstream "api", want what can be asked: the upstream is of kind http, and the method is for kind mcp`},
		{"method without its target", change("    tool: create_issue\n", ""), "the method is for a tool, and none was named"},
		{"path that no call has", strings.NewReplacer("github", "api", "tools/call", "http/GET", "tool: create_issue", "path: v1/a").Replace(goodCase),
			`x.test.yaml:6:11: case "one": path: got "v1/a", want the decoded path of a call: expected a leading slash, got none`},
		{"unknown credential", goodCase + "    credential: github-ap\n", `x.test.yaml:9:17: case "one": credential: got "github-ap", want a provider that upstream "github" has under credentials: did you mean "github-app"?`},
		{"unknown policy", goodCase + "    policies: [al]\n", `x.test.yaml:9:15: case "one": policies: got "al", want ids of policies`},
		{"unknown key at the top", "case:\n  - x", `unknown key "case"`},
		{"no expectation", change("    expect: allow\n", ""), `x.test.yaml:2:5: case "one": expect: required, but missing: want allow or deny`},
		{"wrong expectation", change("expect: allow", "expect: Allow"), `got "Allow", want allow or deny`},
		{"bad time", change("2026-06-10T12:00:00Z", "noon"), `x.test.yaml:7:11: case "one": time: got "noon"`},
		{"no time", change("    time: 2026-06-10T12:00:00Z\n", ""), `x.test.yaml:2:5: case "one": time: required, but missing: want when the call is made`},
		{"no name", change("  - name: one\n    agent", "  - agent"), `x.test.yaml:2:5: case "": name: required, but missing`},
		{"two slips", change("expect: allow", "expect: maybe") + "    posture: {rumour: {value: pass, age: 1h}}\n", "x.test.yaml:8:13: case \"one\": expect: got \"maybe\", want allow or deny\nx.test.yaml:9:14: case \"one\": posture: got \"rumour\""},
		{"a duration in days", goodCase + "    posture: {scan: {value: pass, age: 1d}}\n", "x.test.yaml:9: expected a duration in hours, minutes and seconds, such as 36h, 90m or 24h30m (a day is 24h), got `1d`"},
		{"unknown posture, nearly one", goodCase + "    posture: {scna: {value: pass, age: 1h}}\n", `posture: got "scna", want the name of a registered source, one of disk, scan: did you mean "scan"?`},
		{"bad agent", change("spiffe://acme.example/team/a/agent", "alice"), `agent: got "alice"`},
		{"two targets", change("tool: create_issue", "tool: a\n    prompt: b"), "more than one"},
		{"unregistered fact", goodCase + "    posture: {rumour: {value: pass, age: 1h}}\n", `posture: got "rumour"`},
		{"unknown key of a fact", goodCase + "    posture: {scan: {valu: pass, age: 1h}}\n", `unknown key "valu"`},
		{"bad age", goodCase + "    posture: {scan: {value: pass, age: old}}\n", "x.test.yaml:9"},
		{"same name twice", goodCase + strings.TrimPrefix(goodCase, "cases:\n"), "named once"},
		{"second document", goodCase + "---\n" + goodCase, "x.test.yaml:9: got a second document"},
		{"not yaml", "cases: [", "x.test.yaml:1: expected YAML: "},
		{"not yaml further down", goodCase + "  - {name: [}\n", "x.test.yaml:8: expected YAML: "},
	} {
		t.Run(tc.name, func(t *testing.T) {
			results, err := policies.RunTests(set, known(), "x.test.yaml", []byte(tc.file))
			if err == nil || results != nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v and %d results, want none and an error with %q", err, len(results), tc.want)
			}
		})
	}
}

// What becomes of each method between the two eras of MCP is said in both
// directions: by its name, or with all that begin like it.
func TestThePageOfMCPHasEveryMethod(t *testing.T) {
	page := string(read(t, "../docs/mcp.md"))
	methods := []string{"initialize", "ping"}
	for _, verb := range strings.Fields(strings.NewReplacer(`"`, " ", "\n", " ").Replace(compile(t, "").Schema())) {
		if strings.Contains(verb, "/") && !strings.HasPrefix(verb, "http/") {
			methods = append(methods, verb)
		}
	}
	if len(methods) < 20 {
		t.Fatalf("got the methods %v, want more", methods)
	}
	for _, heading := range []string{"Between eras: an agent with sessions, a stateless upstream", "A stateless agent on a server with sessions"} {
		_, rest, _ := strings.Cut(page, "\n## "+heading+"\n")
		section, _, _ := strings.Cut(rest, "\n## ")
		for _, method := range methods {
			first, _, _ := strings.Cut(method, "/")
			if !strings.Contains(section, "`"+method+"`") && !strings.Contains(section, "`"+first+"/*`") {
				t.Errorf("%s: no word of %s", heading, method)
			}
		}
	}
}

// TestDocumentationCompiles holds the page to what the code does.
func TestDocumentationCompiles(t *testing.T) {
	page := string(read(t, "../docs/policies.md"))
	blocks := func(language string) []string {
		var out []string
		for _, part := range strings.Split(page, "```"+language+"\n")[1:] {
			block, _, _ := strings.Cut(part, "```")
			out = append(out, block)
		}
		return out
	}
	cedars, yamls := blocks("cedar"), blocks("yaml")
	if len(cedars) == 0 || len(yamls) == 0 {
		t.Fatalf("got %d cedar and %d yaml blocks, want some of both", len(cedars), len(yamls))
	}
	set := compile(t, strings.Join(cedars, "\n"))
	for _, y := range yamls {
		y = strings.Replace(y, "    reason_contains", "    # reason_contains", 1) // the case allows
		results, err := policies.RunTests(set, known(), "policies.md", []byte(y))
		if err != nil || len(results) == 0 || len(results.Failed()) > 0 {
			t.Errorf("got %v, %v", results, err)
		}
	}
	for _, verb := range strings.Fields(strings.NewReplacer(`"`, " ", "\n", " ").Replace(set.Schema())) {
		if strings.Contains(verb, "/") && !strings.Contains(page, "`"+verb+"`") {
			t.Errorf("the page lacks action %s", verb)
		}
	}
}
