package audit_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"mintmark/broker/audit"
)

// What was noted while another wrote is on its way to the writer's goroutine: a
// Flush that comes in between must not overtake it.
func TestFlushOvertakesNothing(t *testing.T) {
	dir, d := t.TempDir(), newDisk()
	l := openOn(t, d, audit.Options{Directory: dir})
	for n := range 50 {
		gate := make(chan struct{})
		d.set(func(d *disk) { d.writing = gate })
		before, flushed := d.writes.Load(), make(chan error)
		go func() {
			_, err := l.Append(context.Background(), decision(n))
			if err == nil {
				err = l.Flush(context.Background())
			}
			flushed <- err
		}()
		for d.writes.Load() == before { // until it writes
			<-time.After(time.Millisecond)
		}
		note := fmt.Sprint("note-", n, ".")
		l.Note(&audit.Record{Kind: audit.Outcome, Call: note})
		<-time.After(100 * time.Microsecond)
		close(gate)
		if err := <-flushed; err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(filepath.Join(dir, "00000001.log"))
		if err != nil {
			t.Fatal(err)
		}
		at := bytes.Index(content, []byte(note))
		if at < 0 || !bytes.Contains(content[at:], []byte(`"checkpoint"`)) {
			t.Fatalf("flush %d: got what was noted before at %d of %d bytes, want it there and signed", n, at, len(content))
		}
	}
	d.set(func(d *disk) { d.writing = nil })
	mustClose(t, l)
}
