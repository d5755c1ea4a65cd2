package pins_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mintmark/broker/pins"
)

func at() time.Time { return time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC) }

// clock is one that a test moves.
type clock struct{ moved atomic.Int64 }

func (c *clock) now() time.Time         { return at().Add(time.Duration(c.moved.Load())) }
func (c *clock) moves(by time.Duration) { c.moved.Add(int64(by)) }

func open(t *testing.T, dir string) *pins.Pins { return openAt(t, dir, &clock{}) }

func openAt(t *testing.T, dir string, c *clock) *pins.Pins {
	t.Helper()
	p, err := pins.Open(dir, c.now)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func observe(t *testing.T, p *pins.Pins, tool, digest string, want pins.Verdict) {
	t.Helper()
	got, err := p.Observe("orders", map[string]string{tool: digest})
	if err != nil || got[tool] != want {
		t.Fatalf("%s with %s: got %v, %v, want %v", tool, digest, got[tool], err, want)
	}
}

func wantPending(t *testing.T, p *pins.Pins, tool string, want bool) {
	t.Helper()
	if got := p.Pending("orders", tool, ""); got != want {
		t.Errorf("%s: got pending %t, want %t", tool, got, want)
	}
}

func TestTheFirstDefinitionStays(t *testing.T) {
	dir, c := t.TempDir(), &clock{}
	p := openAt(t, dir, c)
	observe(t, p, "lookup", "a", pins.First)
	observe(t, p, "lookup", "a", pins.Same)
	wantPending(t, p, "lookup", false)
	observe(t, p, "lookup", "b", pins.Changed)
	observe(t, p, "lookup", "b", pins.Still)
	c.moves(time.Minute)
	observe(t, p, "lookup", "c", pins.Changed)
	wantPending(t, p, "lookup", true)
	p = open(t, dir) // a restart forgets nothing
	wantPending(t, p, "lookup", true)
	observe(t, p, "lookup", "a", pins.Restored)
	wantPending(t, p, "lookup", false)
	if other := p.Tools("payroll"); len(other) != 0 {
		t.Errorf("another upstream: got %v, want nothing", other)
	}
}

func TestApprovedElsewhere(t *testing.T) {
	dir := t.TempDir()
	broker, command := open(t, dir), open(t, dir)
	observe(t, broker, "lookup", "a", pins.First)
	observe(t, broker, "lookup", "b", pins.Changed)
	observe(t, broker, "refund", "x", pins.First)
	if _, err := command.Approve("orders", "delete"); err == nil {
		t.Error("a tool that was never seen: got no error, want one")
	}
	got, err := command.Approve("orders")
	if err != nil || !slices.Equal(got, []string{"lookup"}) {
		t.Fatalf("approve: got %v, %v, want lookup", got, err)
	}
	wantPending(t, broker, "lookup", false)
	if news := broker.Approvals(); !slices.Equal(news, []pins.Approval{{Upstream: "orders", Tool: "lookup", Digest: "b"}}) {
		t.Errorf("approvals: got %v, want that of lookup", news)
	}
	if news := broker.Approvals(); news != nil {
		t.Errorf("approvals: got %v again, want none", news)
	}
	observe(t, broker, "lookup", "b", pins.Same)
	observe(t, broker, "lookup", "a", pins.Changed)
}

func TestRegisteredDefinitionsAreInForce(t *testing.T) {
	p := open(t, t.TempDir())
	observe(t, p, "lookup", "a", pins.First)
	observe(t, p, "refund", "x", pins.First)
	for range 2 {
		if err := p.Register(map[string]map[string]string{"orders": {"lookup": "b", "refund": "x", "later": "z"}}); err != nil {
			t.Fatal(err)
		}
		wantPending(t, p, "lookup", true)
		wantPending(t, p, "refund", false)
	}
	observe(t, p, "lookup", "b", pins.Restored)
	observe(t, p, "later", "y", pins.Changed)
}

func TestAServerCanNotFillTheMemory(t *testing.T) {
	p := open(t, t.TempDir())
	many := map[string]string{}
	for i := range pins.Most + 10 {
		many[fmt.Sprint("tool", i)] = "a"
	}
	verdicts, err := p.Observe("orders", many)
	if err != nil {
		t.Fatal(err)
	}
	unpinned := 0
	for _, v := range verdicts {
		if v == pins.Unpinned {
			unpinned++
		}
	}
	if unpinned != 10 || len(p.Tools("orders")) != pins.Most {
		t.Errorf("got %d unpinned and %d kept, want 10 and %d", unpinned, len(p.Tools("orders")), pins.Most)
	}
	for tool, v := range verdicts {
		if pending := p.Pending("orders", tool, "a"); pending != (v == pins.Unpinned) {
			t.Fatalf("%s, which is %v: got pending %t", tool, v, pending)
		}
	}
	if p.Pending("payroll", "tool", "a") {
		t.Error("another upstream's: got pending")
	}
}

func TestABrokenFileIsAnError(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "pins.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := pins.Open(dir, at); err == nil {
		t.Error("got no error, want one: what was approved must not be forgotten silently")
	}
}

// What can't be written is still held to, until the process ends.
func TestAFileThatCanNotBeWritten(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	p := open(t, dir)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		digest string
		want   pins.Verdict
	}{{"a", pins.First}, {"b", pins.Changed}} {
		got, err := p.Observe("orders", map[string]string{"lookup": c.digest})
		if err == nil || got["lookup"] != c.want {
			t.Errorf("%s: got %v, %v, want %v and an error", c.digest, got, err, c.want)
		}
	}
	wantPending(t, p, "lookup", true)
	if _, err := p.Approve("orders"); err == nil {
		t.Error("approve: got no error, want one")
	}
	if err := p.Register(map[string]map[string]string{"orders": {"lookup": "b"}}); err == nil {
		t.Error("register: got no error, want one")
	}
	wantPending(t, p, "lookup", true)
}

// Of a file that can't be used it is said what it was wanted for, where, and what to do.
func TestWhatTheFileSystemRefusesIsSaidWithWhatToDo(t *testing.T) {
	const inTheWay = ": look at what stands there, and remove it if nobody needs it"
	for name, tt := range map[string]struct {
		spoil    func(dir string) error
		to, next string
	}{
		"a directory that is gone": {os.RemoveAll, "lock", ": make it, or name another and restart the broker"},
		"a file in its place":      {func(dir string) error { return errors.Join(os.RemoveAll(dir), os.WriteFile(dir, nil, 0o600)) }, "lock", inTheWay},
		"a lock that is none":      {func(dir string) error { return os.Mkdir(filepath.Join(dir, "pins.lock"), 0o700) }, "lock", inTheWay},
		"a loop in its place":      {func(dir string) error { return os.Symlink("pins.json", filepath.Join(dir, "pins.json")) }, "read", inTheWay},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "state")
			p := open(t, dir)
			if err := tt.spoil(dir); err != nil {
				t.Fatal(err)
			}
			_, err := p.Observe("orders", map[string]string{"lookup": "a"})
			if want := tt.to + " the pinned tools: expected " + dir + " to be a directory that "; err == nil || !strings.Contains(err.Error(), want) || !strings.HasSuffix(err.Error(), tt.next) {
				t.Errorf("got %v, want %q and %q", err, want, tt.next)
			}
		})
	}
}

// A file that can't take the place of the old one is one that is not written.
func TestWhatCannotBeWrittenIsSaidWithWhatToDo(t *testing.T) {
	dir := t.TempDir()
	p := open(t, dir)
	p.SetPatience(time.Millisecond)
	free := locked(t, dir)
	if _, err := p.Observe("orders", map[string]string{"lookup": "a"}); err == nil {
		t.Fatal("got no error, want the first definition not to be written yet")
	}
	free()
	p.SetPatience(time.Hour)
	err := p.Write(func() {
		if err := os.Mkdir(filepath.Join(dir, "pins.json"), 0o700); err != nil {
			t.Error(err)
		}
	}, func() {})
	const next = ": look at what stands there, and remove it if nobody needs it"
	if err == nil || !strings.Contains(err.Error(), "write the pinned tools: expected "+dir+" to be") || !strings.HasSuffix(err.Error(), next) {
		t.Errorf("got %v, want it told with %q", err, next)
	}
}

// A broker and a command that write at the same time lose nothing.
func TestTwoWritersLoseNothing(t *testing.T) {
	dir := t.TempDir()
	var both sync.WaitGroup
	for _, name := range []string{"one", "two"} {
		p := open(t, dir)
		both.Go(func() {
			for i := range 20 {
				if _, err := p.Observe(name, map[string]string{fmt.Sprint(i): "a"}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	both.Wait()
	p := open(t, dir)
	if len(p.Tools("one")) != 20 || len(p.Tools("two")) != 20 {
		t.Errorf("got %d and %d, want 20 of each", len(p.Tools("one")), len(p.Tools("two")))
	}
}
