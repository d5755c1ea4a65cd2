package policies_test

import (
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"mintmark/policies"
)

// TestCompileRefuses holds that each mistake is found, where it stands, with
// what was expected and what was got.
func TestCompileRefuses(t *testing.T) {
	permit := func(condition string) string {
		return "permit (principal, action, resource)\nwhen { " + condition + " };"
	}
	for _, tc := range []struct{ name, text, at, want, got string }{
		{"optional fact without has", permit(`context.posture.scan.value == "pass"`), "2:24", `context.posture has scan`, "without that guard"},
		{"guard of another fact", permit(`context.posture has disk && context.posture.scan.value == "pass"`), "2:52", `context.posture has scan`, "without that guard"},
		{"unknown fact", permit(`context.posture.scna.value == "pass"`), "2:24", "one of disk, scan", `"scna"`},
		{"unknown fact after has", permit(`context.posture has scna && context.posture.scna.value == "pass"`), "2:52", "one of disk, scan", `"scna"`},
		{"has of an unknown fact only", permit(`context.posture has scna`), "2:28", "one of disk, scan", `"scna"`},
		{"has of an unknown fact in a path", permit(`context has posture.scna`), "2:28", "one of disk, scan", `"scna"`},
		{"unknown fact in brackets", permit(`context.posture["scna"].value == "pass"`), "2:24", "one of disk, scan", `"scna"`},
		{"unknown part of a fact", permit(`context.posture has scan && context.posture.scan.vlaue == "pass"`), "2:57", "one of age, issuer, value", `"vlaue"`},
		{"unknown clock", permit(`context.clock.paris.hour > 8`), "2:22", "one of berlin, kolkata, utc", `"paris"`},
		{"unknown part of a clock", permit(`context.clock.berlin.minutes > 8`), "2:29", "minute_of_day", `"minutes"`},
		{"unknown context", permit(`context.tool == "x"`), "2:16", "one of clock, credential, now, posture", `"tool"`},
		{"unknown principal attribute", permit(`principal.role == "admin"`), "2:18", "one of path, trust_domain", `"role"`},
		{"attribute of another resource", `permit (principal, action == Action::"tools/call", resource) when { resource.kind == "mcp" };`, "1:78", "every resource in the policy's scope", `"kind"`},
		{"wrong case of a weekday", permit(`context.clock.berlin.weekday == "Monday"`), "2:40", "monday", `"Monday"`},
		{"wrong case of a weekday in a set", permit(`["monday", "tue"].contains(context.clock.berlin.weekday)`), "2:19", "tuesday", `"tue"`},
		{"no weekday like it", permit(`context.clock.berlin.weekday like "S*"`), "2:29", "monday", `"S*"`},
		{"no upstream like it", permit(`resource.upstream like "gitlab*"`), "2:17", "one of api, github, payroll", `"gitlab*"`},
		{"value that no source gives", permit(`context.posture has scan && context.posture.scan.value == "pas"`), "2:66", "context.posture.scan.value, expected one of fail, pass", `got "pas": did you mean "pass"?`},
		{"value that no source gives, in a set", permit(`context.posture has scan && ["pass", "Fail"].contains(context.posture.scan.value)`), "2:45", "one of fail, pass", `got "Fail": did you mean "fail"?`},
		{"value that no source gives, in a forbid", `forbid (principal, action, resource) when { context.posture has scan && "failed" != context.posture.scan.value };`, "1:73", "one of fail, pass", `got "failed": did you mean "fail"?`},
		{"no value of a source is like it", permit(`context.posture has scan && context.posture.scan.value like "ok*"`), "2:", "context.posture.scan.value, expected a pattern of one of fail, pass", `"ok*"`},
		{"trust domain as a URL, in a string", permit(`principal.trust_domain == "spiffe://acme.example"`), "2:34", "bare name", `"spiffe://acme.example"`},
		{"path without its slash", permit(`["/team/a", "team/b"].contains(principal.path)`), "2:20", "begins with a slash", `"team/b"`},
		{"path that ends in a slash", permit(`principal.path == "/team/"`), "2:26", "begins with a slash", `"/team/"`},
		{"unknown upstream", `permit (principal, action, resource in Upstream::"gitlab");`, "1:40", "one of api, github, payroll", `"gitlab"`},
		{"unknown upstream in a condition", permit(`resource in Upstream::"gitlab"`), "2:20", "one of api, github, payroll", `"gitlab"`},
		{"unknown upstream in a string", permit(`resource.upstream == "gitlab"`), "2:29", "one of api, github, payroll", `"gitlab"`},
		{"unknown upstream of a tool", `permit (principal, action, resource == Tool::"gitlab/x");`, "1:40", "one of api, github, payroll", `"gitlab"`},
		{"tool without upstream", `permit (principal, action, resource == Tool::"x");`, "1:40", `"UPSTREAM/NAME"`, `"x"`},
		{"tool of an http upstream", `permit (principal, action, resource == Tool::"api/x");`, "1:40", "of kind mcp", `"api" of kind http`},
		{"tools in an http upstream", `forbid (principal, action, resource is Tool in Upstream::"api");`, "1:48", "of kind mcp", `"api" of kind http`},
		{"paths in an mcp upstream, in a condition", permit(`resource is Path in Upstream::"github"`), "2:28", "of kind http", `"github" of kind mcp`},
		{"path of an mcp upstream", `permit (principal, action, resource == Path::"github/x");`, "1:40", "of kind http", `"github" of kind mcp`},
		{"unknown action", `permit (principal, action == Action::"tools/cal", resource);`, "1:30", "expected one of the model", `"tools/cal": did you mean "tools/call"?`},
		{"an action like none", `permit (principal, action == Action::"list_the_tools", resource);`, "1:30", `such as "`, `got "list_the_tools"`},
		{"unknown action in a set", `permit (principal, action in [Action::"ping", Action::"pong"], resource);`, "1:47", "one of the model", `"pong"`},
		{"unknown action in a condition", permit(`action == Action::"tools/cal"`), "2:18", "expected one of the model", `"tools/cal": did you mean "tools/call"?`},
		{"action of the server", `forbid (principal, action == Action::"sampling/createMessage", resource);`, "1:30", "one of the model", `"sampling/createMessage"`},
		{"action of the server in a condition", permit(`action == Action::"elicitation/create"`), "2:18", "one of the model", `"elicitation/create"`},
		{"roots are the server's to list", `forbid (principal, action in [Action::"roots/list"], resource);`, "1:31", "one of the model", `"roots/list"`},
		{"group of the server", `forbid (principal, action in Action::"ask", resource);`, "1:30", "one of the model", `"ask"`},
		{"escaped path", `permit (principal, action, resource == Path::"api/a%20b");`, "1:40", "the decoded path", `"%20"`},
		{"escaped path in a condition", permit(`resource == Path::"api/caf%C3%A9"`), "2:20", "the decoded path", `"%C3"`},
		{"percent sign in a path", permit(`resource == Path::"api/100%"`), "2:20", "the decoded path", `"%"`},
		{"dot segment in a path", `forbid (principal, action, resource == Path::"api/v1/../admin");`, "1:40", "no dot segments", `".."`},
		{"empty segment in a path", `forbid (principal, action, resource == Path::"api//admin");`, "1:40", "no empty segments", `"//"`},
		{"query in a path", `forbid (principal, action, resource == Path::"api/admin?x=1");`, "1:40", "no semicolon, question mark", `'?'`},
		{"group where an action belongs", `permit (principal, action == Action::"list", resource);`, "1:1", `"action in"`, "none"},
		{"action for another resource", `permit (principal, action == Action::"tools/call", resource == Upstream::"github");`, "1:1", "applies to this principal and resource", "none"},
		{"unknown type", `permit (principal is User, action, resource);`, "1:22", "", "User"},
		{"unknown type in a condition", permit(`resource is Tol`), "2:20", "one of", `"Tol"`},
		{"agent that is no SPIFFE ID", `permit (principal == Agent::"alice", action, resource);`, "1:22", "SPIFFE ID", `"alice"`},
		{"path prefix with a slash", `permit (principal in PathPrefix::"spiffe://acme.example/a/", action, resource);`, "1:22", "spiffe://TRUST-DOMAIN/PATH", `a/"`},
		{"trust domain as a URL", `permit (principal in TrustDomain::"spiffe://acme.example", action, resource);`, "1:22", "bare name", "spiffe://"},
		{"text for a number", permit(`context.clock.berlin.hour > "8"`), "1:1", "Long", "String"},
		{"condition that is no bool", permit(`context.clock.berlin.hour`), "1:1", "Bool", "Long"},
		{"unequal types", permit(`context.credential == 7`), "1:1", "", "not compatible"},
		{"bad datetime", permit(`context.now > datetime("soon")`), "2:", "", "soon"},
		{"syntax", "permit (principal, action resource);", "1:27", `","`, `"resource"`},
		{"no semicolon", "permit (principal, action, resource)", "1:37", `";"`, "the end of the file"},
		{"cut short after a dot", "permit (principal, action, resource) when { context.", "1:", "", "got the end of the file"},
		{"unknown effect", "allow (principal, action, resource);", "1:1", "effect, expected permit or forbid, which are all that Cedar has", `got "allow"`},
		{"unknown effect after a policy", "permit (principal, action, resource);\n\n@id(\"two\")\nPermit (principal, action, resource);", "4:1", "permit or forbid", `got "Permit"`},
		{"unknown effect and nothing else", "deny", "1:1", "permit or forbid", `got "deny"`},
		{"no effect", `@id("one")`, "1:11", "permit or forbid", "the end of the file"},
		{"action like none", `permit (principal, action == Action::"frobnicate", resource);`, "1:30", "connect, list, tasks, http, tools/call, prompts/get", `"frobnicate"`},
		{"unknown type of a literal", `permit (principal, action, resource in Upstreams::"github");`, "1:40", "one of [Agent", `"Upstreams"`},
		{"unknown type of a literal in a condition", permit(`principal in Group::"admins"`), "2:21", "one of [Agent", `"Group"`},
		{"unclosed string", "permit (principal == Agent::\"x, action, resource);", "1:", "", ""},
		{"duplicate id", `@id("x") permit (principal, action, resource); @id("x") forbid (principal, action, resource);`, "1:52", "used once", `"x", which is also at p.cedar:1:1`},
		{"empty id", `@id("") permit (principal, action, resource);`, "1:5", "printable", `""`},
		{"unprintable id", `@id("a\nb") permit (principal, action, resource);`, "1:5", "printable", `"a\nb"`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			set, err := policies.Compile([]policies.File{{Name: "p.cedar", Content: []byte(tc.text)}}, options(t))
			if err == nil || set != nil {
				t.Fatalf("%s\ngot %v and a set, want an error and none", tc.text, err)
			}
			for _, want := range []string{"p.cedar:" + tc.at, tc.want, tc.got} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%s\ngot  %v\nwant %q in it", tc.text, err, want)
				}
			}
		})
	}
}

func TestCompileReportsEverythingAtOnce(t *testing.T) {
	_, err := policies.Compile([]policies.File{
		{Name: "b.cedar", Content: []byte("permit (principal, action, resource in Upstream::\"x\");\npermit (principal, action, resource in Upstream::\"y\");")},
		{Name: "a.cedar", Content: []byte("permit (principal")},
	}, options(t))
	if err == nil {
		t.Fatal("got no error")
	}
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != 3 || !strings.HasPrefix(lines[0], "a.cedar:1:") || !strings.HasPrefix(lines[1], "b.cedar:1:") || !strings.HasPrefix(lines[2], "b.cedar:2:") {
		t.Errorf("got\n%v\nwant one fault of a.cedar and two of b.cedar, in order", err)
	}
}

func TestCompileSaysTheSameTwice(t *testing.T) {
	text := []byte(`permit (principal, action, resource) when { context.posture.scan.value == 7 && resource.kind == "mcp" };`)
	first := ""
	for range 20 {
		_, err := policies.Compile([]policies.File{{Name: "p.cedar", Content: text}}, options(t))
		if first == "" {
			first = err.Error()
		}
		if err.Error() != first {
			t.Fatalf("got\n%v\nafter\n%s", err, first)
		}
	}
}

func TestPolicyIDs(t *testing.T) {
	set := compile(t, `
permit (principal, action, resource);
@id("named") permit (principal, action, resource);
forbid (principal, action, resource in Upstream::"api");`)
	if got := strings.Join(set.IDs(), " "); got != "named p.cedar#1 p.cedar#3" {
		t.Errorf("got %q", got)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for name, o := range map[string]policies.Options{
		"slash in upstream":  {Upstreams: []policies.Upstream{{Name: "a/b"}}},
		"upstream twice":     {Upstreams: []policies.Upstream{{Name: "a"}, {Name: "a"}}},
		"unnamed upstream":   {Upstreams: []policies.Upstream{{}}},
		"unknown kind":       {Upstreams: []policies.Upstream{{Name: "a", Kind: "grpc"}}},
		"reserved fact name": {PostureNames: []string{"__entity"}},
		"clock of no zone":   {Clocks: map[string]*time.Location{"x": nil}},
	} {
		if _, err := policies.Compile(nil, o); err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
}

// TestSchemaIsCedar holds that the schema can be read by people and names what
// is registered.
func TestSchemaIsCedar(t *testing.T) {
	text := compile(t, "").Schema()
	for _, want := range []string{"entity Agent in [TrustDomain, PathPrefix]", `"tools/call"`, "scan?:", "berlin:", "minute_of_day: Long"} {
		if !strings.Contains(text, want) {
			t.Errorf("schema lacks %q:\n%s", want, text)
		}
	}
}

// FuzzCompile holds that no text, however broken, compiles into a set that
// panics, says two things, or allows an unproven agent or an unknown method.
func FuzzCompile(f *testing.F) {
	for _, seed := range []string{
		"", "permit (principal, action, resource);", `forbid (principal, action in [Action::"list"], resource is Tool) unless { context.posture has scan };`,
		`@id("x") @hint("y") permit (principal == Agent::"spiffe://a/b", action, resource) when { [1,2].contains(context.clock.utc.hour) };`,
		"permit (principal, action, resource) when { resource.name like \"a*\\*\" }; // \u00e9",
	} {
		f.Add([]byte(seed))
	}
	o := options(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		set, err := policies.Compile([]policies.File{{Name: "p.cedar", Content: text}}, o)
		if err != nil {
			if set != nil {
				t.Fatal("an error came with a set")
			}
			return
		}
		r := toolCall()
		first, again := set.Decide(r), set.Decide(r)
		if first.Allow != again.Allow || first.Reason != again.Reason {
			t.Fatalf("got %+v, then %+v", first, again)
		}
		unproven, unknown := r, r
		unproven.Agent, unknown.Method = spiffeid.ID{}, "unknown/method"
		if set.Decide(unproven).Allow || set.Decide(unknown).Allow {
			t.Fatal("an unproven agent or an unknown method is allowed")
		}
	})
}
