package policies_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	_ "time/tzdata" // the tests name zones, wherever they run

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"mintmark/attest/posture"
	"mintmark/policies"
)

var noon = time.Date(2026, 6, 10, 12, 0, 0, 0, time.UTC)

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	loc, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

func options(t testing.TB) policies.Options {
	return policies.Options{
		PostureNames:  []string{"scan", "disk"},
		PostureValues: map[string][]string{"scan": {"fail", "pass"}},
		Clocks: map[string]*time.Location{
			"berlin": zone(t, "Europe/Berlin"), "kolkata": zone(t, "Asia/Kolkata"), "utc": time.UTC,
		},
		Upstreams: []policies.Upstream{
			{Name: "github"}, {Name: "payroll", Kind: "mcp"}, {Name: "api", Kind: "http"},
		},
	}
}

func compile(t testing.TB, text string) *policies.Set {
	t.Helper()
	set, err := policies.Compile([]policies.File{{Name: "p.cedar", Content: []byte(text)}}, options(t))
	if err != nil {
		t.Fatalf("compile: %v", err)
	}
	return set
}

func toolCall() policies.Request {
	return policies.Request{
		Agent:    spiffeid.RequireFromString("spiffe://acme.example/team/a/agent"),
		Upstream: "github", Method: "tools/call",
		Target: policies.Target{Type: policies.Tool, Name: "create_issue"}, Now: noon,
	}
}

func scan(value string, age time.Duration) posture.Fact {
	return posture.Fact{
		Subject: "spiffe://acme.example/team/a/agent", Name: "scan", Value: value,
		ObservedAt: noon.Add(-age), MaxAge: 24 * time.Hour, Issuer: "scan/trivy",
	}
}

func TestNothingAllowsNothing(t *testing.T) {
	var none *policies.Set
	empty, err := policies.Compile(nil, options(t))
	if err != nil {
		t.Fatalf("an empty set is legal: %v", err)
	}
	for name, set := range map[string]*policies.Set{"nil": none, "empty": empty, "comment": compile(t, "// nothing")} {
		d := set.Decide(toolCall())
		if d.Allow || d.Reason == "" || d.Policies != nil {
			t.Errorf("%s set: got %+v, want a denial with a reason and no policies", name, d)
		}
	}
	if (policies.Decision{}).Allow {
		t.Error("the zero Decision allows")
	}
}

// TestScopes asks one question of many policies: does the scope or condition
// see the request as the model says?
func TestScopes(t *testing.T) {
	call := toolCall()
	listing := call
	listing.Method, listing.Target = "tools/list", policies.Target{}
	web := call
	web.Upstream, web.Method = "api", "http/GET"
	web.Target = policies.Target{Type: policies.Path, Name: "/v1/items"}
	read := call
	read.Method, read.Target = "resources/read", policies.Target{Type: policies.Resource, Name: "file:///a/b"}

	for _, tc := range []struct {
		name  string
		head  string // scope
		when  string
		r     policies.Request
		allow bool
	}{
		{"anything", `principal, action, resource`, "", call, true},
		{"agent", `principal == Agent::"spiffe://acme.example/team/a/agent", action, resource`, "", call, true},
		{"other agent", `principal == Agent::"spiffe://acme.example/team/b/agent", action, resource`, "", call, false},
		{"trust domain", `principal in TrustDomain::"acme.example", action, resource`, "", call, true},
		{"other trust domain", `principal in TrustDomain::"example", action, resource`, "", call, false},
		{"first prefix", `principal in PathPrefix::"spiffe://acme.example/team", action, resource`, "", call, true},
		{"second prefix", `principal in PathPrefix::"spiffe://acme.example/team/a", action, resource`, "", call, true},
		{"half a segment is no prefix", `principal in PathPrefix::"spiffe://acme.example/tea", action, resource`, "", call, false},
		{"the whole path is no prefix", `principal in PathPrefix::"spiffe://acme.example/team/a/agent", action, resource`, "", call, false},
		{"prefix of another domain", `principal in PathPrefix::"spiffe://other.example/team", action, resource`, "", call, false},
		{"agent type", `principal is Agent in PathPrefix::"spiffe://acme.example/team", action, resource`, "", call, true},
		{"principal attributes", `principal, action, resource`, `principal.trust_domain == "acme.example" && principal.path like "/team/*"`, call, true},
		{"action", `principal, action == Action::"tools/call", resource`, "", call, true},
		{"other action", `principal, action == Action::"prompts/get", resource`, "", call, false},
		{"set of actions", `principal, action in [Action::"tools/list", Action::"tools/call"], resource`, "", call, true},
		{"group", `principal, action in Action::"list", resource`, "", listing, true},
		{"group in a set", `principal, action in [Action::"connect", Action::"list"], resource`, "", listing, true},
		{"group of others", `principal, action in Action::"connect", resource`, "", listing, false},
		{"group in a condition", `principal, action, resource`, `action in Action::"list"`, listing, true},
		{"call is in no list", `principal, action in Action::"list", resource`, "", call, false},
		{"upstream", `principal, action, resource in Upstream::"github"`, "", call, true},
		{"upstream of a listing", `principal, action, resource == Upstream::"github"`, "", listing, true},
		{"listing is in its upstream", `principal, action, resource in Upstream::"github"`, "", listing, true},
		{"other upstream", `principal, action, resource in Upstream::"payroll"`, "", call, false},
		{"tool", `principal, action, resource == Tool::"github/create_issue"`, "", call, true},
		{"other tool", `principal, action, resource == Tool::"github/delete_repo"`, "", call, false},
		{"tool of another upstream", `principal, action, resource == Tool::"payroll/create_issue"`, "", call, false},
		{"tool type", `principal, action, resource is Tool`, "", call, true},
		{"tool type in upstream", `principal, action, resource is Tool in Upstream::"github"`, "", call, true},
		{"prompt type", `principal, action, resource is Prompt`, "", call, false},
		{"tool attributes", `principal, action == Action::"tools/call", resource`, `resource.upstream == "github" && resource.name like "create_*"`, call, true},
		{"upstream kind", `principal, action in Action::"list", resource`, `resource.kind == "mcp"`, listing, true},
		{"resource", `principal, action, resource == Resource::"github/file:///a/b"`, "", read, true},
		{"path", `principal, action, resource == Path::"api/v1/items"`, "", web, true},
		{"path name", `principal, action in Action::"http", resource`, `resource.name == "/v1/items"`, web, true},
		{"http is not for mcp policies", `principal, action == Action::"tools/call", resource`, "", web, false},
		{"now", `principal, action, resource`, `context.now == datetime("2026-06-10T12:00:00Z")`, call, true},
		{"no credential", `principal, action, resource`, `context.credential == ""`, call, true},
		{"no fact", `principal, action, resource`, `context.posture has scan`, call, false},
		{"clock", `principal, action, resource`, `context.clock.kolkata.minute_of_day == 1050 && context.clock.utc.hour == 12 && context.clock.berlin.minute == 0 && context.clock.berlin.date == "2026-06-10"`, call, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			text := "permit (" + tc.head + ")"
			if tc.when != "" {
				text += " when {" + tc.when + "}"
			}
			d := compile(t, text+";").Decide(tc.r)
			if d.Allow != tc.allow {
				t.Fatalf("permit (%s) when {%s}: got allow=%v (%s), want %v", tc.head, tc.when, d.Allow, d.Reason, tc.allow)
			}
			if tc.allow != slices.Equal(d.Policies, []string{"p.cedar#1"}) {
				t.Errorf("determining policies: got %v", d.Policies)
			}
		})
	}
}

// TestUnaskable holds that a request outside the model is denied, whatever is
// permitted.
func TestUnaskable(t *testing.T) {
	set := compile(t, `permit (principal, action, resource);`)
	for _, tc := range []struct {
		name   string
		change func(*policies.Request)
		reason string
	}{
		{"unknown method", func(r *policies.Request) { r.Method = "tools/delete" }, "not one that policies know"},
		{"a group is no method", func(r *policies.Request) { r.Method, r.Target = "list", policies.Target{} }, "not one that policies know"},
		{"no method", func(r *policies.Request) { r.Method = "" }, "not one that policies know"},
		{"differently cased method", func(r *policies.Request) { r.Method = "Tools/call" }, "not one that policies know"},
		{"unknown upstream", func(r *policies.Request) { r.Upstream = "gitlab" }, "no upstream of that name"},
		{"no upstream", func(r *policies.Request) { r.Upstream = "" }, "no upstream of that name"},
		{"zero agent", func(r *policies.Request) { r.Agent = spiffeid.ID{} }, "not proven"},
		{"agent without a path", func(r *policies.Request) { r.Agent = spiffeid.RequireFromString("spiffe://acme.example") }, "not proven"},
		{"tool call without a tool", func(r *policies.Request) { r.Target = policies.Target{} }, "for a tool"},
		{"tool without a name", func(r *policies.Request) { r.Target.Name = "" }, "no name"},
		{"upstream with a name", func(r *policies.Request) { r.Method, r.Target = "ping", policies.Target{Name: "x"} }, "no name or no type"},
		{"prompt for a tool call", func(r *policies.Request) { r.Target.Type = policies.Prompt }, "for a tool"},
		{"target of no type", func(r *policies.Request) { r.Target.Type = 99 }, "for a tool"},
		{"http on mcp", func(r *policies.Request) {
			r.Method, r.Target = "http/GET", policies.Target{Type: policies.Path, Name: "/"}
		}, "of kind mcp"},
		{"mcp on http", func(r *policies.Request) { r.Upstream = "api" }, "of kind http"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := toolCall()
			tc.change(&r)
			if d := set.Decide(r); d.Allow || !strings.Contains(d.Reason, tc.reason) {
				t.Errorf("got %+v, want a denial whose reason contains %q", d, tc.reason)
			}
		})
	}
	if d := set.Decide(toolCall()); !d.Allow {
		t.Fatalf("the unchanged request: got %+v, want allowed", d)
	}
}

func TestPathsThatReadTwoWays(t *testing.T) {
	set := compile(t, `permit (principal, action, resource);`)
	r := toolCall()
	r.Upstream, r.Method = "api", "http/GET"
	for path, allow := range map[string]bool{
		"/": true, "/v1/items": true, "/v1/items/": true, "/v1/.hidden": true, "/a..b": true, "/a b": true, "/gr\u00fcn": true,
		"": false, "v1": false, "/v1/../admin": false, "/v1/..": false, "/./v1": false, "//admin": false, "/v1//x": false,
		"/v1/%2e%2e/admin": false, "/v1/.%2E/admin": false, `/v1\admin`: false, "/v1?x=1": false, "/v1#x": false,
		"/a%2Fb": false, "/100%": false, "/a;b": false, "/x\ny": false, "/x\x00": false, "/x\xff": false, "/x\xc0\xae\xc0\xae/y": false,
	} {
		r.Target = policies.Target{Type: policies.Path, Name: path}
		if d := set.Decide(r); d.Allow != allow {
			t.Errorf("path %q: got allow=%v (%s), want %v", path, d.Allow, d.Reason, allow)
		}
	}
}

// TestErringForbid holds that a forbid Cedar cannot evaluate, and so skips,
// does not open the way.
func TestErringForbid(t *testing.T) {
	set := compile(t, `
@id("all") permit (principal, action, resource);
@id("broken") forbid (principal, action == Action::"tools/call", resource)
when { context.posture has scan && context.posture.scan.age * 9223372036854775807 > 0 };`)
	r := toolCall()
	r.Posture = []posture.Fact{scan("pass", time.Hour)}
	d := set.Decide(r)
	if d.Allow || !slices.Equal(d.Policies, []string{"all", "broken"}) || !strings.Contains(d.Reason, `"broken" could not be evaluated`) {
		t.Errorf("got %+v, want a denial that names the erring policy", d)
	}
	if strings.Contains(d.Reason, "overflow") {
		t.Errorf("reason %q repeats the engine's own words", d.Reason)
	}
	r.Posture = nil
	if d := set.Decide(r); !d.Allow {
		t.Errorf("where nothing errs: got %+v, want allowed", d)
	}
}

func TestForbidWins(t *testing.T) {
	set := compile(t, `
@id("all") permit (principal, action, resource);
@id("b") @hint("ask the owners") forbid (principal, action, resource == Tool::"github/create_issue");
@id("a") forbid (principal, action == Action::"tools/call", resource);`)
	d := set.Decide(toolCall())
	if d.Allow || !slices.Equal(d.Policies, []string{"a", "b"}) {
		t.Fatalf("got %+v, want denied by a and b", d)
	}
	for _, want := range []string{"spiffe://acme.example/team/a/agent", "tools/call", "create_issue", "github", `"a", "b"`, "ask the owners"} {
		if !strings.Contains(d.Reason, want) {
			t.Errorf("reason %q lacks %q", d.Reason, want)
		}
	}
}

func TestReasonOfDefaultDeny(t *testing.T) {
	set := compile(t, `
@id("scanned") @hint("run the scanner") permit (principal, action == Action::"tools/call", resource)
when { context.posture has scan && context.posture.scan.value == "pass" };`)
	d := set.Decide(toolCall())
	for _, want := range []string{`"scanned"`, `no fresh posture fact "scan"`, "run the scanner"} {
		if d.Allow || !strings.Contains(d.Reason, want) {
			t.Errorf("got %+v, want a denial whose reason has %q", d, want)
		}
	}
	r := toolCall()
	r.Method, r.Target = "ping", policies.Target{}
	if d := set.Decide(r); !strings.Contains(d.Reason, "no policy permits this agent to do that there") {
		t.Errorf("where no permit is near: got %q", d.Reason)
	}
}

func TestReasonKeepsNamesInQuotes(t *testing.T) {
	r := toolCall()
	r.Target.Name = "x\nlevel=info msg=\"all is well\"" + strings.Repeat("y", 4096)
	d := compile(t, "").Decide(r)
	if strings.Contains(d.Reason, "\n") || strings.Contains(d.Reason, ` msg="all`) || len(d.Reason) > 1024 {
		t.Errorf("reason lets a name out of its quotes or is too long: %q", d.Reason)
	}
}

// TestFacts holds which facts a policy sees, and how old they look.
func TestFacts(t *testing.T) {
	age := func(f posture.Fact, name string, d time.Duration) posture.Fact {
		f.Name, f.ObservedAt = name, noon.Add(-d)
		return f
	}
	pass := scan("pass", time.Hour)
	for _, tc := range []struct {
		name  string
		facts []posture.Fact
		when  string
		seen  int
	}{
		{"value, age and issuer", []posture.Fact{pass}, `context.posture has scan && context.posture.scan == {"value": "pass", "age": 3600, "issuer": "scan/trivy"}`, 1},
		{"age is rounded up", []posture.Fact{scan("pass", time.Hour+1)}, `context.posture has scan && context.posture.scan.age == 3601`, 1},
		{"age is not rounded past itself", []posture.Fact{scan("pass", time.Hour-1)}, `context.posture has scan && context.posture.scan.age == 3600`, 1},
		{"a little from the future is new", []posture.Fact{scan("pass", -30*time.Second)}, `context.posture has scan && context.posture.scan.age == 0`, 1},
		{"far from the future is absent", []posture.Fact{scan("pass", -2*time.Minute)}, `!(context.posture has scan)`, 0},
		{"as old as allowed", []posture.Fact{scan("pass", 24*time.Hour)}, `context.posture has scan && context.posture.scan.age == 86400`, 1},
		{"stale is absent", []posture.Fact{scan("pass", 24*time.Hour+1)}, `!(context.posture has scan)`, 0},
		{"retracted is absent", []posture.Fact{scan("", time.Hour)}, `!(context.posture has scan)`, 0},
		{"contradicted is absent", []posture.Fact{pass, scan("fail", time.Hour), age(pass, "disk", 0)}, `!(context.posture has scan) && context.posture has disk`, 1},
		{"stated twice alike is known", []posture.Fact{pass, pass}, `context.posture has scan`, 2},
		{"unregistered is absent", []posture.Fact{age(pass, "rumour", 0), pass}, `context.posture has scan`, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := toolCall()
			r.Posture = tc.facts
			d := compile(t, `permit (principal, action, resource) when {`+tc.when+`};`).Decide(r)
			if !d.Allow || len(d.Facts) != tc.seen {
				t.Errorf("when {%s}: got allow=%v, facts %v (%s), want allowed with %d facts", tc.when, d.Allow, d.Facts, d.Reason, tc.seen)
			}
		})
	}
}

func TestDecideLeavesRequestAlone(t *testing.T) {
	r := toolCall()
	r.Posture = []posture.Fact{scan("pass", 48*time.Hour), scan("fail", time.Hour)}
	before := slices.Clone(r.Posture)
	compile(t, "").Decide(r)
	if !slices.Equal(before, r.Posture) {
		t.Errorf("posture: got %v, want it as it was", r.Posture)
	}
}

func TestDecideIsSafeForConcurrentUse(t *testing.T) {
	set := compile(t, `
permit (principal in PathPrefix::"spiffe://acme.example/team", action, resource)
when { context.clock.berlin.minute_of_day == 840 && context.posture has scan };`)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 500 {
				r := toolCall()
				r.Posture = []posture.Fact{scan("pass", time.Hour)}
				r.Now = noon.Add(time.Duration(n%3) * 30 * time.Second) // 14:00:00, 14:00:30, 14:01:00
				if d := set.Decide(r); d.Allow != (n%3 < 2) {
					t.Errorf("worker %d, call %d: got allow=%v at %s", i, n, d.Allow, r.Now)
					return
				}
			}
		})
	}
	wg.Wait()
}

func ExampleSet_Decide() {
	set, err := policies.Compile([]policies.File{{Name: "tools.cedar", Content: []byte(`
@id("issues-only")
permit (
    principal in TrustDomain::"acme.example",
    action == Action::"tools/call",
    resource == Tool::"github/create_issue"
);`)}}, policies.Options{Upstreams: []policies.Upstream{{Name: "github"}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	request := policies.Request{
		Agent:    spiffeid.RequireFromString("spiffe://acme.example/agents/triage"),
		Upstream: "github", Method: "tools/call",
		Target: policies.Target{Type: policies.Tool, Name: "create_issue"},
		Now:    time.Date(2026, 6, 10, 12, 0, 0, 0, time.UTC),
	}
	d := set.Decide(request)
	fmt.Println(d.Allow, d.Policies)

	request.Target.Name = "delete_repo"
	d = set.Decide(request)
	fmt.Println(d.Allow, d.Reason)
	// Output:
	// true [issues-only]
	// false spiffe://acme.example/agents/triage may not "tools/call" on tool "delete_repo" of upstream "github": no policy permits this agent to do that there
}

// TestNothingIsMixedUp asks one Set about more agents, tools and facts than it
// can remember, in an order that replaces what it remembers again and again.
func TestNothingIsMixedUp(t *testing.T) {
	set := compile(t, `
permit (principal in PathPrefix::"spiffe://acme.example/good", action, resource in Upstream::"github")
when {
    principal.path like "/good/*" && resource.name like "good*" &&
    context.posture has scan && context.posture.scan.value == "pass" && context.posture.scan.age < 5000
};`)
	for n := range 20_000 {
		team, tool, value := "good", "good", "pass"
		switch n % 5 {
		case 1:
			team = "evil"
		case 2:
			tool = "evil"
		case 3:
			value = "fail"
		}
		r := toolCall()
		r.Agent = spiffeid.RequireFromString(fmt.Sprintf("spiffe://acme.example/%s/agent%d", team, n/5))
		r.Target.Name = fmt.Sprintf("%s%d", tool, n/5)
		if n%7 == 0 {
			r.Target.Name += strings.Repeat("x", 2000) // too long to remember
		}
		r.Posture = []posture.Fact{scan(value, time.Duration(n%10_000)*time.Second)}
		want := (n%5 == 0 || n%5 == 4) && n%10_000 < 5000
		if d := set.Decide(r); d.Allow != want {
			t.Fatalf("call %d of %s to %.20s: got allow=%v (%s), want %v", n, r.Agent, r.Target.Name, d.Allow, d.Reason, want)
		}
	}
}
