package main

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"testing"

	"mintmark/cmd/mintbench/load"
)

// startUpstream returns a world around a running upstream.
func startUpstream(t *testing.T) *world {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serveWorld(t, l)
}

// serveWorld returns a world whose upstream serves l until the test ends.
func serveWorld(t *testing.T, l net.Listener) *world {
	t.Helper()
	served := make(chan error)
	go func() { served <- newUpstream("good").serve(l) }()
	t.Cleanup(func() {
		l.Close()
		if err := <-served; err != nil {
			t.Errorf("upstream: %v", err)
		}
	})
	return &world{upstream: l.Addr().String(), bearer: "good"}
}

func (w *world) caller(tool, bearer string) *load.Target {
	return w.target(endpoint{name: direct, address: w.upstream, path: "/mcp", tool: tool, headers: []string{"Authorization: Bearer " + bearer}})
}

func TestUpstreamAnswers(t *testing.T) {
	w := startUpstream(t)
	for _, tool := range []string{toolEcho, toolStream} {
		r, err := load.Burst(t.Context(), w.caller(tool, "good.bench.1"), 3)
		if err != nil || r.Err() != nil || r.Answered != 3 {
			t.Errorf("%s: got %d answers, %v, %v", tool, r.Answered, err, r.Err())
		}
	}
}

// TestMeasuringAllocatesNothing: the generator and the upstream share the
// processors with what is measured, and so would their garbage.
func TestMeasuringAllocatesNothing(t *testing.T) {
	const calls = 5000 // many: what a load costs once is then none of theirs, on a slow machine too
	target := startUpstream(t).caller(toolEcho, "good")
	target.Calls = slices.Repeat(target.Calls, calls/len(target.Calls))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	r, err := load.Each(t.Context(), target)
	runtime.ReadMemStats(&after)
	if err != nil || r.Err() != nil {
		t.Fatal(err, r.Err())
	}
	if perCall := float64(after.Mallocs-before.Mallocs) / float64(r.Answered); r.Answered != calls || perCall > .5 {
		t.Errorf("got %.2f allocations for each of %d calls, want none", perCall, r.Answered)
	}
}

// TestUpstreamSeesAMissingInjection: a gateway that forwards the agent's own
// token, or none, must not look fast.
func TestUpstreamSeesAMissingInjection(t *testing.T) {
	w := startUpstream(t)
	r, err := load.Burst(t.Context(), w.caller(toolEcho, "the-agents-own"), 1)
	if err != nil || r.Wrong != 1 || !strings.Contains(r.Err().Error(), "401") {
		t.Errorf("got %d wrong, %v, %v, want a 401", r.Wrong, err, r.Err())
	}
	bare := w.target(endpoint{name: direct, address: w.upstream, path: "/mcp", noToken: true})
	if r, err := load.Burst(t.Context(), bare, 1); err != nil || r.Wrong != 1 {
		t.Errorf("got %d wrong, %v, want a 401", r.Wrong, err)
	}
}

func TestUpstreamHoldsUntilReleased(t *testing.T) {
	w := startUpstream(t)
	held, err := load.Hold(t.Context(), w.caller(toolHold, "good"), 20)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := load.Burst(t.Context(), w.caller(toolRelease, "good"), 1); err != nil || r.Err() != nil {
		t.Fatal(err, r.Err())
	}
	if r := held.Finish(); r.Err() != nil || r.Answered != 20 {
		t.Errorf("got %d answers, %v, want 20", r.Answered, r.Err())
	}
}

func TestIssuer(t *testing.T) {
	i := newIssuer("good")
	server := httptest.NewServer(i)
	defer server.Close()
	ask := func(secret string) int {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, strings.NewReader(url.Values{"grant_type": {"client_credentials"}}.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.SetBasicAuth("bench", secret)
		resp, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	if got := ask("guess"); got != 401 || len(i.minted()) > 0 {
		t.Errorf("got status %d and %v for a wrong secret", got, i.minted())
	}
	if got := ask(i.secret); got != 200 || i.minted()["bench"] != 1 {
		t.Errorf("got status %d and %v, want one mint", got, i.minted())
	}
}
