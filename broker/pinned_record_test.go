package broker_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mintmark/broker/audit"
	"mintmark/broker/pins"
)

// registers adds a definition that no server has to the file of the bundle, and
// reloads it.
func (w *world) registers() error {
	w.t.Helper()
	w.rewriteOnly("mintmark.yaml", "orders: {", `orders: {tool_digests: {lookup_order: "`+repeat("0", 64)+`"}, `)
	_, err := w.broker.Reload(context.WithoutCancel(w.t.Context()))
	return err
}

// kept returns the definition of a tool that is in force, as the next start would
// read it.
func (w *world) kept() string {
	w.t.Helper()
	state, err := pins.Open(filepath.Join(w.logDir(), "state"), time.Now)
	if err != nil {
		w.t.Fatal(err)
	}
	return state.Tool("orders", "lookup_order").Digest
}

// What is not on record is not in force, now or after a restart.
func TestToolsOfABundleThatIsNotOnRecord(t *testing.T) {
	t.Parallel()
	w := open(t)
	before := w.broker.Digest()
	if err := w.broker.CloseLog(); err != nil {
		t.Fatal(err)
	}
	end := w.stop
	w.stop = func() error { _ = end(); return nil } // it can't be put on record
	if err := w.registers(); err == nil || w.broker.Digest() != before {
		t.Errorf("got %v with bundle %s in force, want it refused", err, w.broker.Digest())
	}
	if got := w.kept(); got != "" {
		t.Errorf("got definition %s in force, want none", got)
	}
}

// A bundle that is on record and can't be put in force is followed by the record of
// the one that stays.
func TestToolsThatCannotBeKept(t *testing.T) {
	t.Parallel()
	w := open(t)
	before := w.broker.Digest()
	lock := filepath.Join(w.logDir(), "state", "pins.lock")
	if err := os.Mkdir(lock, 0o700); err != nil { // it can't be locked
		t.Fatal(err)
	}
	if err := w.registers(); err == nil || !strings.Contains(err.Error(), "lock the pinned tools") || w.broker.Digest() != before {
		t.Errorf("got %v with bundle %s in force, want it refused for its lock", err, w.broker.Digest())
	}
	rec := w.records(audit.Filter{Kind: audit.Admin}, 3) // start, bundle, bundle
	refused, stays := rec[1], rec[2]
	if refused.Event != "bundle" || stays.Event != "bundle" || stays.Bundle != before || refused.Bundle == before || !strings.Contains(stays.Reason, refused.Bundle+" did not come in force") {
		t.Errorf("got %+v and %+v, want the record to say that the bundle before stays", refused, stays)
	}
	if err := os.Remove(lock); err != nil {
		t.Fatal(err)
	}
	if _, err := w.broker.Reload(context.WithoutCancel(t.Context())); err != nil || w.kept() != repeat("0", 64) {
		t.Errorf("once it can be locked: got %v with definition %q in force, want the registered one", err, w.kept())
	}
}
