package audit_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mintmark/broker/audit"
)

// A segment that is taken away or replaced while the log is written would be read by
// nobody: calls are refused, until it is back.
func TestASegmentThatIsNoLongerThere(t *testing.T) {
	for name, tt := range map[string]struct {
		take func(path string) error
		why  string
	}{
		"renamed":  {func(path string) error { return os.Rename(path, path+".1") }, "was removed or renamed while it is written"},
		"replaced": {func(path string) error { return swap(path, nil) }, "is another file than the one that is written"},
		"copied":   {func(path string) error { return swap(path, read(path)) }, "is another file than the one that is written"},
		"a link to it": {func(path string) error {
			return errors.Join(os.Rename(path, path+".1"), os.Symlink(path+".1", path))
		}, "is another file than the one that is written"},
	} {
		for kind, always := range map[string]bool{"each record synced": true, "synced soon": false} {
			t.Run(name+", "+kind, func(t *testing.T) {
				dir := t.TempDir()
				synctest.Test(t, func(t *testing.T) {
					var logged bytes.Buffer
					l := mustOpen(t, audit.Options{Directory: dir, SyncAlways: always, Logger: slog.New(slog.NewTextHandler(&logged, nil))})
					mustAppend(t, l, decision(1))
					pass(time.Second)
					path := segmentPath(dir, 1)
					if err := tt.take(path); err != nil {
						t.Fatal(err)
					}
					if !always { // one record may be written, until the next fsync
						mustAppend(t, l, decision(2))
						pass(time.Second)
					}
					wantRefused(t, l, decision(3))
					pass(10 * time.Second)
					if err := l.Err(); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), tt.why) || !strings.Contains(err.Error(), "put back") {
						t.Errorf("got %v, want which file, what happened and what to do", err)
					}
					_ = os.Remove(path)
					if err := os.Rename(path+".1", path); err != nil {
						t.Fatal(err)
					}
					pass(3 * time.Second)
					mustAppend(t, l, decision(4))
					mustClose(t, l)
					if got := strings.Count(logged.String(), "audit log failed"); got != 1 || !strings.Contains(logged.String(), path) {
						t.Errorf("log output: got %q, want it said once", logged.String())
					}
				})
				mustVerify(t, dir)
			})
		}
	}
}

// What is removed is gone: the log stays failed, and its end says so.
func TestASegmentThatWasRemoved(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, audit.Options{Directory: dir})
	mustAppend(t, l, decision(1))
	if err := os.Remove(segmentPath(dir, 1)); err != nil {
		t.Fatal(err)
	}
	wantRefused(t, l, &audit.Record{Kind: audit.Issuance, Event: "mint"})
	if err := l.Flush(context.Background()); err == nil {
		t.Error("flush: got nil, want the log to stay failed")
	}
	if err := l.Close(); err == nil || !strings.Contains(err.Error(), "was removed or renamed") {
		t.Errorf("close: got %v, want what happened", err)
	}
}

// What is not written any more may be taken to an archive.
func TestASegmentBeforeTheLast(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, audit.Options{Directory: dir, SegmentSize: 10, SyncAlways: true})
	mustAppend(t, l, decision(1))
	mustAppend(t, l, decision(2))
	if err := os.Remove(segmentPath(dir, 1)); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, l, decision(3))
	mustClose(t, l)
}

// swap puts another file in the place of path, which is kept beside it.
func swap(path string, content []byte) error {
	return errors.Join(os.Rename(path, path+".1"), os.WriteFile(path, content, 0o600))
}

func read(path string) []byte {
	content, _ := os.ReadFile(path)
	return content
}

// pass lets time pass, and what is due then.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}
