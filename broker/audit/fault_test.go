package audit_test

import (
	"context"
	"errors"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"mintmark/broker/audit"
	"mintmark/internal/fault"
)

// disk is a file system that fails when told to.
type disk struct {
	mu       sync.Mutex
	room     int64 // bytes that can still be written; negative is no bound
	write    error // of every write
	sync     error
	truncate error
	create   error
	lying    bool // a failed write wrote half all the same
	short    bool // writes half and reports no error

	syncs   atomic.Int64
	writes  atomic.Int64
	blocked chan struct{} // when not nil, Sync waits for it
	writing chan struct{} // when not nil, WriteAt waits for it
}

func newDisk() *disk { return &disk{room: -1} }

func (d *disk) set(change func(d *disk)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change(d)
}

func (d *disk) open(path string, flag int) (audit.File, error) {
	d.mu.Lock()
	err := d.create
	d.mu.Unlock()
	if err != nil && flag&os.O_CREATE != 0 {
		return nil, err
	}
	f, err := audit.OpenSegment(path, flag)
	if err != nil {
		return nil, err
	}
	return &faultyFile{File: f, disk: d}, nil
}

type faultyFile struct {
	audit.File
	disk *disk
}

func (f *faultyFile) WriteAt(p []byte, at int64) (int, error) {
	d := f.disk
	d.writes.Add(1)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.writing != nil {
		<-d.writing
	}
	switch {
	case d.write != nil && d.lying:
		n, _ := f.File.WriteAt(p[:len(p)/2], at)
		return n, d.write
	case d.write != nil:
		return 0, d.write
	case d.short:
		return f.File.WriteAt(p[:len(p)/2], at)
	case d.room >= 0 && int64(len(p)) > d.room:
		n, _ := f.File.WriteAt(p[:d.room], at)
		d.room = 0
		return n, syscall.ENOSPC
	case d.room >= 0:
		d.room -= int64(len(p))
	}
	return f.File.WriteAt(p, at)
}

func (f *faultyFile) Sync() error {
	f.disk.syncs.Add(1)
	f.disk.mu.Lock()
	blocked, err := f.disk.blocked, f.disk.sync
	f.disk.mu.Unlock()
	if blocked != nil {
		<-blocked
	}
	if err != nil {
		return err
	}
	return f.File.Sync()
}

func (f *faultyFile) Truncate(size int64) error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if f.disk.truncate != nil {
		return f.disk.truncate
	}
	return f.File.Truncate(size)
}

func openOn(t testing.TB, d *disk, o audit.Options) *audit.Log {
	t.Helper()
	o.SigningKey = testKey()
	l, err := audit.OpenWith(o, d.open)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func wantRefused(t testing.TB, l *audit.Log, rec *audit.Record) {
	t.Helper()
	receipt, err := l.Append(context.Background(), rec)
	if err == nil || receipt != (audit.Receipt{}) {
		t.Fatalf("got %v and %v, want a refusal without a receipt", receipt, err)
	}
	if fault.KindOf(err) != fault.Unavailable || fault.HintOf(err) != "the audit log cannot be written; nothing is forwarded without its record" {
		t.Fatalf("got kind %v and hint %q", fault.KindOf(err), fault.HintOf(err))
	}
	if rec.Seq != 0 {
		t.Fatalf("got seq %d on a refused record", rec.Seq)
	}
}

func TestFailedWritesRefuseAndLeaveAGapRecord(t *testing.T) {
	for name, broken := range map[string]func(*disk){
		"full":                     func(d *disk) { d.room = 100 },
		"full at once":             func(d *disk) { d.room = 0 },
		"error":                    func(d *disk) { d.write = syscall.EIO },
		"half written":             func(d *disk) { d.write, d.lying = syscall.EIO, true },
		"short, without an error":  func(d *disk) { d.short = true },
		"half written, cannot cut": func(d *disk) { d.write, d.lying, d.truncate = syscall.EIO, true, syscall.EIO },
	} {
		t.Run(name, func(t *testing.T) {
			dir, d := t.TempDir(), newDisk()
			l := openOn(t, d, audit.Options{Directory: dir})
			mustAppend(t, l, decision(1))
			d.set(broken)
			for i := range 5 {
				wantRefused(t, l, decision(i))
				if l.Err() == nil {
					t.Fatal("got a log that says it is well")
				}
			}
			d.set(func(d *disk) { d.room, d.write, d.truncate, d.short = -1, nil, nil, false })
			rec := decision(2)
			mustAppend(t, l, rec)
			if l.Err() != nil {
				t.Fatalf("got %v after a record was written", l.Err())
			}
			mustClose(t, l)
			mustVerify(t, dir)
			wantGap(t, dir, 2, 5)
			if got := l.Stats().Refused; got != 5 {
				t.Fatalf("got %d refused, want 5", got)
			}
		})
	}
}

// wantGap checks that the record seq says that count records are missing.
func wantGap(t testing.TB, dir string, seq uint64, count int64) {
	t.Helper()
	for _, rec := range records(t, dir, audit.Filter{Kind: audit.Admin}) {
		if rec.Event == "log_gap" {
			if rec.Seq != seq || rec.Count != count {
				t.Fatalf("got a log_gap of %d at seq %d, want %d at %d", rec.Count, rec.Seq, count, seq)
			}
			return
		}
	}
	t.Fatalf("got no log_gap record, want one of %d", count)
}

// No torn line is in the files while the disk is full: an auditor may look then.
func TestFailedWriteLeavesNoTornLine(t *testing.T) {
	dir, d := t.TempDir(), newDisk()
	l := openOn(t, d, audit.Options{Directory: dir})
	mustAppend(t, l, decision(1))
	d.set(func(d *disk) { d.room = 50 })
	wantRefused(t, l, decision(2))
	if report := mustVerify(t, dir); report.Torn != 0 || report.Records != 1 {
		t.Fatalf("got %+v, want one record and no torn tail", report)
	}
}

func TestLostNotesAreCounted(t *testing.T) {
	dir, d := t.TempDir(), newDisk()
	l := openOn(t, d, audit.Options{Directory: dir})
	d.set(func(d *disk) { d.write = syscall.ENOSPC })
	for range 3 {
		l.Note(&audit.Record{Kind: audit.Outcome})
	}
	l.Note(&audit.Record{Kind: "gossip"})
	l.Write(&audit.Record{Kind: audit.Posture}) // which returns all the same
	if err := l.Flush(context.Background()); err == nil {
		t.Fatal("got nil from Flush of a failed log")
	}
	d.set(func(d *disk) { d.write = nil })
	if err := l.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	wantGap(t, dir, 1, 5)
}

// A failed log comes back by itself: no traffic reaches a broker that is not ready.
func TestFailedLogRetriesWithoutTraffic(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		l := openOn(t, d, audit.Options{Directory: dir})
		d.set(func(d *disk) { d.write = syscall.ENOSPC })
		wantRefused(t, l, decision(1))
		<-time.After(5 * time.Second)
		if l.Err() == nil {
			t.Fatal("got a log that is well on a full disk")
		}
		d.set(func(d *disk) { d.write = nil })
		<-time.After(2 * time.Second)
		synctest.Wait()
		if l.Err() != nil {
			t.Fatalf("got %v two seconds after the disk had room again", l.Err())
		}
		mustClose(t, l)
	})
	wantGap(t, dir, 1, 1)
	mustVerify(t, dir)
}

// A record that nobody waits for is kept while an fsync fails: it is written with the
// next try, and the writer does not ask for it again and again until then.
func TestANoteWaitsForTheNextTryOfAFailedLog(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		l := openOn(t, d, audit.Options{Directory: dir})
		fails := make(chan struct{})
		d.set(func(d *disk) { d.sync, d.blocked = syscall.EIO, fails })
		refused := make(chan error)
		go func() {
			_, err := l.Append(context.Background(), &audit.Record{Kind: audit.Issuance, Event: "mint"})
			refused <- err
		}()
		synctest.Wait()
		l.Note(&audit.Record{Kind: audit.Outcome})
		close(fails)
		if err := <-refused; err == nil {
			t.Error("got no error from a record that is not on the disk")
		}
		synctest.Wait()
		if in := time.Until(l.Due()); in < 100*time.Millisecond {
			t.Errorf("got a look in %s, want none before the next try", in)
		}
		d.set(func(d *disk) { d.sync, d.blocked = nil, nil })
		mustClose(t, l)
	})
	mustVerify(t, dir)
}

func TestFailedSyncRefusesWhoWaitsForIt(t *testing.T) {
	dir, d := t.TempDir(), newDisk()
	l := openOn(t, d, audit.Options{Directory: dir, SyncAlways: true})
	mustAppend(t, l, decision(1))
	d.set(func(d *disk) { d.sync = syscall.EIO })
	wantRefused(t, l, decision(2))
	wantRefused(t, l, decision(3))
	d.set(func(d *disk) { d.sync = nil })
	mustAppend(t, l, decision(4))
	mustClose(t, l)
	mustVerify(t, dir)
	wantGap(t, dir, 3, 2) // decision 2 was written: only its fsync failed
}

// After a failed fsync the kernel may have dropped what was written: what
// cannot be read back must never be chained over.
func TestFailedSyncThatLostBytesStaysFailed(t *testing.T) {
	dir, d := t.TempDir(), newDisk()
	l := openOn(t, d, audit.Options{Directory: dir, SyncAlways: true})
	mustAppend(t, l, decision(1))
	good := readFile(t, segmentPath(dir, 1))
	d.set(func(d *disk) { d.sync = syscall.EIO })
	wantRefused(t, l, decision(2))
	text := readFile(t, segmentPath(dir, 1))
	if len(text) <= len(good) {
		t.Fatal("got no bytes to lose")
	}
	clear(text[len(good):])
	writeFile(t, segmentPath(dir, 1), text)
	d.set(func(d *disk) { d.sync = nil })
	wantRefused(t, l, decision(3))
	if l.Err() == nil || !strings.Contains(l.Err().Error(), "mintmark audit verify") {
		t.Fatalf("got %v, want the next step", l.Err())
	}
	if err := l.Close(); err == nil {
		t.Fatal("got nil from Close of a log that lost records")
	}
}

func TestFailedRotationRefuses(t *testing.T) {
	dir, d := t.TempDir(), newDisk()
	l := openOn(t, d, audit.Options{Directory: dir, SegmentSize: 10})
	mustAppend(t, l, decision(1))
	d.set(func(d *disk) { d.create = syscall.ENOSPC })
	wantRefused(t, l, decision(2))
	wantRefused(t, l, decision(3))
	d.set(func(d *disk) { d.create = nil })
	mustAppend(t, l, decision(4))
	mustClose(t, l)
	if report := mustVerify(t, dir); report.Segments != 2 {
		t.Fatalf("got %d segments, want 2", report.Segments)
	}
	wantGap(t, dir, 2, 2)
}

// A segment that is not on the disk is never followed by another: after a
// power cut the newer one would chain to lines that are gone.
func TestRotationWaitsForTheDisk(t *testing.T) {
	dir, d := t.TempDir(), newDisk()
	l := openOn(t, d, audit.Options{Directory: dir, SegmentSize: 10})
	mustAppend(t, l, decision(1))
	d.set(func(d *disk) { d.sync = syscall.EIO })
	wantRefused(t, l, decision(2))
	if got := len(segments(t, dir)); got != 1 {
		t.Fatalf("got %d segments while the first cannot be synced", got)
	}
	d.set(func(d *disk) { d.sync = nil })
	mustAppend(t, l, decision(3))
	mustClose(t, l)
	mustVerify(t, dir)
}

func TestCloseOfAFailedLogSaysSo(t *testing.T) {
	d := newDisk()
	l := openOn(t, d, audit.Options{Directory: t.TempDir()})
	d.set(func(d *disk) { d.write = syscall.ENOSPC })
	wantRefused(t, l, decision(1))
	err := l.Close()
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "1 records") {
		t.Fatalf("got %v, want ENOSPC and how many records are missing", err)
	}
	if again := l.Close(); again == nil || again.Error() != err.Error() {
		t.Fatalf("got %v from the second Close, want %v", again, err)
	}
}

// With fsync stuck, a decision is recorded and a mint is not yet.
func TestOnlyDurableKindsWaitForTheDisk(t *testing.T) {
	d := newDisk()
	l := openOn(t, d, audit.Options{Directory: t.TempDir()})
	stuck := make(chan struct{})
	free := sync.OnceFunc(func() { close(stuck) })
	defer free() // whatever fails: Close waits for the disk
	d.set(func(d *disk) { d.blocked = stuck })
	minted := make(chan error, 1)
	go func() {
		_, err := l.Append(context.Background(), &audit.Record{Kind: audit.Issuance, Event: "mint"})
		minted <- err
	}()
	for i := range 100 {
		mustAppend(t, l, decision(i))
	}
	for d.syncs.Load() == 0 { // the issuance is written by now or soon
		mustAppend(t, l, decision(0))
	}
	select {
	case err := <-minted:
		t.Fatalf("got %v from Append of an issuance before fsync returned", err)
	default:
	}
	free()
	if err := <-minted; err != nil {
		t.Fatal(err)
	}
}

func TestSyncAlwaysWaitsForTheDisk(t *testing.T) {
	for kind, always := range map[audit.Kind]bool{audit.Decision: true, audit.Outcome: true, audit.Issuance: false, audit.Admin: false} {
		d := newDisk()
		l := openOn(t, d, audit.Options{Directory: t.TempDir(), SyncAlways: always})
		for i := range 3 {
			before := d.syncs.Load()
			mustAppend(t, l, &audit.Record{Kind: kind})
			if d.syncs.Load() == before {
				t.Errorf("%s %d: got no fsync before Append returned", kind, i)
			}
		}
	}
}

// What nobody waits for is on the disk soon all the same.
func TestBackgroundSync(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		l := openOn(t, d, audit.Options{Directory: dir})
		for i := range 100 {
			mustAppend(t, l, decision(i))
			<-time.After(time.Millisecond)
		}
		<-time.After(20 * time.Millisecond)
		synctest.Wait()
		if got := d.syncs.Load(); got < 9 || got > 13 {
			t.Fatalf("got %d fsyncs in 120 ms, want about one in 10 ms", got)
		}
		mustClose(t, l)
	})
}

func TestAppendGivesUpWithItsContext(t *testing.T) {
	dir, d := t.TempDir(), newDisk()
	l := openOn(t, d, audit.Options{Directory: dir})
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := l.Append(cancelled, decision(1)); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v for a context that ended before", err)
	}
	stuck := make(chan struct{})
	free := sync.OnceFunc(func() { close(stuck) })
	defer free() // whatever fails: Close waits for the disk
	d.set(func(d *disk) { d.writing = stuck })
	first := make(chan error, 1)
	go func() {
		_, err := l.Append(context.Background(), decision(2))
		first <- err
	}()
	for d.writes.Load() == 0 { // until the first one writes, itself
		runtime.Gosched()
	}
	ctx, cancel := context.WithCancel(context.Background())
	rec := decision(3)
	ended := make(chan error, 1)
	go func() {
		receipt, err := l.Append(ctx, rec)
		if receipt != (audit.Receipt{}) {
			err = errors.Join(err, errors.New("got a receipt"))
		}
		ended <- err
	}()
	cancel()
	err := <-ended
	if !errors.Is(err, context.Canceled) || fault.KindOf(err) != fault.Unavailable {
		t.Fatalf("got %v, want the context's error", err)
	}
	if rec.Seq != 0 {
		t.Fatal("got a record that was changed after Append gave up")
	}
	free()
	if err := <-first; err != nil {
		t.Fatalf("got %v of the one that the disk kept waiting", err)
	}
	mustClose(t, l)
	mustVerify(t, dir)
}

// /dev/full is a real full device: every write fails with ENOSPC.
func TestRealFullDevice(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	l, err := audit.OpenWith(audit.Options{Directory: t.TempDir(), SigningKey: testKey()}, func(string, int) (audit.File, error) { return full, nil })
	if err != nil {
		t.Fatal(err)
	}
	wantRefused(t, l, decision(1))
	if !errors.Is(l.Err(), syscall.ENOSPC) {
		t.Fatalf("got %v, want ENOSPC", l.Err())
	}
	if err := l.Close(); err == nil || !strings.Contains(err.Error(), "1 records are not in it") {
		t.Fatalf("got %v from Close, want how many records are missing", err)
	}
}
