package policies_test

import (
	"cmp"
	"fmt"
	"math"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"mintmark/attest/posture"
	"mintmark/policies"
)

// TestDecideRemembersTheWholeQuestion has each part of a question change after
// the answer to it is remembered.
func TestDecideRemembersTheWholeQuestion(t *testing.T) {
	base := toolCall()
	for name, tc := range map[string]struct {
		when   string // of the one permit
		change func(*policies.Request)
	}{
		"agent":        {`principal == Agent::"` + base.Agent.String() + `"`, func(r *policies.Request) { r.Agent = spiffeid.RequireFromString("spiffe://acme.example/other") }},
		"upstream":     {`resource.upstream == "github"`, func(r *policies.Request) { r.Upstream = "payroll" }},
		"method":       {`action == Action::"tools/call"`, func(r *policies.Request) { r.Method, r.Target = "tools/list", policies.Target{} }},
		"target":       {`resource.name == "` + base.Target.Name + `"`, func(r *policies.Request) { r.Target.Name = "other" }},
		"credential":   {`context.credential == "` + base.Credential + `"`, func(r *policies.Request) { r.Credential = "other" }},
		"time":         {`context.now <= datetime("` + base.Now.UTC().Format("2006-01-02T15:04:05Z") + `")`, func(r *policies.Request) { r.Now = r.Now.Add(time.Second) }},
		"clock":        {`context.clock.berlin.minute == ` + base.Now.Format("4"), func(r *policies.Request) { r.Now = r.Now.Add(time.Minute) }},
		"fact's value": {`context.posture has scan && context.posture.scan.value == "pass"`, func(r *policies.Request) { r.Posture = []posture.Fact{scan("fail", time.Hour)} }},
		"fact's age":   {`context.posture has scan && context.posture.scan.age <= 3600`, func(r *policies.Request) { r.Posture = []posture.Fact{scan("pass", time.Hour+time.Second)} }},
		"fact's issuer": {`context.posture has scan && context.posture.scan.issuer == "` + scan("pass", 0).Issuer + `"`, func(r *policies.Request) {
			f := scan("pass", time.Hour)
			f.Issuer = "other"
			r.Posture = []posture.Fact{f}
		}},
		"fact":            {`context.posture has scan`, func(r *policies.Request) { r.Posture = nil }},
		"fact gone stale": {`context.posture has scan`, func(r *policies.Request) { r.Now = r.Now.Add(100 * 24 * time.Hour) }},
	} {
		t.Run(name, func(t *testing.T) {
			set, err := policies.Compile([]policies.File{{Name: "p.cedar", Content: []byte(`permit (principal, action in [Action::"tools/call", Action::"list"], resource) when { ` + tc.when + ` };`)}}, options(t))
			if err != nil {
				t.Fatal(err)
			}
			r := base
			r.Posture = []posture.Fact{scan("pass", time.Hour)}
			changed := r
			tc.change(&changed)
			for i, want := range []bool{true, true, false, true} {
				ask := r
				if !want {
					ask = changed
				}
				if d := set.Decide(ask); d.Allow != want {
					t.Errorf("answer %d: got %v (%s), want %v", i, d.Allow, d.Reason, want)
				}
			}
		})
	}
}

// TestDecideAllocs holds a decision to what one may allocate: nothing where no
// policy can tell it from one that was made before, what Cedar needs to ask the
// policies where one can, and more the first time.
func TestDecideAllocs(t *testing.T) {
	set, asked := benchSet(t, 1000)
	conditional := compile(t, `permit (principal, action, resource in Upstream::"github")
when { context.posture has scan && context.posture.scan.value != "fail" && resource.name like "tool*" };`)
	denies := compile(t, `forbid (principal, action, resource) when { context.posture has scan && context.posture.scan.issuer like "name*" };`)
	n := 0
	for _, tc := range []struct {
		name  string
		set   *policies.Set
		next  func(*policies.Request)
		most  float64
		allow bool
	}{
		{"made before", set, func(*policies.Request) {}, 0, true},
		{"a denial that was made before", set, func(r *policies.Request) { r.Method, r.Target = "server/discover", policies.Target{} }, 0, false},
		{"on a fact that has aged", set, func(r *policies.Request) { r.Posture[0].ObservedAt = r.Posture[0].ObservedAt.Add(-time.Second) }, 0, true},
		{"anew", set, func(r *policies.Request) { r.Posture[0].Value = few[n%len(few)] }, 10, true},
		{"anew, permitted under a condition", conditional, func(r *policies.Request) { r.Posture[0].Value = few[n%len(few)] }, 10, true},
		{"a denial anew", denies, func(r *policies.Request) {
			r.Method, r.Target, r.Posture[0].Value = "server/discover", policies.Target{}, few[n%len(few)]
		}, 10, false},
		{"a denial anew of a tool that no policy names", denies, func(r *policies.Request) { r.Posture[0].Value = few[n%len(few)] }, 11, false},
		{"of a tool that no policy names", set, func(r *policies.Request) { r.Target.Name = invented[n%len(invented)] }, 0, true},
		{"a denial of a tool that no policy names", denies, func(r *policies.Request) { r.Target.Name = invented[n%len(invented)] }, 1, false},
		{"in a context that nobody had", set, func(r *policies.Request) { r.Posture[0].Value = invented[n%len(invented)] }, 45, true}, // 43 by the race detector
		{"first of its agent", set, func(r *policies.Request) { r.Agent = agents[n%len(agents)] }, 20, true},
		{"first of its tool, by policies that look at its name", conditional, func(r *policies.Request) { r.Target.Name = "tool" + invented[n%len(invented)] }, 40, true},
	} {
		r := asked
		r.Posture = slices.Clone(asked.Posture)
		for range 2 * len(few) { // so that it knows the contexts that it can
			tc.next(&r)
			n++
			if d := tc.set.Decide(r); d.Allow != tc.allow {
				t.Fatalf("%s: got %v (%s), want %v", tc.name, d.Allow, d.Reason, tc.allow)
			}
		}
		got := testing.AllocsPerRun(100, func() {
			tc.next(&r)
			n++
			tc.set.Decide(r)
		})
		if got > tc.most {
			t.Errorf("a decision %s: got %v allocations, want at most %v", tc.name, got, tc.most)
		}
	}
}

// TestDecideTellsWholesApart has an age and the time looked at in ways that are not
// comparisons of them.
func TestDecideTellsWholesApart(t *testing.T) {
	for _, when := range []string{
		`context.posture.scan.age * 2 == 10`,
		`[3, 5].contains(context.posture.scan.age)`,
		`context.posture.scan == {value: "pass", age: 5, issuer: "scan/trivy"}`,
		`[{value: "pass", age: 5, issuer: "scan/trivy"}].contains(context.posture.scan)`,
		`{f: context.posture.scan}.f.age == 5`,
		`{p: context.posture}.p has scan && {p: context.posture}.p.scan.age == 5`,
		`{c: context}.c.posture has scan && {c: context}.c.posture.scan.age == 5`,
		`{c: context}.c.now == datetime("2026-06-10T12:00:05Z")`,
		`context.now.toTime() == duration("12h5s")`,
		`{n: context.now}.n == datetime("2026-06-10T12:00:05Z")`,
	} {
		set := compile(t, `permit (principal, action, resource) when { context.posture has scan && `+when+` };`)
		for _, age := range []int{4, 5, 6, 5, 4} {
			r := toolCall()
			r.Posture = []posture.Fact{scan("pass", 0)}
			r.Now = noon.Add(time.Duration(age) * time.Second)
			if d := set.Decide(r); d.Allow != (age == 5) {
				t.Errorf("after %d s, when %s: got %v (%s)", age, when, d.Allow, d.Reason)
			}
		}
	}
}

// TestToolsThatNoPolicyNames asks for such after others, of which one was allowed.
func TestToolsThatNoPolicyNames(t *testing.T) {
	set := compile(t, `permit (principal, action, resource in Upstream::"github");
permit (principal, action, resource in Upstream::"api");
forbid (principal, action, resource == Tool::"github/drop");`)
	for _, tc := range []struct {
		upstream, method string
		target           policies.Target
		want             string // the end of the reason
	}{
		{"github", "tools/call", policies.Target{Type: policies.Tool, Name: "one"}, ""},
		{"github", "tools/call", policies.Target{Type: policies.Tool, Name: "two"}, ""},
		{"github", "tools/call", policies.Target{Type: policies.Tool, Name: strings.Repeat("x", 2000)}, ""},
		{"github", "tools/call", policies.Target{Type: policies.Tool}, "has no name or no type"},
		{"github", "tools/call", policies.Target{}, "was named"},
		{"github", "tools/call", policies.Target{Name: "one"}, "was named"},
		{"github", "tools/call", policies.Target{Type: policies.Prompt, Name: "one"}, "was named"},
		{"github", "tools/call", policies.Target{Type: policies.Tool, Name: "drop"}, "forbidden by policy"},
		{"github", "tools/call", policies.Target{Type: policies.Tool, Name: "drop/"}, ""},
		{"payroll", "tools/call", policies.Target{Type: policies.Tool, Name: "one"}, `"one" of upstream "payroll": no policy permits`},
		{"payroll", "tools/call", policies.Target{Type: policies.Tool, Name: "two"}, `"two" of upstream "payroll": no policy permits`},
		{"api", "http/GET", policies.Target{Type: policies.Path, Name: "/a"}, ""},
		{"api", "http/GET", policies.Target{Type: policies.Path, Name: "/"}, ""},
		{"api", "http/GET", policies.Target{Type: policies.Path, Name: "/a/../b"}, "not plain"},
		{"api", "http/GET", policies.Target{Type: policies.Path}, "has no name or no type"},
	} {
		r := toolCall()
		r.Upstream, r.Method, r.Target = tc.upstream, tc.method, tc.target
		if d := set.Decide(r); d.Allow != (tc.want == "") || !strings.Contains(d.Reason, tc.want) {
			t.Errorf("%s %.20s of %s: got %v (%s), want %q", tc.method, tc.target.Name, tc.upstream, d.Allow, d.Reason, tc.want)
		}
	}
}

// TestConditionsThatNameAResourceAreToldApart has conditions that look at a tool by
// its name and not by "resource": the tool exists only for a call of it.
func TestConditionsThatNameAResourceAreToldApart(t *testing.T) {
	for when, want := range map[string][2]bool{
		`Tool::"github/drop" in Upstream::"github"`:           {true, false},
		`[Tool::"github/drop"].contains(Tool::"github/drop")`: {true, true},
		`!(Tool::"github/drop" in Upstream::"github")`:        {false, true},
		`Tool::"github/drop" has upstream`:                    {true, false},
		`Tool::"github/drop".upstream == "github"`:            {true, false}, // of any other tool it errs
		`Tool::"github/drop".upstream != "x" && true`:         {true, false},
	} {
		for _, first := range []int{0, 1} {
			set := compile(t, `permit (principal, action, resource) when { `+when+` };`)
			for i := range 4 {
				n := (i + first) % 2
				r := toolCall()
				r.Target.Name = [2]string{"drop", "other"}[n]
				if d := set.Decide(r); d.Allow != want[n] {
					t.Errorf("%s of %s: got %v (%s), want %v", when, r.Target.Name, d.Allow, d.Reason, want[n])
				}
			}
		}
	}
}

// TestNumbersOfAnEntityAreToldApart has an age compared with what depends on which
// entities a call has.
func TestNumbersOfAnEntityAreToldApart(t *testing.T) {
	set := compile(t, `permit (principal, action, resource)
when { context.posture has scan && context.posture.scan.age < (if Agent::"`+toolCall().Agent.String()+`" in TrustDomain::"acme.example" then 60 else 3600) };`)
	for _, age := range []time.Duration{30 * time.Second, 120 * time.Second, 30 * time.Second, 59 * time.Second, time.Minute} {
		r := toolCall()
		r.Posture = []posture.Fact{scan("pass", age)}
		if d := set.Decide(r); d.Allow != (age < time.Minute) {
			t.Errorf("at %v: got %v (%s)", age, d.Allow, d.Reason)
		}
	}
}

// TestDenialIsRememberedWhole has the same denial twice.
func TestDenialIsRememberedWhole(t *testing.T) {
	set, r := benchSet(t, 10)
	r.Method, r.Target = "server/discover", policies.Target{}
	first := set.Decide(r)
	if again := set.Decide(r); first.Allow || first.Reason == "" || !reflect.DeepEqual(again, first) {
		t.Errorf("got %+v, and then %+v", first, again)
	}
}

// TestDecideTellsNumbersApart has each way to compare an age or the time, at and
// beside what it is compared with, in an order in which one is remembered when
// the next is asked.
func TestDecideTellsNumbersApart(t *testing.T) {
	ops := map[string]func(int) bool{
		"<": func(c int) bool { return c < 0 }, "<=": func(c int) bool { return c <= 0 }, "==": func(c int) bool { return c == 0 },
		"!=": func(c int) bool { return c != 0 }, ">=": func(c int) bool { return c >= 0 }, ">": func(c int) bool { return c > 0 },
	}
	const least, most = math.MinInt64, math.MaxInt64
	for op, holds := range ops {
		for _, at := range []int64{least, 0, 1, 2, 5, 3600, most} {
			set := compile(t, fmt.Sprintf(`permit (principal, action, resource) when { context.posture has scan && context.posture.scan.age %s %d };`, op, at))
			for _, age := range []int64{7200, 0, 1, 2, 3, 4, 5, 6, 3599, 3600, 3601, 2, 7200} {
				r := toolCall()
				r.Posture = []posture.Fact{scan("pass", time.Duration(age)*time.Second)}
				if d := set.Decide(r); d.Allow != holds(cmp.Compare(age, at)) {
					t.Errorf("age %d %s %d: got %v", age, op, at, d.Allow)
				}
			}
		}
		set := compile(t, fmt.Sprintf(`permit (principal, action, resource) when { context.now %s datetime("2026-06-10T12:00:00Z") };`, op))
		for _, ms := range []int{1, -1, 0, -1000, 1000, 0, -1} {
			r := toolCall()
			r.Now = noon.Add(time.Duration(ms) * time.Millisecond)
			if d := set.Decide(r); d.Allow != holds(ms) {
				t.Errorf("%d ms %s 0: got %v", ms, op, d.Allow)
			}
		}
	}
}

// TestOneAgentLeavesTheOthersTheirs has one agent invent more tools than all of
// what is remembered.
func TestOneAgentLeavesTheOthersTheirs(t *testing.T) {
	const others = 200
	set := compile(t, `permit (principal, action, resource) when { resource.name like "*" };`)
	ask := func(agent, tool string) {
		r := toolCall()
		r.Agent, r.Target.Name = spiffeid.RequireFromString("spiffe://acme.example/"+agent), tool
		set.Decide(r)
	}
	remembered := func() (n int) {
		for i := range others {
			agent := fmt.Sprint("agent", i)
			before := mallocs()
			ask(agent, "tool")
			if mallocs()-before < 10 { // the agent's name, and nothing to decide
				n++
			}
		}
		return n
	}
	remembered()
	if n := remembered(); n < others*9/10 {
		t.Fatalf("before: got decisions of %d agents, want those of nearly all %d", n, others)
	}
	for _, tool := range invented {
		ask("busy", tool)
	}
	if n := remembered(); n < others*8/10 {
		t.Errorf("after one agent asked for %d tools: got decisions of %d agents of %d left, want most", len(invented), n, others)
	}
}

// mallocs returns how many objects were ever allocated.
func mallocs() uint64 {
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.Mallocs
}

// The names in a request are parts of its head, which is one text: what is
// remembered of a request must not keep all of that.
func TestWhatIsRememberedKeepsNoRequest(t *testing.T) {
	const calls, size = 1024, 64 << 10
	set := compile(t, `permit (principal, action, resource) when { resource.name like "a*" };`)
	before := heap()
	for i := range calls {
		head := fmt.Sprintf("github tools/call %c%05d ", 'a'+byte(i%2), i) + strings.Repeat("x", size)
		words := strings.SplitN(head, " ", 4)
		r := toolCall()
		r.Upstream, r.Method, r.Target = words[0], words[1], policies.Target{Type: policies.Tool, Name: words[2]}
		if d := set.Decide(r); d.Allow != (i%2 == 0) {
			t.Fatalf("call %d: got %+v", i, d)
		}
	}
	if kept := heap() - before; kept > calls*size/4 {
		t.Errorf("got %d bytes kept of %d requests of %d bytes, want their names alone", kept, calls, size)
	}
	runtime.KeepAlive(set)
}

// heap returns how many bytes are in use.
func heap() int64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}
