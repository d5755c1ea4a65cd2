package audit_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"
	"time"

	"mintmark/broker/audit"
)

// chaos is what callers know of a log whose disk fails now and then.
type chaos struct {
	log    *audit.Log
	mu     sync.Mutex
	kept   map[string]uint64 // by call: the record that Append said
	noted  map[string]bool
	unsure map[string]bool // refused, and perhaps written before the disk failed
}

// call does one thing that callers do.
func (c *chaos) call(what int, name string) {
	rec := &audit.Record{Kind: audit.Decision, Call: name}
	switch what {
	case 0:
		_ = c.log.Flush(context.Background())
		return
	case 1, 2, 3:
		rec.Kind = audit.Outcome
		c.log.Note(rec)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.noted[name] = true
		return
	case 4:
		rec.Kind = audit.Issuance
	}
	_, err := c.log.Append(context.Background(), rec)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err == nil:
		c.kept[name] = rec.Seq
	case rec.Kind == audit.Issuance:
		c.unsure[name] = true
	}
}

// harm makes the disk fail in one way, or in none.
func (d *disk) harm(way int, room int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.room, d.write, d.truncate, d.sync, d.create, d.short, d.lying = -1, nil, nil, nil, nil, false, false
	switch way {
	case 1:
		d.write = syscall.EIO
	case 2:
		d.write, d.lying = syscall.EIO, true
	case 3:
		d.short = true
	case 4:
		d.room = room
	case 5:
		d.write, d.lying, d.truncate = syscall.EIO, true, syscall.EIO
	case 6:
		d.sync = syscall.EIO
	case 7:
		d.create = syscall.ENOSPC
	}
}

// Whatever the disk does while callers write their own records, beside the writer's
// goroutine and each other: what Append returned for is in the log once, where it said
// and in the order of each caller, what it refused is not, unless it waited for the
// disk, and what is missing is counted.
func TestADiskThatFailsNowAndThenLosesNothingUnsaid(t *testing.T) {
	dir, d := t.TempDir(), newDisk()
	c := &chaos{log: openOn(t, d, audit.Options{Directory: dir, SegmentSize: 16 << 10}), kept: map[string]uint64{}, noted: map[string]bool{}, unsure: map[string]bool{}}
	var work sync.WaitGroup
	for caller := range 8 {
		work.Go(func() {
			random := rand.New(rand.NewPCG(uint64(caller), 1))
			for i := range 400 {
				c.call(random.IntN(8), fmt.Sprintf("%d-%d", caller, i))
			}
		})
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		work.Wait()
	}()
	random := rand.New(rand.NewPCG(1, 2))
	for running := true; running; {
		d.harm(random.IntN(11), random.Int64N(4<<10))
		select {
		case <-ended:
			running = false
		case <-time.After(time.Millisecond):
		}
	}
	d.harm(0, 0)
	if err := c.log.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	mustClose(t, c.log)
	mustVerify(t, dir)
	c.hold(t, records(t, dir, audit.Filter{}))
}

// hold fails the test where the log is not what callers know of it.
func (c *chaos) hold(t *testing.T, all []audit.Record) {
	t.Helper()
	last, gaps := map[int]int{}, uint64(0)
	for _, rec := range all {
		if rec.Event == "log_gap" {
			gaps += uint64(rec.Count)
			continue
		}
		seq, kept := c.kept[rec.Call]
		if kept && seq != rec.Seq || !kept && !c.noted[rec.Call] && !c.unsure[rec.Call] {
			t.Errorf("got call %s as record %d, want it as %d, or not at all", rec.Call, rec.Seq, seq)
		}
		delete(c.kept, rec.Call) // so that another one of it is an error
		delete(c.noted, rec.Call)
		delete(c.unsure, rec.Call)
		var caller, n int
		if _, err := fmt.Sscanf(rec.Call, "%d-%d", &caller, &n); err != nil {
			t.Fatal(err)
		}
		if rec.Kind == audit.Outcome {
			continue
		}
		if last[caller] > n {
			t.Errorf("call %s comes after %d", rec.Call, last[caller])
		}
		last[caller] = n
	}
	if len(c.kept) > 0 {
		t.Errorf("got no record of %v, want those that Append returned for", c.kept)
	}
	if refused := c.log.Stats().Refused; gaps != refused || uint64(len(c.noted)) > gaps {
		t.Errorf("got %d in log_gap records and %d notes that are missing, want the %d that were refused", gaps, len(c.noted), refused)
	}
}
