package main

import (
	"crypto/ed25519"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mintmark/broker/audit"
	"mintmark/cmd/mintbench/load"
)

// recorded is what a test of the record looks at: calls that were answered by a real upstream, and a
// real log of them.
type recorded struct {
	dir    string
	public ed25519.PublicKey
	target *load.Target
	traces []string
}

// record makes five answered calls and a log in which keep decides what is
// recorded of each.
func record(t *testing.T, keep func(i int, r *audit.Record) bool) recorded {
	t.Helper()
	r := recorded{dir: filepath.Join(t.TempDir(), "audit")}
	r.target, r.traces = answeredCalls(t, 5)
	key, _, err := audit.LoadOrCreateKey(filepath.Join(t.TempDir(), "signing.key"))
	if err != nil {
		t.Fatal(err)
	}
	r.public = key.Public().(ed25519.PublicKey)
	log, err := audit.Open(audit.Options{Directory: r.dir, SigningKey: key})
	if err != nil {
		t.Fatal(err)
	}
	records := []*audit.Record{{Kind: audit.Issuance, Event: "mint", Provider: "bench-token", Credential: "c"}}
	for i, trace := range r.traces {
		d := &audit.Record{Kind: audit.Decision, Allow: true, Agent: "spiffe://bench.example/agent/0", Credential: "c", Trace: trace}
		if keep(i, d) {
			records = append(records, d)
		}
	}
	for _, d := range records {
		if _, err := log.Append(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	return r
}

// answeredCalls makes n calls and returns their trace ids.
func answeredCalls(t *testing.T, n int) (*load.Target, []string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	traces := make(chan string, n)
	target := serveWorld(t, tapped{l, traces}).caller(toolEcho, "good")
	r, err := load.Burst(t.Context(), target, n)
	if err != nil || r.Err() != nil || target.Numbers.Count() != uint64(n) {
		t.Fatal(err, r.Err(), target.Numbers.Count())
	}
	var out []string
	for range n {
		out = append(out, <-traces)
	}
	return target, out
}

// tapped tells the trace id of the first call on each connection.
type tapped struct {
	net.Listener
	traces chan<- string
}

func (l tapped) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return tappedConn{c, l.traces}, err
}

type tappedConn struct {
	net.Conn
	traces chan<- string
}

func (c tappedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if _, rest, found := strings.Cut(string(p[:n]), "Traceparent: 00-"); found {
		c.traces <- rest[:32]
	}
	return n, err
}

func TestWholeRecord(t *testing.T) {
	r := record(t, func(int, *audit.Record) bool { return true })
	got, err := readRecord(r.dir, r.public, []*load.Target{r.target})
	if err != nil || got.missing != 0 || got.answered != 5 || got.mints["bench-token"] != 1 {
		t.Fatalf("got %+v, %v, want 5 answered, none missing, 1 mint", got, err)
	}
	if err := got.err(map[string]int{"bench": 1}); err != nil {
		t.Errorf("got %v, want no error", err)
	}
}

// TestMissingRecordFailsTheRun is what makes a fast broker that forgets lose.
func TestMissingRecordFailsTheRun(t *testing.T) {
	for name, spoil := range map[string]func(*audit.Record) (kept bool){
		"no record":            func(*audit.Record) bool { return false },
		"a denial":             func(r *audit.Record) bool { r.Allow = false; return true },
		"without an agent":     func(r *audit.Record) bool { r.Agent = ""; return true },
		"without a credential": func(r *audit.Record) bool { r.Credential = ""; return true },
		"under another trace":  func(r *audit.Record) bool { r.Trace = "0123456789abcdef0123456789abcdef"; return true },
		"another kind":         func(r *audit.Record) bool { r.Kind = audit.Outcome; return true },
	} {
		t.Run(name, func(t *testing.T) {
			r := record(t, func(i int, r *audit.Record) bool { return i != 3 || spoil(r) })
			got, err := readRecord(r.dir, r.public, []*load.Target{r.target})
			if err != nil || got.missing != 1 {
				t.Fatalf("got %+v, %v, want 1 missing", got, err)
			}
			if err := got.err(nil); err == nil || !strings.Contains(err.Error(), "1 of 5 answered calls are missing in the record") {
				t.Errorf("got %v, want an error that says so", err)
			}
		})
	}
}

func TestUnrecordedMintFailsTheRun(t *testing.T) {
	r := record(t, func(int, *audit.Record) bool { return true })
	got, err := readRecord(r.dir, r.public, []*load.Target{r.target})
	if err != nil {
		t.Fatal(err)
	}
	if err := got.err(map[string]int{"bench": 2}); err == nil || !strings.Contains(err.Error(), "1 mints for bench") {
		t.Errorf("got %v, want an error with both numbers", err)
	}
}

func TestForgedRecordFailsTheRun(t *testing.T) {
	r := record(t, func(int, *audit.Record) bool { return true })
	segments, err := filepath.Glob(filepath.Join(r.dir, "*"))
	if err != nil || len(segments) == 0 {
		t.Fatal(err, segments)
	}
	for _, name := range segments {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		forged := strings.ReplaceAll(string(content), "agent/0", "agent/9")
		if err := os.WriteFile(name, []byte(forged), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, err = readRecord(r.dir, r.public, []*load.Target{r.target})
	if bad, ok := errors.AsType[*audit.Bad](err); !ok || bad.Line == 0 {
		t.Errorf("got %v, want an error with the line that was changed", err)
	}
}

func TestRecordOfAnotherKeyFailsTheRun(t *testing.T) {
	r := record(t, func(int, *audit.Record) bool { return true })
	other, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := readRecord(r.dir, other, []*load.Target{r.target}); err == nil {
		t.Error("got no error from a log that another key signed")
	}
}
