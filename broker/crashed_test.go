package broker_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"mintmark/broker"
	"mintmark/broker/audit"
	"mintmark/broker/bundle"
	"mintmark/providers"
)

// onLine is a log handler that calls do at the first line that has the text.
type onLine struct {
	slog.Handler
	text string
	do   func()
}

// Enabled implements slog.Handler.
func (o onLine) Enabled(context.Context, slog.Level) bool { return true }

// Handle implements slog.Handler.
func (o onLine) Handle(ctx context.Context, r slog.Record) error {
	if strings.Contains(r.Message, o.text) {
		o.do()
	}
	return nil
}

// A start that came while the process before still had the log, and looked too soon for
// what that left, would not know of what it minted after, nor of what it wrote down: that
// would live on.
func TestAStartFindsWhatTheProcessBeforeMintedToItsEnd(t *testing.T) {
	h := &heedless{}
	w := open(t, func(s *setup) { s.Minted = map[string]providers.Provider{"heedless": h} })
	if err := w.stop(); err != nil {
		t.Fatal(err)
	}
	w.rewriteOnly("mintmark.yaml", "providers:\n", "providers:\n  late: {kind: heedless}\n")
	bd, err := bundle.Load(w.dir, w.kinds().Settings())
	if err != nil {
		t.Fatal(err)
	}
	before := w.processBefore(bd)
	before.mint("early")
	// What a start can't read there is told when it looks, and not after.
	stray := filepath.Join(string(bd.Config.State), "owed", "stray.json")
	if err := os.MkdirAll(filepath.Dir(stray), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(stray, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	goOn := sync.OnceFunc(func() {
		before.mint("last")
		before.owe(filepath.Dir(stray), "late")
		before.kill()
	})
	o := broker.Options{Bundle: bd, Kinds: w.kinds(), Logger: slog.New(onLine{slog.DiscardHandler, "what is owed can't be read", goOn})}
	b, err := broker.Open(t.Context(), o)
	if err != nil { // as it must: the other has the log
		goOn()
		b, err = broker.Open(t.Context(), o)
	}
	if err != nil {
		t.Fatal(err)
	}
	w.await("the revocation of what it minted first", func() bool { return slices.Contains(h.all(), "early") })
	if err := b.Close(context.WithoutCancel(t.Context())); err != nil { // which waits for the revocations
		t.Error(err)
	}
	if got := slices.Sorted(slices.Values(h.all())); !slices.Equal(got, []string{"early", "last", "late"}) {
		t.Errorf("got %q revoked, want also what it minted last, and what it wrote down", got)
	}
}

// processBefore is what a process does to the log that mints and is killed.
type processBefore struct {
	w   *world
	log *audit.Log
}

func (w *world) processBefore(bd *bundle.Bundle) *processBefore {
	w.t.Helper()
	key, _, err := audit.LoadOrCreateKey(string(bd.Config.Audit.SigningKey))
	if err != nil {
		w.t.Fatal(err)
	}
	log, err := audit.Open(audit.Options{Directory: string(bd.Config.Audit.Directory), SigningKey: key})
	if err != nil {
		w.t.Fatal(err)
	}
	return &processBefore{w, log}
}

func (p *processBefore) mint(lease string) {
	if _, err := p.log.Append(p.w.t.Context(), issued("mint", lease)); err != nil {
		p.w.t.Error(err)
	}
}

// owe writes down what it could not put on record.
func (p *processBefore) owe(dir, lease string) {
	content, err := json.Marshal(issued("orphan", lease))
	if err != nil {
		p.w.t.Error(err)
	}
	if err := os.WriteFile(filepath.Join(dir, lease+".json"), content, 0o600); err != nil {
		p.w.t.Error(err)
	}
}

func issued(event, lease string) *audit.Record {
	return &audit.Record{Kind: audit.Issuance, Event: event, Provider: "late", Credential: lease, Fingerprint: lease, Lease: lease, SystemEnd: time.Now().Add(time.Hour)}
}

// kill ends it. The kernel gives up the lock of one that was killed, as Close does.
func (p *processBefore) kill() {
	if err := p.log.Close(); err != nil {
		p.w.t.Error(err)
	}
}

func (h *heedless) all() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.revoked)
}
