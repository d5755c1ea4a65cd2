package policies_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"mintmark/attest/posture"
	"mintmark/policies"
)

// BenchmarkDecide is one decision, in order of what is known of it beforehand.
func BenchmarkDecide(b *testing.B) {
	for _, kind := range []struct {
		name string
		next func(r *policies.Request, i int)
	}{
		// The very same was decided before.
		{"remembered", func(*policies.Request, int) {}},
		// A fact is a second older each time: no policy tells the two apart.
		{"aged", func(r *policies.Request, i int) {
			r.Posture[0].ObservedAt = r.Now.Add(-time.Duration(i%80_000) * time.Second)
		}},
		// The question is known and the context is one that others had, as at each new
		// minute and for each new fact: the policies are asked.
		{"anew", func(r *policies.Request, i int) { r.Posture[0].Value = few[i%len(few)] }},
		// Nobody had such a context: it is built too.
		{"unseen", func(r *policies.Request, i int) { r.Posture[0].Value = invented[i%len(invented)] }},
		// Nobody asked for this tool, and no policy names it.
		{"invented", func(r *policies.Request, i int) { r.Target.Name = invented[i%len(invented)] }},
		// This agent did not ask before: the policies that concern it are looked for too.
		{"first", func(r *policies.Request, i int) { r.Agent = agents[i%len(agents)] }},
	} {
		for _, n := range []int{10, 1_000, 10_000} {
			b.Run(fmt.Sprintf("%s/%d", kind.name, n), func(b *testing.B) {
				set, r := benchSet(b, n)
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					kind.next(&r, i)
					if d := set.Decide(r); !d.Allow {
						b.Fatal(d.Reason)
					}
				}
			})
		}
	}
}

// Names that differ, more of them than are remembered, and a few.
var (
	invented = names(50_000)
	few      = invented[:64]
	agents   = agentsOf(invented)
)

func agentsOf(names []string) []spiffeid.ID {
	out := make([]spiffeid.ID, len(names))
	for i, name := range names {
		out[i] = spiffeid.RequireFromString("spiffe://acme.example/team/b/" + name)
	}
	return out
}

func names(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("name%d", i)
	}
	return out
}

// BenchmarkCedarAlone is what Cedar itself takes for one policy that permits, with
// all that it asks for at hand.
func BenchmarkCedarAlone(b *testing.B) {
	all := policySet(b, `@id("p") permit (principal == Agent::"a", action == Action::"tools/call", resource == Tool::"github/t");`)
	uid := types.NewEntityUID
	r := cedar.Request{Principal: uid("Agent", "a"), Action: uid("Action", "tools/call"), Resource: uid("Tool", "github/t")}
	var entities types.EntityMap
	b.ReportAllocs()
	for b.Loop() {
		if allow, _ := cedar.Authorize(all, entities, r); !bool(allow) {
			b.Fatal("got a denial")
		}
	}
}

// BenchmarkDecideTogether is one question asked from all processors.
func BenchmarkDecideTogether(b *testing.B) {
	set, r := benchSet(b, 10)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if d := set.Decide(r); !d.Allow {
				b.Error(d.Reason)
				return
			}
		}
	})
}

// benchSet is one policy per agent and tool, the two that
// guard all, and one for all tools.
func benchSet(b testing.TB, n int) (*policies.Set, policies.Request) {
	var text strings.Builder
	for i := range n - 3 {
		fmt.Fprintf(&text, "permit (principal == Agent::\"spiffe://acme.example/team/a/agent%d\", action == Action::\"tools/call\", resource == Tool::\"github/tool%d\");\n", i, i)
	}
	text.WriteString(`permit (principal, action == Action::"tools/call", resource in Upstream::"github");
forbid (principal, action, resource) unless { context.posture has scan && context.posture.scan.value != "fail" && context.posture.scan.age < 86400 };
forbid (principal, action, resource in Upstream::"github") unless { context.clock.berlin.minute_of_day >= 540 && context.clock.berlin.minute_of_day < 1020 };`)
	set, err := policies.Compile([]policies.File{{Name: "p.cedar", Content: []byte(text.String())}}, options(b))
	if err != nil {
		b.Fatal(err)
	}
	r := toolCall()
	r.Agent = spiffeid.RequireFromString("spiffe://acme.example/team/a/agent3")
	r.Target.Name = "tool3"
	r.Posture = []posture.Fact{scan("pass", time.Hour)}
	return set, r
}

// BenchmarkCompile says what applying a bundle of 100 policies costs.
func BenchmarkCompile(b *testing.B) {
	for name, action := range map[string]string{"any action": "action", "one action": `action == Action::"tools/call"`} {
		b.Run(name, func(b *testing.B) {
			text := strings.Repeat("permit (principal, "+action+", resource in Upstream::\"github\") "+
				"when { context.posture has scan && context.posture.scan.age < 86400 };\n", 100)
			o := options(b)
			for b.Loop() {
				if _, err := policies.Compile([]policies.File{{Name: "p.cedar", Content: []byte(text)}}, o); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
