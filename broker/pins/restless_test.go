package pins_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mintmark/broker/pins"
)

// written counts the writings of the file that it is asked after.
type written struct {
	path string
	last os.FileInfo
	n    int
}

func (w *written) look(t *testing.T) {
	t.Helper()
	now, err := os.Stat(w.path)
	if err != nil {
		t.Fatal(err)
	}
	if w.last == nil || !os.SameFile(w.last, now) {
		w.n++
	}
	w.last = now
}

// A server that words a tool anew for each list, or goes back and forth, costs a
// write and a record a minute, and the tool is pending all the time.
func TestAToolThatKeepsChanging(t *testing.T) {
	for name, words := range map[string]func(i int) string{
		"anew":       func(i int) string { return fmt.Sprint("b", i) },
		"to and fro": func(i int) string { return [...]string{"b", "a"}[i%2] },
	} {
		t.Run(name, func(t *testing.T) {
			dir, c := t.TempDir(), &clock{}
			p := openAt(t, dir, c)
			observe(t, p, "lookup", "a", pins.First)
			file := written{path: filepath.Join(dir, "pins.json")}
			file.look(t)
			found := map[pins.Verdict]int{}
			const lists, minutes = 600, 10
			for i := range lists {
				got, err := p.Observe("orders", map[string]string{"lookup": words(i)})
				if err != nil {
					t.Fatal(err)
				}
				found[got["lookup"]]++
				if pending := p.Pending("orders", "lookup", words(i)); pending != (got["lookup"] != pins.Restored) {
					t.Fatalf("list %d, %v: got pending %t", i, got["lookup"], pending)
				}
				file.look(t)
				c.moves(minutes * time.Minute / lists)
			}
			if kept := found[pins.Changed] + found[pins.Restored]; kept > 2*minutes || kept < minutes/2 || file.n-1 != kept {
				t.Errorf("got %d changes kept and %d writes in %d minutes, want some, as many and two a minute at most", kept, file.n-1, minutes)
			}
			if got := p.Skipped("orders"); got != int64(found[pins.Skipped]) || got < lists/3 {
				t.Errorf("skipped: got %d counted and %d of the verdict", got, found[pins.Skipped])
			}
			if got := p.Skipped("orders"); got != 0 {
				t.Errorf("skipped: got %d again, want none", got)
			}
		})
	}
}

func TestManyToolsThatKeepChanging(t *testing.T) {
	dir, c := t.TempDir(), &clock{}
	p := openAt(t, dir, c)
	const tools, rounds, atOnce = 800, 5, 512
	kept := 0
	for round := range 2 + rounds {
		digests := map[string]string{}
		for i := range tools {
			digests[fmt.Sprint("tool", i)] = fmt.Sprint(round)
		}
		got, err := p.Observe("orders", digests)
		if err != nil {
			t.Fatal(err)
		}
		c.moves(time.Minute)
		for tool, v := range got {
			if round < 2 && v == pins.Skipped {
				t.Fatalf("round %d, %s: got it skipped, want the first change of each kept", round, tool)
			}
			if round >= 1 && !p.Pending("orders", tool, "") {
				t.Fatalf("round %d, %s: want it pending", round, tool)
			}
			if round >= 2 && v == pins.Changed {
				kept++
			}
		}
	}
	if most := atOnce + 10*rounds; kept > most || kept < atOnce {
		t.Errorf("got %d changes kept after the first of each, want %d to %d", kept, atOnce, most)
	}
	if got := p.Skipped("orders"); got != int64(tools*rounds-kept) {
		t.Errorf("skipped: got %d, want the other %d", got, tools*rounds-kept)
	}
}

// Only what was kept can be approved. What the server says beyond that holds the
// tool until it was kept too, though nothing in the file says so yet.
func TestAnApprovalIsOfWhatWasKept(t *testing.T) {
	dir, c := t.TempDir(), &clock{}
	broker, command := openAt(t, dir, c), openAt(t, dir, c)
	observe(t, broker, "lookup", "a", pins.First)
	observe(t, broker, "lookup", "b", pins.Changed)
	observe(t, broker, "lookup", "c", pins.Skipped)
	wantKept(t, dir, "lookup", "b")
	if _, err := command.Approve("orders", "lookup"); err != nil {
		t.Fatal(err)
	}
	wantPending(t, broker, "lookup", true) // it says c
	observe(t, broker, "lookup", "c", pins.Changed)
	wantKept(t, dir, "lookup", "c")
	wantPending(t, broker, "lookup", true)
	if news := broker.Approvals(); len(news) != 1 || news[0].Digest != "b" {
		t.Errorf("approvals: got %v, want that of b alone", news)
	}

	observe(t, broker, "lookup", "b", pins.Skipped) // back too soon, so it stays
	wantPending(t, broker, "lookup", true)
	c.moves(time.Minute)
	observe(t, broker, "lookup", "b", pins.Restored)
	wantPending(t, broker, "lookup", false)
}

// What was skipped is nothing any more once the server says what was approved.
func TestWhatWasApprovedIsSaid(t *testing.T) {
	dir, c := t.TempDir(), &clock{}
	broker, command := openAt(t, dir, c), openAt(t, dir, c)
	observe(t, broker, "lookup", "a", pins.First)
	observe(t, broker, "lookup", "b", pins.Changed)
	observe(t, broker, "lookup", "c", pins.Skipped)
	if _, err := command.Approve("orders", "lookup"); err != nil {
		t.Fatal(err)
	}
	observe(t, broker, "lookup", "b", pins.Same)
	wantPending(t, broker, "lookup", false)
}

// A definition that a list is about to show has to be in force itself, whatever
// another list made of the tool meanwhile.
func TestAListShowsWhatIsInForce(t *testing.T) {
	c := &clock{}
	p := openAt(t, t.TempDir(), c)
	observe(t, p, "lookup", "a", pins.First)
	observe(t, p, "lookup", "b", pins.Changed)
	c.moves(time.Minute)
	observe(t, p, "lookup", "a", pins.Restored)
	for digest, want := range map[string]bool{"a": false, "b": true, "": false} {
		if got := p.Pending("orders", "lookup", digest); got != want {
			t.Errorf("%q: got pending %t, want %t", digest, got, want)
		}
	}
}

// A restart forgets what was skipped, and not that the tool has changed.
func TestAChangeOutlivesACrash(t *testing.T) {
	dir := t.TempDir()
	p := open(t, dir)
	observe(t, p, "lookup", "a", pins.First)
	observe(t, p, "lookup", "b", pins.Changed)
	observe(t, p, "lookup", "c", pins.Skipped)
	p = open(t, dir) // nothing was flushed
	wantPending(t, p, "lookup", true)
	observe(t, p, "lookup", "c", pins.Changed)
}

func TestApproveOnlyWhatWasSeen(t *testing.T) {
	b, c := strings.Repeat("b", 64), strings.Repeat("c", 64)
	dir, clock := t.TempDir(), &clock{}
	broker, command := openAt(t, dir, clock), openAt(t, dir, clock)
	observe(t, broker, "lookup", "a", pins.First)
	observe(t, broker, "lookup", b, pins.Changed)
	clock.moves(time.Minute)
	observe(t, broker, "lookup", c, pins.Changed)
	for _, refused := range []struct{ tool, digest, says string }{
		{"lookup", b, "look at it again"},
		{"lookup", c[:63], "whole digest, 64 characters"}, // of fewer a server can make two
		{"lookup", c[:12], "whole digest, 64 characters"},
		{"lookup", "", "whole digest, 64 characters"},
		{"refund", c, "that was seen"},
	} {
		if err := command.ApproveOnly("orders", refused.tool, refused.digest); err == nil || !strings.Contains(err.Error(), refused.says) {
			t.Errorf("%s %s: got %v, want %q", refused.tool, refused.digest, err, refused.says)
		}
		wantPending(t, broker, "lookup", true)
	}
	if err := command.ApproveOnly("orders", "lookup", c); err != nil {
		t.Fatal(err)
	}
	wantPending(t, broker, "lookup", false)
	if err := command.ApproveOnly("orders", "lookup", c); err == nil {
		t.Error("approved already: got no error, want one: nothing is pending")
	}
}
