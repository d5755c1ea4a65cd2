//go:build e2e

package main

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A balancer that goes by /readyz loses no call: what it sends until it has noticed is
// served. A second signal ends that at once.
func TestCallsAreTakenWhileABalancerNotices(t *testing.T) {
	metrics := freeAddress(t)
	s := newSite(t, `
limits: {shutdown_delay: 5m}
metrics: "`+metrics+`"
upstreams: {orders: {url: "UPSTREAM/mcp", unauthenticated: true}}
`, nil)
	s.serve()
	if status, _ := readiness(t, metrics); status != http.StatusOK {
		t.Fatalf("/readyz: got %d before the signal", status)
	}
	if err := s.process.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	await(t, "/readyz to say that it stops", 30*time.Second, func() bool {
		status, said := readiness(t, metrics)
		return status == http.StatusServiceUnavailable && strings.Contains(said, "the broker is stopping")
	})
	for range 3 { // each on a connection of its own
		if got := s.call(); !allowed(got) {
			t.Errorf("after /readyz said so: got %+v", got)
		}
	}
	s.stop() // the second signal
	if !strings.Contains(s.stderr.String(), `"msg":"stopping`) {
		t.Errorf("log: got nothing of the delay\n%s", s.stderr.String())
	}
}

// The end comes by itself once the delay is over, and no sooner: by the log's own clock, as
// nothing else is asked of the program meanwhile.
func TestTheShutdownComesAfterTheDelay(t *testing.T) {
	const delay = 3 * time.Second
	s := newSite(t, `
limits: {shutdown_delay: `+delay.String()+`}
metrics: "`+freeAddress(t)+`"
upstreams: {orders: {url: "UPSTREAM/mcp", unauthenticated: true}}
`, nil)
	s.serve()
	s.stop()
	said := map[string]time.Time{}
	for line := range strings.Lines(s.stderr.String()) {
		var l struct {
			Time time.Time
			Msg  string
		}
		if json.Unmarshal([]byte(line), &l) == nil {
			word, _, _ := strings.Cut(l.Msg, ":")
			said[word] = l.Time
		}
	}
	if took := said["stopped"].Sub(said["stopping"]); said["stopping"].IsZero() || took < delay {
		t.Errorf("got the end %v after the drain, want it %v after it or later\n%s", took, delay, s.stderr.String())
	}
}

// freeAddress returns one that nobody listened on a moment ago.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func readiness(t *testing.T, address string) (status int, said string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/readyz", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(content)
}
