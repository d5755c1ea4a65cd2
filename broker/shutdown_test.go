package broker_test

import (
	"bytes"
	"net"
	"net/http"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"testing"
	"time"

	"mintmark/broker"
	"mintmark/broker/audit"
	"mintmark/internal/fault"
)

func TestShutdownLetsCallsEndAndRevokesLeases(t *testing.T) {
	t.Parallel()
	w := open(t)
	begun, free := make(chan struct{}), make(chan struct{})
	w.upstream.does(func(rw http.ResponseWriter, r *http.Request) {
		close(begun)
		<-free
		answerOK(rw, r)
	})
	ended, closed := make(chan answer, 1), make(chan error, 1)
	go func() { ended <- w.do(w.call(to("/mcp/database"))) }()
	recv(t, "the call", begun)
	go func() { closed <- w.stop() }()
	w.await("the socket to close", func() bool {
		conn, err := net.Dial("tcp", w.plain)
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	})
	if got := w.issuer.revocations(); len(got) != 0 {
		t.Errorf("revoked %v under a call that is under way", got)
	}
	close(free)
	if got := recv(t, "the call's end", ended); got.status != 200 || got.body != okAnswer {
		t.Errorf("the call under way: got %d %q, %v", got.status, got.body, got.err)
	}
	if err := recv(t, "the end of the broker", closed); err != nil {
		t.Errorf("Close: %v", err)
	}
	if err := w.broker.Close(t.Context()); err != nil {
		t.Errorf("second Close: %v", err)
	}
	if got := w.issuer.revocations(); !slices.Equal(got, []string{"database/creds/orders/1"}) {
		t.Errorf("revoked: got %v, want the one lease", got)
	}
	w.wantOrderlyEnd()
}

// wantOrderlyEnd checks that the log ends with the revocation of every lease
// and the broker's own end, after the outcome of the last call.
func (w *world) wantOrderlyEnd() {
	w.t.Helper()
	var order []string
	for r, err := range audit.Query(w.logDir(), audit.Filter{}) {
		if err != nil {
			w.t.Fatal(err)
		}
		if r.Kind != audit.Posture {
			order = append(order, string(r.Kind)+" "+r.Event)
		}
	}
	want := []string{"admin start", "issuance mint", "decision ", "outcome ", "issuance revoke", "admin stop"}
	if !slices.Equal(order, want) {
		w.t.Errorf("records: got %q, want %q", order, want)
	}
}

// However many are cut at once, how each ended is on record before the log
// closes.
func TestShutdownCutsWhatDoesNotEnd(t *testing.T) {
	t.Parallel()
	w := open(t, func(s *setup) { s.Limits = "shutdown: 100ms" })
	const streams = 64
	var cut []*exchange
	for range streams {
		x, e := w.stream()
		e.event(t, "data: 1\n\n")
		x.want("data: 1\n\n")
		cut = append(cut, x)
	}
	if err := w.stop(); err != nil {
		t.Errorf("Close: %v", err)
	}
	for _, x := range cut {
		if rest := x.wantCut(); rest != "" {
			t.Errorf("the stream: got %q after the end", rest)
		}
	}
	for _, rec := range w.records(audit.Filter{Kind: audit.Outcome}, streams) {
		if rec.Fault != "unavailable" || rec.Bytes != 9 {
			t.Errorf("outcome: got %q after %d bytes", rec.Fault, rec.Bytes)
		}
	}
}

// A call that was cut may take a moment to notice. What it has to say is on
// record all the same.
func TestShutdownWaitsForWhatItCut(t *testing.T) {
	t.Parallel()
	w := open(t, func(s *setup) { s.Limits = "shutdown: 10ms" })
	h := newHold()
	w.waiting.hold.Store(h)
	conn := w.write(w.call())
	recv(t, "the call", h.begun)
	closed := make(chan error, 1)
	go func() { closed <- w.stop() }()
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("the agent got an answer, want its connection cut")
	}
	select {
	case err := <-closed:
		_ = err
		t.Error("Close returned under a call that had not ended")
	case <-time.After(100 * time.Millisecond):
	}
	close(h.free)
	if err := recv(t, "the end of the broker", closed); err != nil {
		t.Errorf("Close: %v", err)
	}
	if rec := w.records(audit.Filter{Kind: audit.Decision}, 1)[0]; rec.Allow || rec.Fault != "unavailable" {
		t.Errorf("record: got allow %t, fault %q", rec.Allow, rec.Fault)
	}
}

// A stream keeps the bundle it began with. When it ends, so do that bundle's
// leases, even if the whole broker ends meanwhile.
func TestABundleEndsWithItsLastCall(t *testing.T) {
	t.Parallel()
	w := open(t, func(s *setup) { s.Limits = "shutdown: 10ms" })
	x, e := w.stream(to("/mcp/database"))
	if err := w.change("mintmark.yaml", "user: {kind: vault", "user: {max_age: 10m, kind: vault"); err != nil {
		t.Fatal(err)
	}
	if err := w.change("policies.cedar", `resource.name like "lookup_*"`, `resource.name like "lookup_*" && resource in Upstream::"database"`); err != nil {
		t.Fatal(err)
	}
	w.wantRefused(w.call(), want{200, -31403, "decide", fault.Denied, "shop-looks-up", "shop", false})
	e.event(t, "data: 1\n\n")
	x.want("data: 1\n\n")
	if err := w.stop(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if got := w.issuer.revocations(); len(got) != 1 {
		t.Errorf("revoked: got %v, want the lease of the bundle that was replaced", got)
	}
	events := []string{}
	for _, r := range w.records(audit.Filter{Kind: audit.Admin}, 4) {
		events = append(events, r.Event)
	}
	if want := []string{"start", "bundle", "bundle", "stop"}; !slices.Equal(events, want) {
		t.Errorf("records: got %v, want %v", events, want)
	}
}

// A stream of the first bundle uses the providers that the second took over;
// the third, which changes them, must wait for it.
func TestSharedPartsEndWithTheLastCallThatUsesThem(t *testing.T) {
	t.Parallel()
	w := open(t, func(s *setup) { s.Limits = "shutdown: 10ms" })
	x, e := w.stream(to("/mcp/database"))
	if err := w.change("policies.cedar", `resource.name like "lookup_*"`, `resource.name like "lookup_*" && resource in Upstream::"database"`); err != nil {
		t.Fatal(err)
	}
	if err := w.change("mintmark.yaml", "user: {kind: vault", "user: {max_age: 10m, kind: vault"); err != nil {
		t.Fatal(err)
	}
	w.wantRefused(w.call(), want{200, -31403, "decide", fault.Denied, "shop-looks-up", "shop", false})
	e.event(t, "data: 1\n\n")
	x.want("data: 1\n\n")
	if got := w.issuer.revocations(); len(got) != 0 {
		t.Errorf("revoked under a stream that is under way: %v", got)
	}
	if err := w.stop(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if got := w.issuer.revocations(); len(got) != 1 {
		t.Errorf("revoked at the end: got %v, want the lease", got)
	}
}

func TestABundleThatCannotBeAppliedChangesNothing(t *testing.T) {
	t.Parallel()
	w := open(t)
	digest := w.broker.Digest()
	if err := w.change("mintmark.yaml", "limits: { body: 64KiB", "limits: { body: 65KiB"); err == nil || !strings.HasPrefix(err.Error(), "mintmark.yaml:") ||
		!strings.Contains(err.Error(), ": limits.body: expected 64KiB, as it was at start, got 65KiB; restart the broker") {
		t.Errorf("limits that changed: got %v, want a restart demanded", err)
	}
	if err := w.change("policies.cedar", `action == Action::"tools/call", resource)`, `action == Action::"tools/fall", resource)`); err == nil {
		t.Error("a policy of an unknown action: got it applied")
	}
	if w.broker.Digest() != digest {
		t.Error("the bundle in force changed")
	}
	w.wantOK(w.call(), "result")
}

// What is on record as in force has been in force.
func TestABundleThatComesTooLateIsNotOnRecord(t *testing.T) {
	t.Parallel()
	w := open(t, func(s *setup) { s.Limits = "shutdown: 10ms" })
	h := newHold()
	w.waiting.hold.Store(h)
	w.write(w.call())
	recv(t, "the call", h.begun)
	closed := make(chan error, 1)
	go func() { closed <- w.stop() }()
	w.await("the end of all new calls", func() bool { return !w.broker.Entering() })
	err := w.change("policies.cedar", `resource.name like "lookup_*"`, `resource.name like "find_*"`)
	if err == nil || !strings.Contains(err.Error(), "the broker is stopping") {
		t.Errorf("got %v, want it refused", err)
	}
	close(h.free)
	if err := recv(t, "the end of the broker", closed); err != nil {
		t.Errorf("Close: %v", err)
	}
	for _, r := range w.records(audit.Filter{Kind: audit.Admin}, 2) {
		if r.Event != "start" && r.Event != "stop" {
			t.Errorf("record: got %q, want none of the bundle", r.Event)
		}
	}
}

// A broker that did not come to serve has no end on record either.
func TestABrokerThatFailsToOpenLeavesNoRecord(t *testing.T) {
	t.Parallel()
	w := open(t)
	if err := w.stop(); err != nil {
		t.Fatal(err)
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	bd := w.rewrite("mintmark.yaml", "{address: 127.0.0.1:0, plaintext: true}", `{address: "`+taken.Addr().String()+`", plaintext: true}`)
	_, err = broker.Open(t.Context(), broker.Options{Bundle: bd, Kinds: w.kinds()})
	if err == nil || !strings.HasPrefix(err.Error(), "listeners[1]: ") {
		t.Fatalf("got %v, want the address taken", err)
	}
	w.records(audit.Filter{Kind: audit.Admin}, 2) // of the one that ended
}

func TestLeavesNoGoroutineBehind(t *testing.T) {
	before := runtime.NumGoroutine()
	t.Run("a broker's life", func(t *testing.T) {
		w := open(t)
		w.wantOK(w.call(), "result")
		w.wantOK(w.call(to("/mcp/database")), "result")
		x, e := w.stream()
		e.event(t, "data: 1\n\n")
		x.want("data: 1\n\n")
		_ = x.conn.Close()
		recv(t, "the end of the upstream's request", e.left)
		y, e := w.watch("text/plain", "words, words")
		y.reads("words, words")
		_ = y.conn.Close()
		recv(t, "the end of the upstream's request", e.left)
		w.do(w.call(to("/mcp/unreachable")))
		w.do(w.call(to("/mcp/failing")))
	})
	deadline := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for runtime.NumGoroutine() > before {
		select {
		case <-deadline:
			var stacks bytes.Buffer
			_ = pprof.Lookup("goroutine").WriteTo(&stacks, 1)
			t.Fatalf("got %d goroutines, want %d as before:\n%s", runtime.NumGoroutine(), before, stacks.String())
		case <-tick.C:
		}
	}
}
