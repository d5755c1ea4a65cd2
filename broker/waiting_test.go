package broker_test

import (
	"strings"
	"testing"
	"time"

	"mintmark/broker"
	"mintmark/internal/fault"
)

// A call that waits for a person makes room for others: the very answer it waits
// for comes in one.
func TestACallThatWaitsForInputLeavesItsSlot(t *testing.T) {
	t.Parallel()
	w := modern(t, newStateless(t), func(s *setup) { s.Limits = "body: 64KiB, shutdown: 5s, concurrent: 1" })
	handle := w.session("modern", initializeAsking)
	x, id := w.asked(handle)
	answer := w.call(to("/mcp/modern"), with("Mcp-Session-Id", handle), accepting(id, "name"))
	w.await("the slot to be free", func() bool { return w.broker.Waiting() == 0 })
	if got := w.do(answer); got.status != 202 {
		t.Fatalf("the answer: got %d %q", got.status, got.body)
	}
	second := x.request("elicitation/create")
	w.await("the slot to be free", func() bool { return w.broker.Waiting() == 0 })
	if got := w.do(w.call(to("/mcp/modern"), with("Mcp-Session-Id", handle), accepting(second, "size"))); got.status != 202 {
		t.Fatalf("the second answer: got %d %q", got.status, got.body)
	}
	if event, err := x.event(); err != nil || !strings.Contains(event, "second s, s") {
		t.Errorf("the call: got %q, %v", event, err)
	}
	w.await("the last slot to be free", func() bool { return w.broker.Waiting() == 0 })
}

// A broker that stops tells those who wait, and waits for none of them.
func TestTheBrokerStopsWhileASessionsCallWaits(t *testing.T) {
	t.Parallel()
	w := modern(t, newStateless(t), func(s *setup) { s.Limits = "body: 64KiB, shutdown: 20s" })
	x, _ := w.asked(w.session("modern", initializeAsking))
	if err := w.stop(); err != nil {
		t.Errorf("stop: got %v", err)
	}
	if event, err := x.event(); err != nil || !strings.Contains(event, "the broker is stopping") {
		t.Errorf("the call: got %q, %v", event, err)
	}
}

func TestSoManyCallsOfASessionsAgentWait(t *testing.T) {
	t.Parallel()
	w := modern(t, newStateless(t))
	for range 32 {
		x, _ := w.asked(w.session("modern", initializeAsking))
		t.Cleanup(func() { _ = x.conn.Close() })
	}
	got := w.do(w.call(to("/mcp/modern"), with("Mcp-Session-Id", w.session("modern", initializeAsking)), body(toolCall("lookup_ask"))))
	if !strings.Contains(got.body, "too many calls wait for input") {
		t.Errorf("the one too many: got %d %s", got.status, got.body)
	}
}

func TestThoseThatWaitAreCountedByIssuerAndSubject(t *testing.T) {
	var w broker.InputWaits
	shop, namesake := identityOf("https://one.example", "spiffe://example.org/agent/shop"), identityOf("https://two.example", "spiffe://example.org/agent/shop")
	var leave func()
	for range 32 {
		var err error
		if leave, err = w.Enter(shop); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Enter(shop); err == nil {
		t.Error("one too many: got in")
	}
	if _, err := w.Enter(namesake); err != nil {
		t.Errorf("another issuer's agent of the same name: got %v", err)
	}
	leave()
	leave() // counts once
	if _, err := w.Enter(shop); err != nil {
		t.Errorf("after one left: got %v", err)
	}
	if _, err := w.Enter(shop); err == nil {
		t.Error("after one left twice: two got in")
	}
	for n := 33; n < 1024; n++ {
		if _, err := w.Enter(identityOf("https://"+strings.Repeat("x", n), "spiffe://example.org/agent/a")); err != nil {
			t.Fatalf("%d in all: got %v", n, err)
		}
	}
	if _, err := w.Enter(identityOf("https://b", "spiffe://example.org/agent/b")); err == nil {
		t.Error("more than may wait in all: got in")
	}
}

// A decision has one outcome, also where its answer asks for input that never comes.
func TestACallThatWaitsInVainHasOneOutcome(t *testing.T) {
	t.Parallel()
	w := modern(t, newStateless(t))
	x, _ := w.asked(w.session("modern", initializeAsking))
	call := w.lastAllowed().Call
	w.scan.state(w.id("shop"), "fail", time.Now())
	if event, err := x.event(); err != nil || !strings.Contains(event, "no passing scan") {
		t.Fatalf("the call: got %q, %v", event, err)
	}
	if o := w.outcome(call); o.Fault != fault.Denied.String() || !strings.Contains(o.Reason, "no passing scan") {
		t.Errorf("outcome: got %q, %q, want that it was denied", o.Fault, o.Reason)
	}
}

// Nobody comes in behind those who are ended when the broker stops.
func TestNobodyWaitsInABrokerThatStops(t *testing.T) {
	var w broker.InputWaits
	agent := identityOf("https://one.example", "spiffe://example.org/agent/shop")
	var ended, left int
	if _, err := w.Enter(agent, func(error) { ended++ }); err != nil {
		t.Fatal(err)
	}
	leave, err := w.Enter(agent, func(error) { left++ })
	if err != nil {
		t.Fatal(err)
	}
	leave()
	w.Close()
	if ended != 1 || left != 0 {
		t.Errorf("got %d ended that waited and %d that had left, want 1 and 0", ended, left)
	}
	if _, err := w.Enter(agent); err == nil || !strings.Contains(err.Error(), "stopping") {
		t.Errorf("after the end: got %v, want a refusal", err)
	}
}
