package broker_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mintmark/broker/audit"
	"mintmark/internal/trustdomain"
)

// stream begins a call that the upstream answers with events.
func (w *world) stream(change ...func(*request)) (*exchange, *events) {
	w.t.Helper()
	e := newEvents()
	w.upstream.does(e.ServeHTTP)
	x := w.begin(w.call(change...))
	if x.resp.StatusCode != 200 || x.resp.Header.Get("Content-Type") != "text/event-stream" || x.resp.Header.Get("X-Accel-Buffering") != "no" {
		w.t.Fatalf("head of the stream: got %d with %v", x.resp.StatusCode, x.resp.Header)
	}
	return x, e
}

func (x *exchange) want(text string) {
	x.t.Helper()
	if got, err := x.event(); got != text || err != nil {
		x.t.Fatalf("event: got %q, %v, want %q", got, err, text)
	}
}

// wantCut waits for the end of a stream that must not look whole, and returns
// what came before it.
func (x *exchange) wantCut() string {
	x.t.Helper()
	rest, err := io.ReadAll(x.body)
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		x.t.Fatalf("end of the stream: got %v after %q, want a cut", err, rest)
	}
	return string(rest)
}

func TestAnEventReachesTheAgentBeforeTheNextIsSent(t *testing.T) {
	t.Parallel()
	w := open(t)
	x, e := w.stream()
	for _, text := range []string{"data: 1\n\n", "id: 7\ndata: 2\n\n", ": ping\n\n"} {
		e.event(t, text)
		x.want(text)
	}
	e.event(t, "")
	if rest, err := io.ReadAll(x.body); len(rest) != 0 || err != nil {
		t.Errorf("end of the stream: got %q, %v", rest, err)
	}
	if rec := w.outcome(w.lastAllowed().Call); rec.Bytes != 32 || rec.Fault != "" {
		t.Errorf("outcome: got %d bytes and fault %q", rec.Bytes, rec.Fault)
	}
}

func TestAServersOwnStreamIsOpenedByGET(t *testing.T) {
	t.Parallel()
	w := open(t)
	x, e := w.stream(get("/mcp/orders"), with("Last-Event-ID", "7"))
	event := `data: {"jsonrpc":"2.0","method":"notifications/tools/list_changed"}` + "\n\n"
	e.event(t, event)
	x.want(event)
	if got := w.upstream.last(t); got.method != "GET" || got.header.Get("Last-Event-Id") != "" || got.body != "" {
		t.Errorf("upstream: got %+v", got)
	}
	if rec := w.lastAllowed(); rec.Method != "stream" {
		t.Errorf("record: got %q, want stream", rec.Method)
	}
	e.event(t, "")
}

// In its session, a stream goes on where the agent lost it.
func TestAStreamIsResumedInItsSession(t *testing.T) {
	t.Parallel()
	w := open(t)
	handle := with("Mcp-Session-Id", w.begun("orders"))
	_, e := w.stream(get("/mcp/orders"), handle, with("Last-Event-ID", "7"))
	if got := w.upstream.last(t); got.method != "GET" || got.header.Get("Last-Event-Id") != "7" || got.header.Get("Mcp-Session-Id") != "upstreams-own-session" {
		t.Errorf("upstream: got %+v, want the event in the session", got)
	}
	e.event(t, "")
}

func TestMasksACredentialInAnEvent(t *testing.T) {
	t.Parallel()
	w := open(t)
	x, e := w.stream()
	secret := w.issuer.last()
	e.event(t, "data: "+secret+"\n\n")
	x.want("data: " + strings.Repeat("*", len(secret)) + "\n\n")
	e.event(t, "data: "+secret[:10]) // nothing yet shows whether it is one
	e.event(t, secret[10:]+"\n\n")
	x.want("data: " + strings.Repeat("*", len(secret)) + "\n\n")
	e.event(t, "")
	if rec := w.outcome(w.lastAllowed().Call); rec.ScrubHits != 2 {
		t.Errorf("outcome: got %d hits, want 2", rec.ScrubHits)
	}
}

func TestPostureThatTurnsBadCutsTheStream(t *testing.T) {
	t.Parallel()
	w := open(t)
	x, e := w.stream()
	e.event(t, "data: 1\n\n")
	x.want("data: 1\n\n")
	w.scan.state(w.id("clerk"), "fail", time.Now()) // somebody else's
	e.event(t, "data: 2\n\n")
	x.want("data: 2\n\n")
	w.scan.state(w.id("shop"), "fail", time.Now()) // and the stream is idle
	if rest := x.wantCut(); rest != "" {
		t.Errorf("after the posture turned bad: got %q, want nothing", rest)
	}
	recv(t, "the end of the upstream's request", e.left)
	rec := w.outcome(w.lastAllowed().Call)
	if rec.Fault != "denied" || !strings.Contains(rec.Reason, `"only-scanned": this agent has no passing scan`) || rec.Bytes != 18 {
		t.Errorf("outcome: got %q, %q, %d bytes", rec.Fault, rec.Reason, rec.Bytes)
	}
}

// A stream that sends nothing is open all the same.
func TestPostureThatTurnsBadCutsAnIdleStream(t *testing.T) {
	t.Parallel()
	w := open(t)
	x, e := w.stream()
	e.event(t, "data: 1\n\n")
	x.want("data: 1\n\n")
	w.scan.state(w.id("shop"), "fail", time.Now())
	if rest := x.wantCut(); rest != "" {
		t.Errorf("after the posture turned bad: got %q, want nothing", rest)
	}
	recv(t, "the end of the upstream's request", e.left)
	if rec := w.outcome(w.lastAllowed().Call); rec.Fault != "denied" || !strings.Contains(rec.Reason, "this agent has no passing scan") {
		t.Errorf("outcome: got %q, %q", rec.Fault, rec.Reason)
	}
}

// Nothing changes in these but the time.
func TestTimeThatRunsOutCutsTheStream(t *testing.T) {
	t.Parallel()
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	today := time.Now().In(berlin)
	noon := time.Date(today.Year(), today.Month(), today.Day()+8-int(today.Weekday()), 12, 0, 0, 0, berlin)
	for _, c := range []struct {
		upstream, says string
		later          time.Duration
	}{
		{"payroll", "payroll answers on weekdays", 5 * time.Hour},
		{"orders", "this agent has no passing scan", time.Hour + time.Second},
	} {
		t.Run(c.upstream, func(t *testing.T) {
			var clock atomic.Pointer[time.Time]
			clock.Store(&noon)
			w := open(t, func(s *setup) { s.Clock = func() time.Time { return *clock.Load() } })
			w.scan.state(w.id("shop"), "pass", noon)
			svid := presenting(w.certificate(w.domain, "shop", trustdomain.X509Request{}))
			x, e := w.stream(to("/mcp/"+c.upstream), svid, func(r *request) { delete(r.header, "Authorization") })
			e.event(t, "data: 1\n\n")
			x.want("data: 1\n\n")
			later := noon.Add(c.later)
			clock.Store(&later)
			if rest := x.wantCut(); rest != "" {
				t.Errorf("after the time ran out: got %q, want nothing", rest)
			}
			if rec := w.outcome(w.lastAllowed().Call); rec.Fault != "denied" || !strings.Contains(rec.Reason, c.says) {
				t.Errorf("outcome: got %q, %q", rec.Fault, rec.Reason)
			}
		})
	}
}

func TestAnAgentThatLeavesEndsTheUpstreamsStream(t *testing.T) {
	t.Parallel()
	w := open(t)
	x, e := w.stream()
	e.event(t, "data: 1\n\n")
	x.want("data: 1\n\n")
	_ = x.conn.Close()
	recv(t, "the end of the upstream's request", e.left)
	if rec := w.outcome(w.lastAllowed().Call); rec.Fault != "unavailable" || rec.Reason != "the agent's connection ended before the answer was whole" {
		t.Errorf("outcome: got %q, %q", rec.Fault, rec.Reason)
	}
}

func TestStreamsOverHTTP2(t *testing.T) {
	t.Parallel()
	w := open(t)
	client := w.http2()
	e := newEvents()
	w.upstream.does(e.ServeHTTP)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "POST", "https://"+w.secure+"/mcp/orders", strings.NewReader(toolCall("lookup_order")))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	resp, err := client.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.ProtoMajor != 2 {
		t.Fatalf("got %s, want HTTP/2", resp.Proto)
	}
	for _, text := range []string{"data: 1\n\n", "data: 2\n\n"} {
		e.event(t, text)
		got := make([]byte, len(text))
		if n, err := io.ReadFull(resp.Body, got); string(got) != text || err != nil {
			t.Fatalf("event: got %q, %v, want %q", got[:n], err, text)
		}
	}
	w.scan.state(w.id("shop"), "fail", time.Now()) // and the stream is idle
	if rest, err := io.ReadAll(resp.Body); err == nil || errors.Is(err, context.DeadlineExceeded) || len(rest) != 0 {
		t.Errorf("after the posture turned bad: got %q, %v, want a cut", rest, err)
	}
}

// A stream does not outlive the policy that allowed it.
func TestAChangedPolicyCutsTheStream(t *testing.T) {
	t.Parallel()
	w := open(t)
	x, e := w.stream(get("/mcp/orders"))
	event := `data: {"jsonrpc":"2.0","method":"notifications/tools/list_changed"}` + "\n\n"
	e.event(t, event)
	x.want(event)
	if err := w.change("policies.cedar", `@id("shop-connects")
permit (`, `@id("shop-no-longer-connects")
forbid (`); err != nil {
		t.Fatal(err)
	}
	if rest := x.wantCut(); rest != "" {
		t.Errorf("after the policy changed: got %q, want nothing", rest)
	}
	rec := w.outcome(w.lastAllowed().Call)
	if rec.Fault != "denied" || !strings.Contains(rec.Reason, "shop-no-longer-connects") {
		t.Errorf("outcome: got %q, %q, want a denial by the new policy", rec.Fault, rec.Reason)
	}
}

// A stream whose evidence can't be judged anew in good time is cut, and an attestor
// that hangs over one delays the cut of no other.
func TestAHangingAttestorCutsItsStreamAndDelaysNoOther(t *testing.T) {
	w := open(t)
	x, _ := w.stream(get("/mcp/orders"))
	y, _ := w.stream(get("/mcp/orders"))
	z, _ := w.stream()
	streams := w.records(audit.Filter{Kind: audit.Decision, Outcome: "allow"}, 3)
	h := newHold()
	defer close(h.free)
	w.waiting.hold.Store(h) // whatever its context says
	w.domain.Rotate(trustdomain.KeepOld)
	recv(t, "an attestor to hang", h.begun)
	w.scan.state(w.id("shop"), "fail", time.Now())
	if rest := z.wantCut(); rest != "" {
		t.Errorf("the call whose posture turned bad: got %q", rest)
	}
	w.domain.Rotate(trustdomain.DropOld)
	for _, stream := range []*exchange{x, y} {
		if rest := stream.wantCut(); rest != "" {
			t.Errorf("got %q, want nothing", rest)
		}
	}
	faults, at := map[string]int{}, map[string]uint64{}
	for _, s := range streams {
		rec := w.outcome(s.Call)
		at[rec.Fault] = rec.Seq
		if faults[rec.Fault]++; rec.Fault == "unavailable" && rec.Reason != "the agent's evidence could not be judged again in time" {
			t.Errorf("outcome: got %q", rec.Reason)
		}
	}
	if faults["unavailable"] != 1 || faults["unauthenticated"] != 1 || faults["denied"] != 1 {
		t.Errorf("outcomes: got %v, want one that was not judged in time, one whose trust was lost and one denied", faults)
	}
	if at["denied"] > at["unavailable"] {
		t.Error("the stream that policy denied was cut after the one whose attestor hangs")
	}
}

// A panic of an attestor ends the stream that it was asked about, and not the broker.
func TestAnAttestorThatPanicsCutsItsStream(t *testing.T) {
	w := open(t)
	x, _ := w.stream(get("/mcp/orders"))
	opened := w.records(audit.Filter{Kind: audit.Decision, Outcome: "allow"}, 1)[0]
	w.waiting.throw.Store(true)
	w.domain.Rotate(trustdomain.KeepOld)
	if rest := x.wantCut(); rest != "" {
		t.Errorf("got %q, want nothing", rest)
	}
	if rec := w.outcome(opened.Call); rec.Fault != "internal" || strings.Contains(rec.Reason, clientSecret) {
		t.Errorf("outcome: got %q, %q", rec.Fault, rec.Reason)
	}
	w.upstream.does(answerOK)
	w.wantOK(w.call(), "result")
}

// A stream without an end lasts no longer than the trust in who signed the
// evidence that opened it; the answer to a call that was made in time may.
func TestLostTrustCutsTheStreamsWithoutEnd(t *testing.T) {
	t.Parallel()
	w := open(t)
	x, e := w.stream(get("/mcp/orders"))
	y, f := w.stream()
	event := `data: {"jsonrpc":"2.0","method":"notifications/tools/list_changed"}` + "\n\n"
	w.domain.Rotate(trustdomain.KeepOld)
	e.event(t, event)
	x.want(event)
	opened := w.records(audit.Filter{Kind: audit.Decision, Outcome: "allow"}, 2)[0]
	w.domain.Rotate(trustdomain.DropOld)
	if rest := x.wantCut(); rest != "" {
		t.Errorf("after the trust was lost: got %q, want nothing", rest)
	}
	if rec := w.outcome(opened.Call); rec.Fault != "unauthenticated" || opened.Method != "stream" {
		t.Errorf("outcome of %s: got %q, %q, want the evidence refused", opened.Method, rec.Fault, rec.Reason)
	}
	f.event(t, event)
	y.want(event)
	f.event(t, "")
}
