package broker_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mintmark/broker"
	"mintmark/broker/bundle"
)

// breaks changes a file of the bundle to one that is at fault.
func (w *world) breaks(name, old, now string) {
	w.t.Helper()
	file := filepath.Join(w.dir, name)
	content, err := os.ReadFile(file)
	if err != nil || !bytes.Contains(content, []byte(old)) {
		w.t.Fatalf("change %s: got %v, or no %q in it", name, err, old)
	}
	if err := os.WriteFile(file, bytes.Replace(content, []byte(old), []byte(now), 1), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// One look at a directory shows all that is wrong with it, and changes nothing.
func TestAReloadShowsEveryFault(t *testing.T) {
	t.Parallel()
	w := open(t)
	before := w.broker.Digest()
	w.breaks("mintmark.yaml", "timeout: 250ms", "timeout: long")
	w.breaks("policies.cedar", `resource in Upstream::"api"`, `resource in Upstream::"apis"`)
	_, err := w.broker.Reload(t.Context())
	problems, ok := errors.AsType[bundle.Problems](err)
	if !ok || len(problems) != 2 || !strings.Contains(problems[0].Error(), "upstreams.sluggish.timeout") || !strings.Contains(problems[1].Error(), `got "apis"`) {
		t.Errorf("got %v, want what is wrong with both files", err)
	}
	if w.broker.Digest() != before || !w.broker.Stale() {
		t.Error("got another bundle in force")
	}
	if _, _, err := broker.Load(w.dir, w.kinds().Settings()); err == nil || err.Error() != problems.Error() {
		t.Errorf("load: got %v, want the same", err)
	}
	w.breaks("mintmark.yaml", "timeout: long", "timeout: 250ms")
	if _, err := w.broker.Reload(t.Context()); err == nil || strings.Contains(err.Error(), "mintmark.yaml") || !strings.Contains(err.Error(), `got "apis"`) {
		t.Errorf("with the policies alone at fault: got %v", err)
	}
	w.breaks("policies.cedar", `resource in Upstream::"apis"`, `resource in Upstream::"api"`)
	bd, set, err := broker.Load(w.dir, w.kinds().Settings())
	if err != nil || bd.Digest != before || len(set.IDs()) == 0 {
		t.Errorf("load of what is sound: got %v", err)
	}
}
