package policies_test

import (
	"cmp"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"mintmark/attest/posture"
	"mintmark/policies"
)

// seed is another for other policies and requests.
var seed = flag.Uint64("seed", 1, "what random policies and requests are made from")

// factNames are the facts of random policies: more than a context that is
// remembered can have.
var factNames = []string{"scan", "disk", "a", "b", "c", "d"}

// pick returns one of the choices.
func pick[T any](r *rand.Rand, choices ...T) T { return choices[r.IntN(len(choices))] }

// randomPolicy writes one policy out of every form of scope, and conditions
// that allow, deny and err.
func randomPolicy(r *rand.Rand, n int) string {
	principal := pick(r, "principal", "principal is Agent",
		`principal == Agent::"spiffe://a.example/x/y/z"`, `principal == Agent::"spiffe://b.example/x"`,
		`principal in TrustDomain::"a.example"`, `principal in TrustDomain::"b.example"`,
		`principal in PathPrefix::"spiffe://a.example/x"`, `principal in PathPrefix::"spiffe://a.example/x/y"`,
		`principal is Agent in PathPrefix::"spiffe://b.example/x"`)
	action := pick(r, "action", "action", `action == Action::"tools/call"`, `action == Action::"tools/list"`,
		`action in Action::"list"`, `action in Action::"connect"`, `action in Action::"http"`,
		`action in [Action::"list", Action::"tools/list", Action::"tools/call"]`, `action in [Action::"http/GET", Action::"ping"]`)
	resource := pick(r, "resource", "resource", `resource in Upstream::"one"`, `resource in Upstream::"web"`)
	if action == "action" {
		resource = pick(r, resource, "resource is Tool", "resource is Upstream", `resource == Upstream::"one"`,
			`resource == Tool::"one/t"`, `resource in Tool::"two/t"`, `resource is Tool in Upstream::"two"`, `resource == Path::"web/a/b"`)
	}
	condition := pick(r, "", "", " when { context.posture has scan }", ` unless { context.credential == "gh" }`,
		" when { context.clock.utc.hour < 12 }", ` when { context.now < datetime("2026-06-10T12:00:00Z") }`,
		` when { principal.path like "/x*" }`, ` when { principal in PathPrefix::"spiffe://a.example/x" }`,
		` when { action in Action::"list" || resource in Upstream::"one" }`,
		` when { context.posture has scan && context.posture.scan.age * 9223372036854775807 >= 0 }`,
		` when { context.posture has disk && context.posture.disk.age + 9223372036854775807 >= 0 }`,
		` unless { context.posture has scan && principal.path like "/x*" && context.posture.scan.age * 9223372036854775807 >= 0 }`,
		` when { resource is Tool && 9223372036854775807 + 1 > 0 }`,
		` when { context.posture has scan && context.posture.scan.age < 60*60 }`,
		` unless { context.posture has scan && 3601 <= context.posture.scan.age }`,
		` when { context.posture has scan && context.posture.scan.age == 3600 }`,
		` when { context.posture has scan && context.posture has disk && context.posture.scan.age < context.posture.disk.age }`,
		` when { context.posture has disk && [0, 3599].contains(context.posture.disk.age) }`,
		` when { context.posture has disk && context.posture.disk.age != 1 && context.posture.disk.issuer == "scan/x" }`,
		` when { context.posture has scan && [context.posture.scan].contains({value: "pass", age: 3600, issuer: "scan/y"}) }`,
		` when { [context.posture].contains(context.posture) && context.posture has disk }`,
		` when { [context].contains(context) && context.credential like "g*" }`,
		` when { context.now == datetime("2026-06-10T12:00:00Z") }`,
		` when { datetime("2026-06-10").offset(duration("12h")) <= context.now }`,
		` when { context.now.toTime() > duration("12h") }`,
		` when { if context.posture has disk then context.posture.disk.age >= 3600 else principal.path == "/x" }`,
		` when { resource.upstream == "one" || resource in Upstream::"web" }`, ` unless { resource is Tool }`,
		` unless { resource == Tool::"one/v" }`, ` when { resource in Tool::"one/u" }`, ` when { resource in [Tool::"two/u", Tool::"one/v"] }`,
		` when { resource in Upstream::"web" || resource has name && resource.name like "t*" }`,
		` when { Tool::"one/v" in Upstream::"one" }`, ` unless { Tool::"one/u" has name && Tool::"one/u".name == "u" }`,
		` when { context.posture has scan && context.posture.scan.age < (if Tool::"one/u" in Upstream::"one" then 2 else 3601) }`,
		` unless { context.posture has scan && context.posture.scan.value == "pass" }`)
	if r.IntN(2) == 0 {
		condition = randomCondition(r)
	}
	effect := pick(r, "permit", "permit", "permit", "forbid")
	return fmt.Sprintf("@id(\"p%d\") %s (%s, %s, %s)%s;\n", n, effect, principal, action, resource, condition)
}

// checkedPolicy returns a random one that the check lets pass.
func checkedPolicy(r *rand.Rand, n int, o policies.Options) string {
	for {
		text := randomPolicy(r, n)
		if _, err := policies.Compile([]policies.File{{Name: "p.cedar", Content: []byte(text)}}, o); err == nil {
			return text
		}
	}
}

func randomRequest(r *rand.Rand) policies.Request {
	q := policies.Request{
		Agent: spiffeid.RequireFromString(pick(r, "spiffe://a.example/x/y/z", "spiffe://a.example/x/q", "spiffe://a.example/xx",
			"spiffe://b.example/x", "spiffe://b.example/x/y", "spiffe://c.example/x/y/z")),
		Upstream: pick(r, "one", "two"), Credential: pick(r, "", "gh"),
		Now: noon.Add(pick(r, -time.Minute, -time.Second, 0, time.Millisecond, time.Second)),
	}
	for _, name := range factNames {
		for range pick(r, 0, 0, 0, 1, 1, 1, 2) {
			f := posture.Fact{Name: name, Value: pick(r, "pass", "fail"), Issuer: pick(r, "scan/x", "scan/y"), MaxAge: pick(r, 24*time.Hour, time.Hour),
				ObservedAt: q.Now.Add(-pick(r, -time.Second, 0, time.Second, time.Second+1, 3599*time.Second, time.Hour-time.Millisecond, time.Hour, 3601*time.Second))}
			q.Posture = append(q.Posture, f)
		}
	}
	r.Shuffle(len(q.Posture), func(i, j int) { q.Posture[i], q.Posture[j] = q.Posture[j], q.Posture[i] })
	switch r.IntN(3) {
	case 0:
		q.Method, q.Target = "tools/call", policies.Target{Type: policies.Tool, Name: pick(r, "t", "u", "v", "t/x")}
	case 1:
		q.Method = pick(r, "tools/list", "ping", "tasks/get", "response")
	case 2:
		q.Upstream, q.Method = "web", pick(r, "http/GET", "http/DELETE")
		q.Target = policies.Target{Type: policies.Path, Name: pick(r, "/a/b", "/a", "/c", "/a%41", "/a//b")}
	}
	return q
}

// plainDecision asks Cedar itself about every policy, with entities and
// context written out by hand from the documented model.
func plainDecision(all *cedar.PolicySet, q policies.Request) (bool, []string) {
	if strings.Contains(q.Target.Name, "//") || strings.Contains(q.Target.Name, "%") {
		return false, nil // a path that is not plain is no question for Cedar
	}
	agent := types.NewEntityUID("Agent", types.String(q.Agent.String()))
	up := types.NewEntityUID("Upstream", types.String(q.Upstream))
	resource, resourceParents := up, []types.EntityUID(nil)
	if q.Target.Type != 0 {
		kind := types.EntityType("Tool")
		if q.Target.Type == policies.Path {
			kind = "Path"
		}
		resource = types.NewEntityUID(kind, types.String(q.Upstream+"/"+strings.TrimPrefix(q.Target.Name, "/")))
		resourceParents = []types.EntityUID{up}
	}
	parents := []types.EntityUID{types.NewEntityUID("TrustDomain", types.String(q.Agent.TrustDomain().Name()))}
	segments := strings.Split(q.Agent.Path(), "/")
	for i := 2; i < len(segments); i++ {
		parents = append(parents, types.NewEntityUID("PathPrefix",
			types.String("spiffe://"+q.Agent.TrustDomain().Name()+strings.Join(segments[:i], "/"))))
	}
	action := types.NewEntityUID("Action", types.String(q.Method))
	group := map[string]string{"tools/list": "list", "ping": "connect", "tasks/get": "tasks", "response": "connect",
		"http/GET": "http", "http/DELETE": "http"}[q.Method]
	upKind := "mcp"
	if q.Upstream == "web" {
		upKind = "http"
	}
	entities := types.EntityMap{
		agent: {UID: agent, Parents: cedar.NewEntityUIDSet(parents...), Attributes: cedar.NewRecord(cedar.RecordMap{
			"trust_domain": types.String(q.Agent.TrustDomain().Name()), "path": types.String(q.Agent.Path())})},
		action: {UID: action, Parents: cedar.NewEntityUIDSet(types.NewEntityUID("Action", types.String(group)))},
		up:     {UID: up, Attributes: cedar.NewRecord(cedar.RecordMap{"name": types.String(q.Upstream), "upstream": types.String(q.Upstream), "kind": types.String(upKind)})},
	}
	if resource != up {
		entities[resource] = types.Entity{UID: resource, Parents: cedar.NewEntityUIDSet(resourceParents...), Attributes: cedar.NewRecord(cedar.RecordMap{
			"upstream": types.String(q.Upstream), "name": types.String(q.Target.Name)})}
	}
	facts, said := cedar.RecordMap{}, map[string]posture.Fact{}
	for _, f := range q.Posture {
		age := q.Now.Sub(f.ObservedAt)
		if earlier, twice := said[f.Name]; twice && earlier != f {
			delete(facts, types.String(f.Name))
			continue
		}
		said[f.Name] = f
		if age <= f.MaxAge {
			age = max(0, age) // clocks differ by a little
			facts[types.String(f.Name)] = cedar.NewRecord(cedar.RecordMap{"value": types.String(f.Value),
				"age": types.Long((age + time.Second - 1) / time.Second), "issuer": types.String(f.Issuer)})
		}
	}
	utc := q.Now.UTC()
	outcome, diag := cedar.Authorize(all, entities, cedar.Request{
		Principal: agent, Action: action, Resource: resource,
		Context: cedar.NewRecord(cedar.RecordMap{
			"posture": cedar.NewRecord(facts), "now": cedar.NewDatetime(q.Now), "credential": types.String(q.Credential),
			"clock": cedar.NewRecord(cedar.RecordMap{"utc": cedar.NewRecord(cedar.RecordMap{
				"hour": types.Long(utc.Hour()), "minute": types.Long(utc.Minute()), "minute_of_day": types.Long(60*utc.Hour() + utc.Minute()),
				"weekday": types.String(strings.ToLower(utc.Weekday().String())), "date": types.String(utc.Format(time.DateOnly))})}),
		}),
	})
	var ids []string
	for _, e := range diag.Errors {
		ids = append(ids, string(e.PolicyID))
	}
	for _, reason := range diag.Reasons {
		ids = append(ids, string(reason.PolicyID))
	}
	slices.SortFunc(ids, cmp.Compare[string])
	return bool(outcome) && len(diag.Errors) == 0, ids
}

// TestDecideAgreesWithCedar compares Decide, with its index, its partial context
// and what it remembers, with Cedar asked about everything, on random policies; and
// its reason with that of a Set that was asked nothing before.
func TestDecideAgreesWithCedar(t *testing.T) {
	o := policies.Options{
		PostureNames: factNames, Clocks: map[string]*time.Location{"utc": time.UTC},
		Upstreams: []policies.Upstream{{Name: "one"}, {Name: "two"}, {Name: "web", Kind: "http"}},
	}
	r := rand.New(rand.NewPCG(*seed, 2))
	allowed, errs := 0, 0
	for round := range 60 {
		var text strings.Builder
		for n := range 1 + r.IntN(12) {
			text.WriteString(checkedPolicy(r, n, o))
		}
		files := []policies.File{{Name: "p.cedar", Content: []byte(text.String())}}
		compile := func() *policies.Set {
			set, err := policies.Compile(files, o)
			if err != nil {
				t.Fatalf("round %d: %v\n%s", round, err, &text)
			}
			return set
		}
		set, all := compile(), policySet(t, text.String())
		var last policies.Request
		for n := range 250 {
			q := randomRequest(r)
			if n > 0 && r.IntN(4) > 0 { // much the same as the one before
				if q.Agent = last.Agent; q.Target.Type != last.Target.Type || r.IntN(2) == 0 {
					q.Target = last.Target
				}
				q.Upstream, q.Method = last.Upstream, last.Method
			}
			last = q
			allow, ids := plainDecision(all, q)
			got := set.Decide(q)
			if got.Allow != allow || !slices.Equal(got.Policies, ids) {
				t.Fatalf("%s\n%+v\ngot %v %v (%s), want %v %v", &text, q, got.Allow, got.Policies, got.Reason, allow, ids)
			}
			if n%40 == 0 {
				if fresh := compile().Decide(q); fresh.Reason != got.Reason {
					t.Fatalf("%s\n%+v\ngot %q, and of a new Set %q", &text, q, got.Reason, fresh.Reason)
				}
			}
			if got.Allow {
				allowed++
			}
			if strings.Contains(got.Reason, "could not be evaluated") {
				errs++
			}
		}
	}
	if allowed < 500 || errs < 50 {
		t.Errorf("got %d allowed and %d erring of 15000, want enough of both to mean something", allowed, errs)
	}
}

// policySet is plain Cedar's.
func policySet(t testing.TB, text string) *cedar.PolicySet {
	t.Helper()
	list, err := cedar.NewPolicyListFromBytes("p.cedar", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	all := cedar.NewPolicySet()
	for _, p := range list {
		all.Add(types.PolicyID(p.Annotations()["id"]), p)
	}
	return all
}
