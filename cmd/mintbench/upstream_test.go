package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

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
	c, err := load.NewCaller(t.Context(), startUpstream(t).caller(toolEcho, "good"))
	if err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range calls {
		c.Next(t.Context())
	}
	runtime.ReadMemStats(&after)
	r := c.Finish()
	if r.Err() != nil {
		t.Fatal(r.Err())
	}
	if perCall := float64(after.Mallocs-before.Mallocs) / float64(r.Answered); r.Answered != calls || perCall > .5 {
		t.Errorf("got %.2f allocations for each of %d calls, want none", perCall, r.Answered)
	}
}

// ask sends one call as text, and returns all that comes until the connection
// ends, or the error it ends with.
func (w *world) ask(t *testing.T, start, headers, tool string) (string, error) {
	t.Helper()
	conn, err := net.Dial("tcp", w.upstream)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	body := `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"` + tool + `"}}`
	fmt.Fprintf(conn, "%s\r\nAuthorization: Bearer good\r\n%sContent-Length: %d\r\n\r\n%s", start, headers, len(body), body)
	if err := conn.SetDeadline(time.Now().Add(startLimit)); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(conn)
	return string(got), err
}

// TestUpstreamEndsConnections: nginx as it comes asks by HTTP/1.0.
func TestUpstreamEndsConnections(t *testing.T) {
	w := startUpstream(t)
	message := string(result(nil, []byte("7")))
	length := fmt.Sprintf("Content-Length: %d\r\n\r\n", len(message))
	event := "data: " + message + "\n\n"
	for _, c := range []struct{ start, headers, tool, head, body string }{
		{"POST /mcp HTTP/1.0", "Connection: close\r\n", toolEcho, length, message},
		{"POST /mcp HTTP/1.0", "", toolEcho, length, message},
		{"POST /mcp HTTP/1.1", "Connection: close\r\n", toolEcho, length, message},
		{"POST /mcp HTTP/1.0", "Connection: close\r\n", toolStream, "X-Accel-Buffering: no\r\nConnection: close\r\n\r\n", event},
		{"POST /mcp HTTP/1.1", "Connection: close\r\n", toolStream, "Transfer-Encoding: chunked\r\n\r\n",
			fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(event), event)},
		{"POST /mcp HTTP/1.0", "", "unknown", "Content-Length: 0\r\n\r\n", ""},
	} {
		got, err := w.ask(t, c.start, c.headers, c.tool)
		if err != nil || !strings.HasPrefix(got, "HTTP/1.1 ") || !strings.Contains(got, "\r\nConnection: close\r\n") || !strings.HasSuffix(got, c.head+c.body) {
			t.Errorf("%s, %s, %s: got %q, %v, want it closed after %q", c.start, c.headers, c.tool, got, err, c.head+c.body)
		}
	}
}

// TestUpstreamForgetsWhatTheOtherSideEnded: a proxy that opens a connection for
// each call and closes it first runs out of ports where its system waits for
// what could still come.
func TestUpstreamForgetsWhatTheOtherSideEnded(t *testing.T) {
	conn, err := net.Dial("tcp", startUpstream(t).upstream)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := errors.Join(conn.(*net.TCPConn).CloseWrite(), conn.SetDeadline(time.Now().Add(startLimit))); err != nil {
		t.Fatal(err)
	}
	if n, err := conn.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %d bytes, %v, want the connection reset", n, err)
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
	i := newIssuer("good", "secret")
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

// TestTokenRequest: what mintbench asks for itself is no mint of Mintmark's, and an
// answer without a token is no round trip.
func TestTokenRequest(t *testing.T) {
	w, err := openWorld(t.Context(), options{agents: 1, directory: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := w.close(); err != nil {
			t.Error(err)
		}
	}()
	for _, client := range []string{tripPrefix + "0", "bench"} {
		if took, err := w.tokenRequest(t.Context(), client); err != nil || took <= 0 {
			t.Errorf("%s: got %v, %v, want the time of a request", client, took, err)
		}
	}
	if mints, err := w.minted(t.Context()); err != nil || len(mints) != 1 || mints["bench"] != 1 {
		t.Errorf("got %v, %v, want one mint, of bench", mints, err)
	}
	w.secret = "guess"
	if took, err := w.tokenRequest(t.Context(), tripPrefix+"1"); err == nil {
		t.Errorf("got %v with a wrong secret, want an error", took)
	}
}
