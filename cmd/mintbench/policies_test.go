package main

import (
	"bytes"
	"testing"
	"time"

	"mintmark/policies"
)

func TestGeneratedPolicies(t *testing.T) {
	content := generatePolicies(500, []string{benchUpstream, burstUpstream})
	if got := bytes.Count(content, []byte("@id(")); got != 500 {
		t.Errorf("got %d policies, want 500", got)
	}
	set, err := policies.Compile([]policies.File{{Name: "bench.cedar", Content: content}}, policies.Options{
		PostureNames: []string{"scan"}, Upstreams: []policies.Upstream{{Name: benchUpstream}, {Name: burstUpstream}}})
	if err != nil {
		t.Fatal(err)
	}
	asked := question(time.Now())
	if d := set.Decide(asked); !d.Allow {
		t.Errorf("got a denial of the measured call: %s", d.Reason)
	}
	asked.Posture = nil
	if d := set.Decide(asked); d.Allow {
		t.Error("got a permit without a scan: posture would not be measured")
	}
}

func TestDecideNs(t *testing.T) {
	ns, err := decideNs(10)
	if err != nil || *ns <= 0 {
		t.Errorf("got %v, %v, want a time", ns, err)
	}
}
