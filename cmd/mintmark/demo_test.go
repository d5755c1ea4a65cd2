package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"mintmark/cmd/mintmark/connect"
)

// screen is what a program has written so far.
type screen struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write implements io.Writer.
func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.Write(p)
}

// String returns all of it.
func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.String()
}

// await polls until yes, and fails the test when it stays no.
func await(t testing.TB, what string, limit time.Duration, yes func() bool) {
	t.Helper()
	deadline := time.After(limit)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !yes() {
		select {
		case <-deadline:
			t.Fatalf("wait for %s: got none within %s", what, limit)
		case <-tick.C:
		}
	}
}

// What the demo prints at its end is a call that works, until it is stopped;
// then nothing is left of it.
func TestDemoServesOnAsItSays(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var out, failed screen
	ended := make(chan int, 1)
	go func() { ended <- run(ctx, []string{"demo", "--json"}, &out, &failed) }()
	await(t, "the demo to say how to call it", 30*time.Second, func() bool { return strings.Contains(out.String(), "End with Ctrl-C.") })

	said := regexp.MustCompile(`\$\(cat (\S+)\)[\s\S]+?-d '(.+)' \\\s+(http://\S+)`).FindStringSubmatch(out.String())
	if said == nil {
		t.Fatalf("got no call to make in %q", out.String())
	}
	token, err := os.ReadFile(said[1])
	if err != nil {
		t.Fatal(err)
	}
	if got := post(t, said[3], string(token), said[2]); !strings.Contains(got, "order 7: 2 items, shipped") {
		t.Errorf("the call as printed: got %q", got)
	}
	bridge := regexp.MustCompile(`echo '(.+)' \|\s+\S+ connect (\S+) --broker (\S+) --workload-api (\S+)\n`).FindStringSubmatch(out.String())
	if bridge == nil {
		t.Fatalf("got no line for mintmark connect in %q", out.String())
	}
	var answer screen
	err = connect.Run(t.Context(), connect.Options{In: strings.NewReader(bridge[1] + "\n"), Out: &answer, Logger: slog.New(slog.DiscardHandler),
		Upstream: bridge[2], Broker: bridge[3], WorkloadAPI: bridge[4], Audience: "mintmark", MaxMessage: 1 << 20})
	if err != nil || !strings.Contains(answer.String(), "order 7: 2 items, shipped") {
		t.Errorf("mintmark connect as printed: got %q, %v", answer.String(), err)
	}
	if got := post(t, strings.TrimSuffix(said[3], "/orders"), string(token), said[2]); !strings.Contains(got, "initialize one, or state revision 2026-07-28") {
		t.Errorf("the call as printed, at /mcp: got %q, want what to do instead", got)
	}
	if got := post(t, said[3], string(token), strings.Replace(said[2], "lookup_order", "refund_order", 1)); !strings.Contains(got, "mintmark: ") || !strings.Contains(got, "-31403") {
		t.Errorf("a call that no policy permits: got %q", got)
	}
	stop()
	select {
	case code := <-ended:
		if code != 0 || failed.String() != "" {
			t.Errorf("got exit status %d and %q, want 0 and nothing", code, failed.String())
		}
	case <-time.After(30 * time.Second):
		t.Fatal("wait for the demo to end: it does not")
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	var counts struct {
		Allowed  int  `json:"allowed"`
		Denied   int  `json:"denied"`
		Verified bool `json:"audit_verified"`
		Leaks    *int `json:"leaks"`
	}
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &counts); err != nil || !counts.Verified || counts.Leaks == nil || *counts.Leaks != 0 {
		t.Errorf("last line: got %q, %v", lines[len(lines)-1], err)
	}
	before := func(outcome string) int { return strings.Count(out.String(), "\n   "+outcome+" ") }
	if counts.Allowed != before("allow")+2 || counts.Denied != before("deny")+2 {
		t.Errorf("last line: got %d calls allowed and %d denied, want the four of the reader beside the %d and %d of the table",
			counts.Allowed, counts.Denied, before("allow"), before("deny"))
	}
	if _, err := os.Stat(filepath.Dir(said[1])); !os.IsNotExist(err) {
		t.Errorf("the demo's directory: got %v, want it gone", err)
	}
}

func post(t *testing.T, url, token, body string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json, text/event-stream")
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
