package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"mintmark/attest/posture"
	"mintmark/policies"
)

// minPolicies is how many policies a run needs to be served at all.
const minPolicies = 3

// grantees is how many agents the generated grants are spread over.
const grantees = 64

// generatePolicies returns n policies, or as many more as it takes to serve
// these upstreams: one permit for each upstream, one forbid that looks at
// posture on every call, and grants of single tools to single agents, the
// measured ones among them.
func generatePolicies(n int, upstreams []string) []byte {
	var b strings.Builder
	b.WriteString(`@id("only-scanned-agents")
forbid (principal, action == Action::"tools/call", resource) unless {
  context.posture has scan && context.posture.scan.value == "pass" && context.posture.scan.age < 86400
};
`)
	for _, u := range upstreams {
		fmt.Fprintf(&b, `@id("agents-use-%s")
permit (principal in PathPrefix::"spiffe://%s/agent", action == Action::"tools/call", resource in Upstream::%q);
`, u, trustDomain, u)
	}
	for i := range n - 1 - len(upstreams) {
		fmt.Fprintf(&b, `@id("grant-%d")
permit (principal == Agent::"spiffe://%s/agent/%d", action == Action::"tools/call", resource == Tool::"%s/tool-%d")%s;
`, i, trustDomain, i%grantees, benchUpstream, i, condition(i))
	}
	return []byte(b.String())
}

// condition makes every other grant depend on posture.
func condition(i int) string {
	if i%2 == 0 {
		return ""
	}
	return "\nwhen { context.posture has scan && context.posture.scan.age < 3600 }"
}

// decideNs returns how many nanoseconds one decision takes among n policies,
// without anything around it.
func decideNs(n int) (*float64, error) {
	const rounds, limit = 5, 100 * time.Millisecond
	set, err := policies.Compile(
		[]policies.File{{Name: "bench.cedar", Content: generatePolicies(n, []string{benchUpstream})}},
		policies.Options{PostureNames: []string{"scan"}, Upstreams: []policies.Upstream{{Name: benchUpstream, Kind: "mcp"}}})
	if err != nil {
		return nil, fmt.Errorf("compile %d policies: %w", n, err)
	}
	r := question(time.Now())
	if d := set.Decide(r); !d.Allow {
		return nil, fmt.Errorf("decide among %d policies: got a denial (%s), want the answer of the measured call", n, d.Reason)
	}
	var times []float64
	for range rounds {
		times = append(times, timeOf(limit, func() { set.Decide(r) }))
	}
	return rounded(medianOf(times)), nil
}

// question is what the measured call asks.
func question(now time.Time) policies.Request {
	id := spiffeid.RequireFromString(fmt.Sprintf("spiffe://%s/agent/0", trustDomain))
	return policies.Request{
		Agent: id, Upstream: benchUpstream, Method: "tools/call",
		Target: policies.Target{Type: policies.Tool, Name: toolEcho}, Credential: benchUpstream + "-token", Now: now,
		Posture: []posture.Fact{{
			Subject: id.String(), Name: "scan", Value: "pass",
			ObservedAt: now.Add(-time.Minute), MaxAge: 24 * time.Hour, Issuer: "scan/trivy",
		}},
	}
}

// timeOf returns the nanoseconds that f takes, over as many calls as fit into
// limit.
func timeOf(limit time.Duration, f func()) float64 {
	const batch = 100 // looking at the clock costs time too
	start, n := time.Now(), 0
	for time.Since(start) < limit {
		for range batch {
			f()
		}
		n += batch
	}
	return float64(time.Since(start).Nanoseconds()) / float64(n)
}
