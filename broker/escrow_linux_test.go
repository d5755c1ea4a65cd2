package broker_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"mintmark/broker"
	"mintmark/broker/audit"
	"mintmark/broker/bundle"
	"mintmark/broker/escrow"
	"mintmark/internal/fault"
	"mintmark/providers"
)

// inMemory returns a directory in memory.
func inMemory(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "mintmark-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// Where nobody named a place, having none is no error, unlike one that somebody else
// has a hand in. Where somebody did, it must be in memory.
func TestWhereTheEscrowIs(t *testing.T) {
	w := open(t)
	if err := w.stop(); err != nil {
		t.Fatal(err)
	}
	memory, taken := inMemory(t), inMemory(t)
	start := func(named bundle.Escrow, places ...string) (logged string, err error) {
		bd, err := bundle.Load(w.dir, w.kinds().Settings())
		if err != nil {
			t.Fatal(err)
		}
		bd.Config.Escrow = named
		var to lockedBuffer
		b, err := broker.Open(t.Context(), broker.Options{Bundle: bd, Kinds: w.kinds(), Logger: slog.New(slog.NewTextHandler(&to, nil))}.WithPlaces(places...))
		if err != nil {
			return string(to.bytes()), err
		}
		return string(to.bytes()), b.Close(context.WithoutCancel(t.Context()))
	}
	const without = "end by themselves after a crash"
	if logged, err := start("", "/proc/self", memory); err != nil || !strings.Contains(logged, "directory="+memory+"/mintmark-") {
		t.Errorf("the second place is in memory: got %v, and logged %s", err, logged)
	}
	if left, err := os.ReadDir(memory); err != nil || len(left) != 0 {
		t.Errorf("after it ended: got %v, %v, want nothing left", left, err)
	}
	if logged, err := start("", "/proc/self", "/nowhere/at/all"); err != nil || strings.Count(logged, without) != 1 {
		t.Errorf("no place is in memory: got %v, want a line in the log, logged %s", err, logged)
	}
	if logged, err := start("off", memory); err != nil || strings.Contains(logged, without) || strings.Contains(logged, memory) {
		t.Errorf("off: got %v, and logged %s", err, logged)
	}
	if _, err := start("/proc/self", memory); !errors.Is(err, escrow.ErrNoMemory) {
		t.Errorf("named, and not in memory: got %v, want the start refused", err)
	}
	logged, err := start(bundle.Escrow(taken))
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(logged, "directory=")
	path, _, _ := strings.Cut(after, "\n")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := start("", taken, memory); err == nil {
		t.Error("the name is taken: got it opened, want the start refused")
	}
	w.unread = true // the world's own log went on with others
}

// A copy of what a broker has, log and key, is no reason to revoke what that one holds.
func TestACopyOfABrokerThatRunsIsRefused(t *testing.T) {
	w, memory := open(t), inMemory(t)
	if err := w.stop(); err != nil {
		t.Fatal(err)
	}
	load := func() *bundle.Bundle {
		bd, err := bundle.Load(w.dir, w.kinds().Settings())
		if err != nil {
			t.Fatal(err)
		}
		bd.Config.Escrow = bundle.Escrow(memory)
		return bd
	}
	first, err := broker.Open(t.Context(), broker.Options{Bundle: load(), Kinds: w.kinds()})
	if err != nil {
		t.Fatal(err)
	}
	other := load()
	other.Config.Audit.Directory, other.Config.State = bundle.Path(t.TempDir()), bundle.Path(t.TempDir())
	if _, err := broker.Open(t.Context(), broker.Options{Bundle: other, Kinds: w.kinds()}); !errors.Is(err, escrow.ErrInUse) {
		t.Errorf("got %v, want the start refused", err)
	}
	if err := first.Close(context.WithoutCancel(t.Context())); err != nil {
		t.Error(err)
	}
	w.unread = true // the world's own log went on with another
}

func TestTheEscrowIsFixedWhileTheBrokerRuns(t *testing.T) {
	t.Parallel()
	w := open(t)
	if err := w.change("mintmark.yaml", "providers:\n", "escrow: off\nproviders:\n"); err == nil || !strings.Contains(err.Error(), `escrow: expected none, as it was at start, got "off"; restart the broker`) {
		t.Errorf("got %v, want it refused until a restart", err)
	}
}

// opaque is a provider of tokens that their system ends only where it is shown them. It
// delivers when it is freed.
type opaque struct {
	heedless
	shown sync.Map
}

// Mint implements providers.Provider.
func (o *opaque) Mint(context.Context, providers.Request) (providers.Credential, error) {
	close(o.begun)
	<-o.free
	return providers.Seal(providers.Token, providers.Material{Token: providers.NewSecret(o.issue())},
		providers.Terms{NotAfter: time.Now().Add(time.Hour), Revocable: true}), nil
}

// Issuer implements providers.Issuing.
func (o *opaque) Issuer() string { return "https://issuer.test" }

// Revoke implements providers.Revoker.
func (o *opaque) Revoke(_ context.Context, h providers.Held) error {
	if o.down.Load() {
		return fault.New("revoke", fault.Unavailable, "down")
	}
	o.shown.Store(h.Opened.Token(), true)
	return nil
}

// What comes when the log is closed is in escrow too, so that the next start shows it;
// even where nothing but the escrow tells of it, as after a kill before the record.
func TestAnOpaqueTokenThatComesAfterTheEndIsRevokedByTheNextStart(t *testing.T) {
	for name, forgotten := range map[string]bool{"written down": false, "in escrow alone": true} {
		t.Run(name, func(t *testing.T) { opaqueAfterTheEnd(t, forgotten) })
	}
}

func opaqueAfterTheEnd(t *testing.T, forgotten bool) {
	o := &opaque{heedless: heedless{begun: make(chan struct{}), free: make(chan struct{})}}
	o.down.Store(true)
	w := open(t, func(s *setup) {
		s.Minted = map[string]providers.Provider{"opaque": o}
		s.Limits = "body: 64KiB, shutdown: 100ms"
	})
	o.issue = func() string { return w.issuer.issue("late") }
	memory := inMemory(t)
	if err := w.stop(); err != nil {
		t.Fatal(err)
	}
	w.rewriteOnly("mintmark.yaml", "providers:\n", "escrow: "+memory+"\nproviders:\n  late: {kind: opaque}\n")
	w.rewriteOnly("mintmark.yaml", `unauthenticated: true`, `credentials: [{provider: late, scheme: bearer}]`)
	w.openBroker(setup{})
	w.write(w.call(to("/mcp/open")))
	recv(t, "the mint", o.begun)
	if err := w.stop(); err != nil {
		t.Errorf("Close: %v", err)
	}
	close(o.free)
	var owed []string
	w.await("what is owed to be written down", func() bool {
		owed, _ = filepath.Glob(filepath.Join(w.logDir(), "state", "owed", "*.json"))
		return len(owed) == 1
	})
	if forgotten {
		if err := os.Remove(owed[0]); err != nil {
			t.Fatal(err)
		}
	}
	token := w.issuer.last()
	for _, dir := range []string{memory, w.dir} {
		if found := holding(t, dir, token); len(found) != 0 {
			t.Errorf("the token is in %q", found)
		}
	}
	next := &opaque{}
	defer o.down.Store(false)
	w.minted["opaque"] = next
	w.openBroker(setup{})
	w.await("its revocation", func() bool { _, ok := next.shown.Load(token); return ok })
	w.await("its erasure", func() bool {
		kept, _ := filepath.Glob(filepath.Join(memory, "*", "*"))
		return len(kept) == 0
	})
	var events []string
	w.await("the record of it", func() bool {
		events = nil
		for r, err := range audit.Query(w.logDir(), audit.Filter{Kind: audit.Issuance}) {
			if err == nil && r.Escrow {
				events = append(events, r.Event)
			}
		}
		return len(events) == 2
	})
	if events[0] != "orphan" || events[1] != "revoke" {
		t.Errorf("records: got %q", events)
	}
}

// holding returns the files below dir that hold secret.
func holding(t *testing.T, dir, secret string) (found []string) {
	t.Helper()
	if err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		if bytes.Contains(content, []byte(secret)) {
			found = append(found, path)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return found
}
