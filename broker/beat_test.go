package broker_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"mintmark/broker"
)

// watch begins a call that the upstream answers with the first text and what is sent
// then, in chunks, and waits between them.
func (w *world) watch(kind, first string) (*exchange, *events) {
	w.t.Helper()
	e := newWatch(kind, first)
	w.upstream.does(e.ServeHTTP)
	return w.begin(w.call(get("/http/api/x"))), e
}

func newWatch(kind, first string) *events {
	e := &events{send: make(chan string, 1), left: make(chan struct{}), head: http.Header{"Content-Type": {kind}}}
	e.send <- first
	return e
}

// reads fails the test unless text is what comes next. Nothing more has to come for it.
func (x *exchange) reads(text string) {
	x.t.Helper()
	got := make([]byte, len(text))
	if n, err := io.ReadFull(x.body, got); string(got) != text || err != nil {
		x.t.Fatalf("got %q, %v, want %q", got[:n], err, text)
	}
}

// What an upstream sends and then waits reaches the agent while it waits, whatever its
// type: a watch of Kubernetes, the words of a model.
func TestWhatCameReachesTheAgentWhileTheUpstreamWaits(t *testing.T) {
	t.Parallel()
	w := open(t)
	for _, kind := range []string{"application/json", "application/json;stream=watch", "text/plain", "application/octet-stream", "application/x-ndjson"} {
		line := `{"type":"ADDED","object":{"kind":"Pod"}}` + "\n"
		x, e := w.watch(kind, line)
		x.reads(line)
		for range 2 {
			e.event(t, line)
			x.reads(line)
		}
		e.event(t, "")
		if rest, err := io.ReadAll(x.body); len(rest) != 0 || err != nil {
			t.Errorf("%s, at the end: got %q, %v", kind, rest, err)
		}
		if rec := w.outcome(w.lastAllowed().Call); rec.Bytes != int64(3*len(line)) || rec.Fault != "" {
			t.Errorf("%s: got %d bytes and fault %q on record", kind, rec.Bytes, rec.Fault)
		}
	}
}

// So do its first words, however short, where they can't be the beginning of anything
// compressed.
func TestAFirstWordReachesTheAgentWhileTheUpstreamWaits(t *testing.T) {
	t.Parallel()
	w := open(t)
	for _, kind := range []string{"text/plain", "application/json", ""} {
		x, e := w.watch(kind, "[1]")
		x.reads("[1]")
		e.event(t, " 2")
		x.reads(" 2")
		e.event(t, "")
		if rest, err := io.ReadAll(x.body); len(rest) != 0 || err != nil {
			t.Errorf("%q, at the end: got %q, %v", kind, rest, err)
		}
	}
}

// Where the upstream pauses within a secret, its first few characters are shown, and no
// more of it: what begins so is held back, whether or not it goes on as the secret does.
func TestAPauseWithinASecret(t *testing.T) {
	t.Parallel()
	w := open(t)
	x, e := w.watch("text/plain", "you said: ")
	x.reads("you said: ")
	secret := w.issuer.last()
	e.event(t, secret[:2])
	x.reads(secret[:2])
	e.event(t, secret[2:]+"; ")
	x.reads(strings.Repeat("*", len(secret)-2) + "; ")
	e.event(t, "or "+secret[:16])
	x.reads("or ")
	e.event(t, secret[16:])
	x.reads(strings.Repeat("*", len(secret)))
	e.event(t, " or "+secret[:16])
	x.reads(" or ")
	e.event(t, "! and more")
	e.event(t, "")
	x.reads(secret[:16] + "! and more")
	if rec := w.outcome(w.lastAllowed().Call); rec.ScrubHits != 2 || rec.Fault != "" {
		t.Errorf("outcome: got %d hits and fault %q, want 2", rec.ScrubHits, rec.Fault)
	}
}

func TestAnAgentThatLeavesEndsAWatch(t *testing.T) {
	t.Parallel()
	w := open(t)
	x, e := w.watch("application/json", "{}      \n")
	x.reads("{}      \n")
	_ = x.conn.Close()
	for text := "{}\n"; ; {
		select {
		case e.send <- text:
			continue
		case <-e.left:
		case <-time.After(patience):
			t.Fatal("wait for the end of the upstream's request: it goes on")
		}
		break
	}
	if rec := w.outcome(w.lastAllowed().Call); rec.Fault != "unavailable" || rec.Reason != "the agent's connection ended before the answer was whole" {
		t.Errorf("outcome: got %q, %q", rec.Fault, rec.Reason)
	}
}

// What may go on no longer is given nothing, with no beat either.
func TestPostureThatTurnsBadCutsAWatch(t *testing.T) {
	t.Parallel()
	w := open(t)
	e := newWatch("text/plain", "words, words")
	w.upstream.does(e.ServeHTTP)
	x := w.begin(w.call())
	x.reads("words, words")
	w.scan.state(w.id("shop"), "fail", time.Now())
	select {
	case e.send <- " after it":
	case <-e.left: // it was seen already
	}
	if rest := x.wantCut(); rest != "" {
		t.Errorf("after the posture turned bad: got %q, want nothing", rest)
	}
	if rec := w.outcome(w.lastAllowed().Call); rec.Fault != "denied" || rec.Bytes != 12 {
		t.Errorf("outcome: got %q, %q, %d bytes", rec.Fault, rec.Reason, rec.Bytes)
	}
}

func TestAWatchOverHTTP2(t *testing.T) {
	t.Parallel()
	w := open(t)
	client := w.http2()
	e := newWatch("application/json", "{}      \n")
	w.upstream.does(e.ServeHTTP)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "GET", "https://"+w.secure+"/http/api/x", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	for i, text := range []string{"{}      \n", "{\"a\":1}\n", "{\"b\":2}\n"} {
		if i > 0 {
			e.event(t, text)
		}
		got := make([]byte, len(text))
		if n, err := io.ReadFull(resp.Body, got); string(got) != text || err != nil || resp.ProtoMajor != 2 {
			t.Fatalf("line %d: got %q, %v, over %s, want %q", i, got[:n], err, resp.Proto, text)
		}
	}
	e.event(t, "")
}

// flushes is a response that counts how often what was written is sent. It panics at
// the write of "panic".
type flushes struct {
	sink
	count int
}

// Flush implements http.Flusher.
func (f *flushes) Flush() { f.count++ }

// Write implements http.ResponseWriter.
func (f *flushes) Write(p []byte) (int, error) {
	if string(p) == "panic" {
		panic("write")
	}
	return f.sink.Write(p)
}

// A beat may wait for a piece that must not pass, and comes before the call has ended for
// that. It gives the agent nothing.
func TestNoBeatAfterAPieceThatMustNotPass(t *testing.T) {
	t.Parallel()
	for name, piece := range map[string]string{
		"the answer to another call": `{"jsonrpc":"2.0","result":{},"id":2}`,
		"a panic":                    "panic",
	} {
		w := &flushes{sink: sink{header: http.Header{}}}
		a := broker.Relay(w, "1")
		if err := a.Piece(" "); err != nil {
			t.Fatal(err)
		}
		a.Strike()
		before := w.count
		if err := panics(func() error { return a.Piece(piece) }); err == nil || before == 0 {
			t.Errorf("%s: got %v after %d beats, want an error after one", name, err, before)
		}
		if a.Strike(); w.count != before || w.n != 1 {
			t.Errorf("%s: got %d bytes sent %d times, want 1, and nothing sent after it", name, w.n, w.count-before)
		}
	}
}

// panics calls f and returns its error, or what it panics with.
func panics(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v", v)
		}
	}()
	return f()
}
