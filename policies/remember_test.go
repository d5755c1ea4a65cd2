package policies_test

import (
	"fmt"
	"reflect"
	"runtime"
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

// TestDecideAllocs holds a decision to what one may allocate: nothing where it
// was made before, and as much as Cedar needs where a fact has aged meanwhile.
func TestDecideAllocs(t *testing.T) {
	set, r := benchSet(t, 1000)
	if d := set.Decide(r); !d.Allow {
		t.Fatal(d.Reason)
	}
	if n := testing.AllocsPerRun(100, func() { set.Decide(r) }); n > 0 {
		t.Errorf("a decision that was made before: got %v allocations, want none", n)
	}
	denied := r
	denied.Method, denied.Target = "server/discover", policies.Target{}
	first := set.Decide(denied)
	if n := testing.AllocsPerRun(100, func() { set.Decide(denied) }); n > 0 {
		t.Errorf("a denial that was made before: got %v allocations, want none", n)
	}
	if again := set.Decide(denied); first.Allow || first.Reason == "" || !reflect.DeepEqual(again, first) {
		t.Errorf("a denial: got %+v, and then %+v", first, again)
	}
	n := testing.AllocsPerRun(100, func() {
		r.Posture[0].ObservedAt = r.Posture[0].ObservedAt.Add(-time.Second)
		set.Decide(r)
	})
	if n > 48 {
		t.Errorf("a decision on a fact that has aged: got %v allocations, want at most 48", n)
	}
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
