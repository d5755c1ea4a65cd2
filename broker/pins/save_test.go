package pins_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"mintmark/broker/pins"
)

// locked holds the lock as another process does, until free is called.
func locked(t *testing.T, dir string) (free func()) {
	t.Helper()
	lock, err := os.OpenFile(filepath.Join(dir, "pins.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	free = sync.OnceFunc(func() { _ = lock.Close() })
	t.Cleanup(free)
	return free
}

// What Observe returned for is in a file that a loss of power can't take back: the
// directory is synced once the file has its name.
func TestTheNameOfTheFileIsSyncedToo(t *testing.T) {
	dir := t.TempDir()
	p, err := pins.Open(dir, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	var synced []string
	p.OnSync(func(dir string) error {
		content, err := os.ReadFile(filepath.Join(dir, "pins.json"))
		if err != nil || !strings.Contains(string(content), "lookup") {
			t.Errorf("got %q, %v synced, want the tool in it", content, err)
		}
		synced = append(synced, dir)
		return errors.New("broken")
	})
	for range 2 {
		if _, err := p.Observe("orders", map[string]string{"lookup": "one"}); err != nil {
			t.Fatal(err)
		}
	}
	if len(synced) != 1 || synced[0] != dir {
		t.Errorf("got %q synced, want %s, once", synced, dir)
	}
}

// listing is a list with news whose writer waits: what is new is known, and not
// in the file.
type listing struct {
	t    *testing.T
	done chan error
}

func lists(t *testing.T, p *pins.Pins, tool, digest string) listing {
	t.Helper()
	l := listing{t, make(chan error, 1)}
	go func() {
		_, err := p.Observe("orders", map[string]string{tool: digest})
		l.done <- err
	}()
	for {
		if pin := p.Tools("orders")[tool]; pin.Digest == digest || pin.Changed == digest {
			return l
		}
		runtime.Gosched()
	}
}

func (l listing) wantWaiting() {
	l.t.Helper()
	select {
	case err := <-l.done:
		l.t.Fatalf("a list with news: it ended with %v, want it to wait for the file", err)
	default:
	}
}

func TestReadersDoNotWaitForAWriter(t *testing.T) {
	dir := t.TempDir()
	p := open(t, dir)
	p.SetPatience(time.Hour)
	observe(t, p, "lookup", "a", pins.First)
	free := locked(t, dir)
	l := lists(t, p, "lookup", "b")
	wantPending(t, p, "lookup", true) // at once, though it is not written
	observe(t, p, "lookup", "b", pins.Still)
	wantPending(t, p, "refund", false)
	if news := p.Approvals(); news != nil {
		t.Errorf("approvals: got %v, want none", news)
	}
	wantKept(t, dir, "lookup", "")
	l.wantWaiting()
	free()
	if err := <-l.done; err != nil {
		t.Error(err)
	}
	wantKept(t, dir, "lookup", "b")
}

// wantKept checks what another process reads of a tool's change.
func wantKept(t *testing.T, dir, tool, changed string) {
	t.Helper()
	if got := open(t, dir).Tools("orders")[tool].Changed; got != changed {
		t.Errorf("%s in the file: got a change to %q, want %q", tool, got, changed)
	}
}

func TestWhatComesUpWhileOneWritesIsOneWrite(t *testing.T) {
	dir := t.TempDir()
	p := open(t, dir)
	p.SetPatience(time.Hour)
	free := locked(t, dir)
	var waiting []listing
	for i := range 50 {
		waiting = append(waiting, lists(t, p, fmt.Sprint(i), "a"))
	}
	for _, l := range waiting {
		l.wantWaiting()
	}
	free()
	for _, l := range waiting {
		if err := <-l.done; err != nil {
			t.Error(err)
		}
	}
	if got := p.Version(); got != 1 {
		t.Errorf("got %d writes, want one", got)
	}
	if got := len(open(t, dir).Tools("orders")); got != 50 {
		t.Errorf("got %d tools in the file, want 50", got)
	}
}

// A command that hangs must not hold those who list for ever. What they saw holds,
// and is written later: by a list that has no news, or at the end.
func TestALockThatIsHeldForEver(t *testing.T) {
	for _, c := range []struct {
		what  string
		later func(p *pins.Pins, c *clock) error
	}{
		{"a list", func(p *pins.Pins, c *clock) error {
			c.moves(time.Minute)
			_, err := p.Observe("orders", map[string]string{"refund": "y"}) // no news
			return err
		}},
		{"the end", func(p *pins.Pins, _ *clock) error { return p.Flush() }},
	} {
		t.Run(c.what, func(t *testing.T) {
			dir, clock := t.TempDir(), &clock{}
			p := openAt(t, dir, clock)
			observe(t, p, "refund", "x", pins.First)
			p.SetPatience(time.Millisecond)
			free := locked(t, dir)
			for tool, digest := range map[string]string{"lookup": "a", "refund": "y"} {
				if _, err := p.Observe("orders", map[string]string{tool: digest}); err == nil || !strings.Contains(err.Error(), "another process holds") {
					t.Errorf("got %v, want the lock to be held", err)
				}
			}
			if _, err := p.Observe("orders", map[string]string{"lookup": "b"}); err == nil {
				t.Error("got no error, want the lock to be held")
			}
			observe(t, p, "lookup", "b", pins.Still) // which does not try again at once
			free()
			if err := c.later(p, clock); err != nil {
				t.Fatal(err)
			}
			after := open(t, dir)
			if got := after.Tools("orders")["lookup"]; got.Digest != "a" || got.Changed != "b" {
				t.Errorf("got %+v, want both definitions, in their order", got)
			}
			before := p.Version()
			if err := p.Flush(); err != nil || p.Version() != before {
				t.Errorf("the end: got %d writes more, %v, want none: all is written", p.Version()-before, err)
			}
		})
	}
}

// What comes up during a write is in the next, and known before, whether or not
// the write succeeds.
func TestNewsDuringAWrite(t *testing.T) {
	for _, fails := range []bool{false, true} {
		t.Run(fmt.Sprint("fails ", fails), func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "state")
			p := open(t, dir)
			p.SetPatience(time.Millisecond)
			free := locked(t, dir)
			if _, err := p.Observe("orders", map[string]string{"lookup": "a"}); err == nil {
				t.Fatal("got no error, want the first definition not to be written yet")
			}
			free()
			p.SetPatience(time.Hour)
			var l listing
			err := p.Write(func() {
				wantPending(t, p, "lookup", false)
				l = lists(t, p, "lookup", "b")
				wantPending(t, p, "lookup", true)
				if fails {
					rename(t, dir, dir+"-aside")
				}
			}, func() {
				if fails {
					rename(t, dir+"-aside", dir)
				}
				wantPending(t, p, "lookup", true)
				wantKept(t, dir, "lookup", "")
				l.wantWaiting()
			})
			if (err != nil) != fails {
				t.Errorf("the write: got %v, want it to fail: %t", err, fails)
			}
			if err := <-l.done; err != nil {
				t.Error(err)
			}
			if got := open(t, dir).Tools("orders")["lookup"]; got.Digest != "a" || got.Changed != "b" {
				t.Errorf("got %+v, want both definitions, in their order", got)
			}
		})
	}
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Error(err)
	}
}

// A look at the file that another overtook must not undo what that one found.
func TestALookAtTheFileThatIsOvertaken(t *testing.T) {
	for name, overtake := range map[string]func(t *testing.T, broker, command *pins.Pins){
		"by a look": func(t *testing.T, broker, command *pins.Pins) {
			approve(t, command)
			wantPending(t, broker, "lookup", false)
		},
		"by a write": func(t *testing.T, broker, command *pins.Pins) {
			approve(t, command)
			observe(t, broker, "refund", "x", pins.First)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			broker, command := open(t, dir), open(t, dir)
			observe(t, broker, "lookup", "a", pins.First)
			observe(t, broker, "lookup", "b", pins.Changed)
			overtaken, err := broker.Look(func() { overtake(t, broker, command) })
			if err != nil || !overtaken {
				t.Errorf("got overtaken %t, %v, want true", overtaken, err)
			}
			wantPending(t, broker, "lookup", false)
			if news := broker.Approvals(); len(news) != 1 || news[0].Digest != "b" {
				t.Errorf("approvals: got %v, want that of b, once", news)
			}
		})
	}
}

func approve(t *testing.T, command *pins.Pins) {
	t.Helper()
	if got, err := command.Approve("orders", "lookup"); err != nil || len(got) != 1 {
		t.Fatalf("approve: got %v, %v", got, err)
	}
}

// While one writes, the file is as that one read it, so that nobody else looks.
func TestNobodyLooksWhileOneWrites(t *testing.T) {
	dir := t.TempDir()
	broker, command := open(t, dir), open(t, dir)
	observe(t, broker, "lookup", "a", pins.First)
	observe(t, broker, "lookup", "b", pins.Changed)
	approve(t, command)
	err := broker.Write(func() {
		wantPending(t, broker, "lookup", false)
		overtaken, err := broker.Look(func() {})
		if err != nil || !overtaken {
			t.Errorf("a look: got overtaken %t, %v, want true", overtaken, err)
		}
	}, func() {})
	if err != nil {
		t.Fatal(err)
	}
}

// An approval and news at the same time lose neither, whichever is first.
func TestApprovedWhileNewsWaits(t *testing.T) {
	dir, c := t.TempDir(), &clock{}
	broker := openAt(t, dir, c)
	broker.SetPatience(time.Hour)
	observe(t, broker, "lookup", "a", pins.First)
	observe(t, broker, "lookup", "b", pins.Changed)
	c.moves(time.Minute)
	free := locked(t, dir)
	l := lists(t, broker, "lookup", "c")
	l.wantWaiting()
	// The one that holds the lock is the command, and this is what it writes.
	content, err := os.ReadFile(filepath.Join(dir, "pins.json"))
	if err != nil || !strings.Contains(string(content), `"changed": "b"`) {
		t.Fatalf("got %s, %v, want b pending", content, err)
	}
	approved := `{"orders":{"lookup":{"digest":"b","since":"2026-03-01T08:00:00Z"}}}`
	err = os.WriteFile(filepath.Join(dir, "next"), []byte(approved), 0o600)
	if err = errors.Join(err, os.Rename(filepath.Join(dir, "next"), filepath.Join(dir, "pins.json"))); err != nil {
		t.Fatal(err)
	}
	wantPending(t, broker, "lookup", true) // for the server says something else again
	free()
	if err := <-l.done; err != nil {
		t.Fatal(err)
	}
	wantPending(t, broker, "lookup", true)
	if got := open(t, dir).Tools("orders")["lookup"]; got.Digest != "b" || got.Changed != "c" {
		t.Errorf("got %+v, want b in force, and c pending", got)
	}
	if news := broker.Approvals(); len(news) != 1 || news[0].Digest != "b" {
		t.Errorf("approvals: got %v, want that of b, once", news)
	}
}

// However many read while approvals are written, whoever asks after one sees it.
func TestAnApprovalIsSeenAtOnce(t *testing.T) {
	dir, c := t.TempDir(), &clock{}
	broker, command := openAt(t, dir, c), openAt(t, dir, c)
	observe(t, broker, "lookup", "0", pins.First)
	var others sync.WaitGroup
	for _, name := range []string{"one", "two"} {
		others.Go(func() {
			for i := range 20 {
				if _, err := broker.Observe(name, map[string]string{fmt.Sprint(i): "a"}); err != nil {
					t.Error(err)
				}
				for range 20 {
					broker.Pending("orders", "lookup", "")
				}
			}
		})
	}
	for i := range 20 {
		observe(t, broker, "lookup", fmt.Sprint(i+1), pins.Changed)
		wantPending(t, broker, "lookup", true)
		if _, err := command.Approve("orders", "lookup"); err != nil {
			t.Fatal(err)
		}
		wantPending(t, broker, "lookup", false)
	}
	others.Wait()
	if got := len(broker.Approvals()); got != 20 {
		t.Errorf("approvals: got %d, want 20", got)
	}
}

func TestAFileOfNothing(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "pins.json"), []byte("null"), 0o600); err != nil {
		t.Fatal(err)
	}
	observe(t, open(t, dir), "lookup", "a", pins.First)
}
