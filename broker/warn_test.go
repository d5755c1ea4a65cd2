package broker_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mintmark/attest/posture"
	"mintmark/broker/bundle"
)

// A broker whose policies are gone denies every call, and says so when that comes in
// force, and not to "mintmark check" alone.
func TestPoliciesThatDoNothingAreToldOf(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.logged.take()
	if err := os.WriteFile(filepath.Join(w.dir, "policies.cedar"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	bd, err := bundle.Load(w.dir, w.kinds().Settings())
	if err != nil {
		t.Fatal(err)
	}
	if err := w.broker.Apply(t.Context(), bd); err != nil {
		t.Fatal(err)
	}
	if logged := string(w.logged.take()); !strings.Contains(logged, "every call is denied") {
		t.Errorf("got %s", logged)
	}
}

// A scan that is filed under a name that no agent has denies the calls of the one that it is
// of: who reads the log learns it. Of others nothing is said, nor of digests.
func TestPostureOfNobodyIsToldOf(t *testing.T) {
	t.Parallel()
	const policy = `permit (principal == Agent::"spiffe://example.org/agent/shop", action, resource);`
	w := open(t, func(s *setup) { s.Policy = policy })
	if logged := string(w.logged.take()); strings.Contains(logged, "filed under another name") {
		t.Errorf("of the agent that policies name: got %s", logged)
	}
	for _, subject := range []string{"spiffe://example.org/agent/shpo", "spiffe://exmaple.org/agent/shop", "sha256:" + strings.Repeat("a", 64)} {
		w.scan.report(posture.Fact{Subject: subject, Name: "scan", Value: "pass", ObservedAt: time.Now(), MaxAge: time.Hour, Issuer: "scan/test"})
	}
	if err := w.change("policies.cedar", policy, policy+"\n"); err != nil {
		t.Fatal(err)
	}
	logged := string(w.logged.take())
	if !strings.Contains(logged, "filed under another name") || !strings.Contains(logged, `"count":2,"workloads":["spiffe://example.org/agent/shpo","spiffe://exmaple.org/agent/shop"]`) {
		t.Errorf("got %s", logged)
	}
}
