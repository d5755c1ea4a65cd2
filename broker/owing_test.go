package broker_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mintmark/broker/audit"
	"mintmark/internal/fault"
	"mintmark/providers"
)

// heedless is a provider that delivers when it is freed, whatever its context says.
type heedless struct {
	issue   func() string
	begun   chan struct{}
	free    chan struct{}
	down    atomic.Bool // it revokes nothing
	mu      sync.Mutex
	revoked []string
}

// Mint implements providers.Provider.
func (h *heedless) Mint(context.Context, providers.Request) (providers.Credential, error) {
	close(h.begun)
	<-h.free
	return providers.Seal(providers.Token, providers.Material{Token: providers.NewSecret(h.issue())},
		providers.Terms{NotAfter: time.Now().Add(time.Hour), Lease: "late-lease"}), nil
}

// Revoke implements providers.Revoker.
func (h *heedless) Revoke(_ context.Context, held providers.Held) error {
	if h.down.Load() {
		return fault.New("revoke", fault.Unavailable, "down")
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.revoked = append(h.revoked, held.Lease)
	return nil
}

func (h *heedless) ended() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.revoked)
}

// What a provider delivers when the broker has ended is written down, and revoked by
// the next start, which puts it on record.
func TestWhatComesAfterTheEndIsRevokedByTheNextStart(t *testing.T) {
	h := &heedless{begun: make(chan struct{}), free: make(chan struct{})}
	h.down.Store(true)
	w := open(t, func(s *setup) {
		s.Minted = map[string]providers.Provider{"heedless": h}
		s.Limits = "body: 64KiB, shutdown: 100ms"
	})
	h.issue = func() string { return w.issuer.issue("late") }
	if err := w.change("mintmark.yaml", "providers:\n", "providers:\n  late: {kind: heedless}\n"); err != nil {
		t.Fatal(err)
	}
	if err := w.change("mintmark.yaml", `unauthenticated: true`, `credentials: [{provider: late, scheme: bearer}]`); err != nil {
		t.Fatal(err)
	}
	w.write(w.call(to("/mcp/open")))
	recv(t, "the mint", h.begun)
	if err := w.stop(); err != nil {
		t.Errorf("Close: %v", err)
	}
	close(h.free)
	var files []string
	w.await("what is owed to be written down", func() bool {
		files, _ = filepath.Glob(filepath.Join(w.logDir(), "state", "owed", "*.json"))
		return len(files) == 1
	})
	info, err := os.Stat(files[0])
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("got %v, %v, want a file of mode 0600", info, err)
	}
	content, err := os.ReadFile(files[0])
	if err != nil || bytes.Contains(content, []byte(w.issuer.last())) || !bytes.Contains(content, []byte("late-lease")) {
		t.Errorf("got %q, %v, want the handle and no secret", content, err)
	}
	stray := filepath.Join(filepath.Dir(files[0]), "stray.json")
	if err := os.WriteFile(stray, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	next := &heedless{} // the process before goes on to fail
	defer h.down.Store(false)
	w.minted["heedless"] = next
	w.openBroker(setup{})
	w.await("its revocation", func() bool { return next.ended() > 0 })
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(files[0]), "*.json")); len(left) != 1 || left[0] != stray {
		t.Errorf("got %v, want what is on record by now erased, and what can't be read left", left)
	}
	var events []string
	w.await("the record of it", func() bool {
		events = nil
		for r, err := range audit.Query(w.logDir(), audit.Filter{Kind: audit.Issuance}) {
			if err == nil && r.Lease == "late-lease" {
				events = append(events, r.Event)
			}
		}
		return len(events) == 2
	})
	if events[0] != "orphan" || events[1] != "revoke" {
		t.Errorf("records: got %q", events)
	}
}
