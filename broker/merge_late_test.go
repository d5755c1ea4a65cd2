package broker_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"mintmark/internal/fault"
	"mintmark/providers"
)

// waitsFor is a provider that mints for all agents but one, which waits until its call is over.
type waitsFor struct {
	agent string
	asked chan struct{} // is closed once it waits, if it is not nil
}

// Mint implements providers.Provider.
func (p waitsFor) Mint(ctx context.Context, r providers.Request) (providers.Credential, error) {
	if strings.HasSuffix(r.Agent.Subject(), p.agent) {
		if p.asked != nil {
			close(p.asked)
		}
		<-ctx.Done()
		return providers.Credential{}, fault.Wrap("lease", fault.Unavailable, "not in time", ctx.Err())
	}
	return providers.Seal(providers.Token, providers.Material{Token: providers.NewSecret("token-canary-of-" + r.Agent.Subject())},
		providers.Terms{NotAfter: time.Now().Add(time.Hour)}), nil
}

// An agent whose own credential does not come hides no upstream from the lists of others: that
// was not asked, and is not silent.
func TestOneAgentsCredentialThatDoesNotComeHidesNoUpstream(t *testing.T) {
	t.Parallel()
	s := openSeveral(t, func(s *setup) { s.Minted = map[string]providers.Provider{"own": waitsFor{agent: "/shop"}} })
	s.odd.answers("tools/list", func(rpc) string { return `{"tools":[{"name":"ok"}]}` })
	s.ownCredentials()
	first := s.wantOK(s.stateless("tools/list", "", "{"), "modern__link").merged(t)
	if !slices.Contains(first.Result.Meta.Unavailable, "odd") {
		t.Fatalf("missing: got %v, want odd among them", first.Result.Meta.Unavailable)
	}
	got := s.wantOK(s.stateless("tools/list", "", "{", s.as("clerk")), "modern__link").merged(t)
	if !slices.Contains(got.names(), "odd__ok") {
		t.Errorf("another agent's list: got %v and missing %v, want odd__ok", got.names(), got.Result.Meta.Unavailable)
	}
}

// Nor does a call of its that waits for it.
func TestACallThatWaitsForItsCredentialHidesNoUpstream(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{})
	s := openSeveral(t, func(s *setup) { s.Minted = map[string]providers.Provider{"own": waitsFor{"/shop", asked}} })
	s.odd.answers("tools/list", func(rpc) string { return `{"tools":[{"name":"ok"}]}` })
	s.ownCredentials()
	s.scan.state(s.id("shop"), "pass", time.Now())
	waiting := s.write(s.stateless("tools/call", "odd__ok", `{"name":"odd__ok"`))
	defer waiting.Close()
	<-asked
	got := s.wantOK(s.stateless("tools/list", "", "{", s.as("clerk")), "modern__link").merged(t)
	if !slices.Contains(got.names(), "odd__ok") {
		t.Errorf("another agent's list: got %v and missing %v, want odd__ok", got.names(), got.Result.Meta.Unavailable)
	}
}

// ownCredentials has odd called with credentials that are each agent's own.
func (s *several) ownCredentials() {
	s.t.Helper()
	s.rewriteOnly("mintmark.yaml", "\nproviders:\n", "\nproviders:\n  own: {kind: own, per_agent: true}\n")
	if err := s.change("mintmark.yaml", "/mcp\", credentials: [{provider: token, scheme: bearer}]}\n  hidden:",
		"/mcp\", timeout: 3s, credentials: [{provider: own, scheme: bearer}]}\n  hidden:"); err != nil {
		s.t.Fatal(err)
	}
}
