package audit_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"mintmark/broker/audit"
	"mintmark/internal/fault"
)

func TestAppendKeepsTheRecord(t *testing.T) {
	dir := t.TempDir()
	now := time.Date(2026, 3, 1, 9, 30, 0, 123456789, time.FixedZone("there", 3600))
	l := mustOpen(t, audit.Options{Directory: dir, Clock: func() time.Time { return now }})
	want := decision(7)
	receipt := mustAppend(t, l, want)
	if want.Seq != 1 || !want.Time.Equal(now) || want.Time.Location() != time.UTC {
		t.Fatalf("got seq %d and time %v, want 1 and %v in UTC", want.Seq, want.Time, now)
	}
	if err := receipt.Spend(want.Credential); err != nil {
		t.Fatal(err)
	}
	got := records(t, dir, audit.Filter{})
	if len(got) != 1 || !reflect.DeepEqual(got[0], *want) {
		t.Fatalf("got %+v, want %+v", got, want)
	}
}

func TestReceiptOnlyForAllowedDecisions(t *testing.T) {
	l := mustOpen(t, audit.Options{Directory: t.TempDir()})
	for name, rec := range map[string]*audit.Record{
		"denied":        {Kind: audit.Decision, Credential: "c"},
		"no credential": {Kind: audit.Decision, Allow: true},
		"issuance":      {Kind: audit.Issuance, Allow: true, Credential: "c"},
		"outcome":       {Kind: audit.Outcome, Allow: true, Credential: "c"},
		"admin":         {Kind: audit.Admin, Allow: true, Credential: "c"},
	} {
		receipt := mustAppend(t, l, rec)
		if err := receipt.Spend("c"); !errors.Is(err, audit.ErrNoReceipt) {
			t.Errorf("%s: got %v, want ErrNoReceipt", name, err)
		}
	}
}

func TestAppendRefusesWhatItCannotRecord(t *testing.T) {
	l := mustOpen(t, audit.Options{Directory: t.TempDir()})
	for name, rec := range map[string]*audit.Record{
		"nil":             nil,
		"no kind":         {Tool: "x"},
		"unknown kind":    {Kind: "gossip"},
		"long credential": {Kind: audit.Decision, Allow: true, Credential: strings.Repeat("c", audit.MaxField+1)},
	} {
		receipt, err := l.Append(context.Background(), rec)
		if err == nil || receipt != (audit.Receipt{}) {
			t.Errorf("%s: got %v and %v, want an error and no receipt", name, receipt, err)
		}
	}
}

func TestConcurrentAppendsFormOneChain(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, audit.Options{Directory: dir, SegmentSize: 64 << 10})
	const callers, each = 16, 200
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			last := uint64(0)
			for i := range each {
				rec := decision(c*each + i)
				if _, err := l.Append(context.Background(), rec); err != nil {
					t.Error(err)
					return
				}
				if rec.Seq <= last {
					t.Errorf("got seq %d after %d", rec.Seq, last)
				}
				last = rec.Seq
				l.Note(&audit.Record{Kind: audit.Outcome, Call: rec.Call, Status: 200})
			}
		})
	}
	wg.Wait()
	mustClose(t, l)
	report := mustVerify(t, dir)
	if report.Records != 2*callers*each || report.Unsigned != 0 || report.Segments < 2 {
		t.Fatalf("got %+v, want %d records in segments, all signed", report, 2*callers*each)
	}
	checkOrder(t, records(t, dir, audit.Filter{}), callers*each)
}

// checkOrder checks that records are in order of seq, and each call's outcome
// after its decision.
func checkOrder(t *testing.T, all []audit.Record, calls int) {
	t.Helper()
	decided := map[string]bool{}
	ended := 0
	for i, rec := range all {
		if rec.Seq != uint64(i+1) {
			t.Fatalf("got seq %d at %d", rec.Seq, i)
		}
		if rec.Kind == audit.Decision {
			decided[rec.Call] = true
			continue
		}
		if !decided[rec.Call] {
			t.Fatalf("got the outcome of %s before its decision", rec.Call)
		}
		ended++
	}
	if len(decided) != calls || ended != calls {
		t.Fatalf("got %d decisions and %d outcomes, want %d of each", len(decided), ended, calls)
	}
}

func TestReopenContinues(t *testing.T) {
	dir := t.TempDir()
	for i := range 5 {
		l := mustOpen(t, audit.Options{Directory: dir, SegmentSize: 600})
		rec := decision(i)
		mustAppend(t, l, rec)
		mustAppend(t, l, &audit.Record{Kind: audit.Admin, Event: "stop"})
		if want := uint64(2*i + 1); rec.Seq != want {
			t.Fatalf("got seq %d, want %d", rec.Seq, want)
		}
		mustClose(t, l)
	}
	if report := mustVerify(t, dir); report.Records != 10 || report.Segments < 3 {
		t.Fatalf("got %+v, want 10 records in 3 or more segments", report)
	}
}

func TestOpenWithoutTrafficLeavesTheLogAsItWas(t *testing.T) {
	dir := smallLog(t, 3, 0)
	before := readFile(t, segmentPath(dir, 1))
	mustClose(t, mustOpen(t, audit.Options{Directory: dir}))
	if string(readFile(t, segmentPath(dir, 1))) != string(before) {
		t.Fatal("got a changed log, want none without records")
	}
}

func TestOneProcessPerLog(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, audit.Options{Directory: dir})
	_, err := audit.Open(audit.Options{Directory: dir, SigningKey: testKey()})
	if err == nil || !strings.Contains(err.Error(), "another mintmark") {
		t.Fatalf("got %v, want an error that names the likely holder", err)
	}
	mustClose(t, l)
	mustClose(t, mustOpen(t, audit.Options{Directory: dir}))
}

func TestCloseIsIdempotentAndFinal(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, audit.Options{Directory: dir})
	for range 50 {
		l.Note(&audit.Record{Kind: audit.Outcome, Status: 200})
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	_, err := l.Append(context.Background(), decision(1))
	if fault.KindOf(err) != fault.Unavailable {
		t.Fatalf("got %v, want Unavailable from a closed log", err)
	}
	l.Note(&audit.Record{Kind: audit.Outcome})
	if err := l.Flush(context.Background()); err == nil {
		t.Fatal("got nil, want an error from Flush of a closed log")
	}
	if report := mustVerify(t, dir); report.Records != 50 || report.Unsigned != 0 {
		t.Fatalf("got %+v, want the 50 notes, signed", report)
	}
}

// What is written is in the file at once, after what was noted before, and waits for no
// disk.
func TestWhatIsWrittenIsInTheFileAtOnce(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, audit.Options{Directory: dir, SyncAlways: true})
	for n := range 50 {
		id := fmt.Sprint("write-", n, ".")
		l.Note(&audit.Record{Kind: audit.Outcome, Call: "note-" + id})
		l.Write(&audit.Record{Kind: audit.Admin, Event: "tool_approved", Call: id})
		content, err := os.ReadFile(filepath.Join(dir, "00000001.log"))
		if err != nil || !bytes.Contains(content, []byte(`"`+id)) { // what was noted may be with the writer still
			t.Fatalf("record %d: got it not in the file, %v", n, err)
		}
	}
	mustClose(t, l)
	l.Write(&audit.Record{Kind: audit.Admin})
	l.Write(&audit.Record{Kind: "gossip"})
	if s := l.Stats(); s.Records != 100 || s.Refused != 2 {
		t.Errorf("got %d records and %d refused, want 100 and two", s.Records, s.Refused)
	}
}

func TestFlushSignsAndSyncs(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, audit.Options{Directory: dir})
	l.Note(&audit.Record{Kind: audit.Outcome, Status: 200})
	if err := l.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	if report := mustVerify(t, dir); report.Records != 1 || report.Checkpoints != 1 || report.Unsigned != 0 {
		t.Fatalf("got %+v, want one signed record", report)
	}
	if l.Stats().Syncs == 0 {
		t.Fatal("got no sync after Flush")
	}
}

func TestCheckpointEveryThousandRecords(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, audit.Options{Directory: dir})
	for range 2*audit.MaxUnsigned + 10 {
		l.Note(&audit.Record{Kind: audit.Outcome, Status: 200})
	}
	mustClose(t, l)
	if report := mustVerify(t, dir); report.Checkpoints < 3 {
		t.Fatalf("got %d checkpoints, want 3 or more", report.Checkpoints)
	}
}

func TestCheckpointAfterASecondAndNoneWhenIdle(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := mustOpen(t, audit.Options{Directory: dir})
		mustAppend(t, l, decision(1))
		if report := mustVerify(t, dir); report.Unsigned != 1 {
			t.Fatalf("got %+v, want one unsigned record", report)
		}
		<-time.After(1100 * time.Millisecond)
		synctest.Wait()
		if report := mustVerify(t, dir); report.Unsigned != 0 || report.Checkpoints != 1 {
			t.Fatalf("got %+v, want the record signed after a second", report)
		}
		syncs := l.Stats().Syncs
		<-time.After(time.Hour)
		synctest.Wait()
		if got := l.Stats(); got.Checkpoints != 1 || got.Syncs > syncs+1 {
			t.Fatalf("got %+v, want no work on an idle log", got)
		}
		mustClose(t, l)
	})
}

func TestOpenRefusesUnsafePlaces(t *testing.T) {
	dir := t.TempDir()
	open := func(dir string) error {
		l, err := audit.Open(audit.Options{Directory: dir, SigningKey: testKey()})
		if err == nil {
			_ = l.Close()
		}
		return err
	}
	shared := filepath.Join(dir, "shared")
	mustClose(t, mustOpen(t, audit.Options{Directory: shared}))
	if err := os.Chmod(shared, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := open(shared); err == nil || !strings.Contains(err.Error(), "chmod 700") {
		t.Errorf("got %v for a directory others can write to", err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(t.TempDir(), link); err != nil {
		t.Fatal(err)
	}
	if err := open(link); err == nil || !strings.Contains(err.Error(), "got a symbolic link, want a directory") {
		t.Errorf("got %v for a symbolic link to a directory", err)
	}
	for _, name := range []string{"00000001.log", "lock", "log.pub"} {
		trap := filepath.Join(dir, "trap-"+name)
		target := filepath.Join(dir, "target-"+name)
		if err := errors.Join(os.Mkdir(trap, 0o700), os.WriteFile(target, nil, 0o600), os.Symlink(target, filepath.Join(trap, name))); err != nil {
			t.Fatal(err)
		}
		if err := open(trap); err == nil || !strings.Contains(err.Error(), "symbolic link") {
			t.Errorf("got %v for a symbolic link in place of %s", err, name)
		}
		if err := errors.Join(os.Remove(filepath.Join(trap, name)), syscall.Mkfifo(filepath.Join(trap, name), 0o600)); err != nil {
			t.Fatal(err)
		}
		if err := open(trap); err == nil || !strings.Contains(err.Error(), "got a pipe, want a regular file") {
			t.Errorf("got %v for a pipe in place of %s", err, name)
		}
	}
}

func TestOpenModes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state", "audit")
	mustClose(t, mustOpen(t, audit.Options{Directory: dir}))
	for name, want := range map[string]os.FileMode{"": 0o700, "00000001.log": 0o600, "lock": 0o600, "log.pub": 0o644} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%q: got mode %#o, want %#o", name, got, want)
		}
	}
}

func TestOpenRefusesBadOptionsAndForeignLogs(t *testing.T) {
	good := smallLog(t, 4, 0)
	altered := copyLog(t, good)
	text := readFile(t, segmentPath(altered, 1))
	writeFile(t, segmentPath(altered, 1), []byte(strings.Replace(string(text), "tool1", "tool9", 1)))
	for name, row := range map[string]struct {
		options audit.Options
		want    string
	}{
		"no directory":  {audit.Options{SigningKey: testKey()}, "no directory"},
		"no key":        {audit.Options{Directory: t.TempDir()}, "signing key of 0 bytes"},
		"negative size": {audit.Options{Directory: t.TempDir(), SigningKey: testKey(), SegmentSize: -1}, "segment size"},
		"other key":     {audit.Options{Directory: good, SigningKey: otherKey()}, "one key signs one log"},
		"altered":       {audit.Options{Directory: altered, SigningKey: testKey()}, "mintmark audit verify"},
	} {
		l, err := audit.Open(row.options)
		if err == nil || l != nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: got %v, want an error with %q", name, err, row.want)
		}
	}
}

func TestUnsignedTailIsAdoptedVisibly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // where no second passes, after which there is a checkpoint
		dir := t.TempDir()
		l := mustOpen(t, audit.Options{Directory: dir})
		for i := range 3 {
			mustAppend(t, l, decision(i))
		}
		killed := copyLog(t, dir) // as kill -9 leaves it
		mustClose(t, l)
		if report := mustVerify(t, killed); report.Unsigned != 3 {
			t.Fatalf("got %+v, want 3 unsigned records", report)
		}
		mustClose(t, mustOpen(t, audit.Options{Directory: killed}))
		all := records(t, killed, audit.Filter{Kind: audit.Admin})
		if len(all) != 1 || all[0].Event != "unsigned_tail" || all[0].Count != 3 || all[0].Seq != 4 {
			t.Fatalf("got %+v, want an unsigned_tail record of 3", all)
		}
	})
}

// Whatever the byte at which a write was cut short, the log verifies, opens,
// says what was lost, and goes on.
func TestTornTailAtEveryByte(t *testing.T) {
	whole := smallLog(t, 3, 0)
	text := readFile(t, segmentPath(whole, 1))
	for end := range len(text) {
		dir := t.TempDir()
		writeFile(t, segmentPath(dir, 1), text[:end])
		torn := mustVerify(t, dir).Torn
		if want := end - 1 - strings.LastIndexByte(string(text[:end]), '\n'); torn != want {
			t.Fatalf("cut at %d: got torn_tail %d, want %d", end, torn, want)
		}
		l := mustOpen(t, audit.Options{Directory: dir})
		mustAppend(t, l, decision(1))
		mustClose(t, l)
		if report := mustVerify(t, dir); report.Torn != 0 || report.Unsigned != 0 {
			t.Fatalf("cut at %d: got %+v", end, report)
		}
		var got int64
		for _, rec := range records(t, dir, audit.Filter{Kind: audit.Admin}) {
			if rec.Event == "torn_tail" {
				got = rec.Count
			}
		}
		if got != int64(torn) {
			t.Fatalf("cut at %d: got a torn_tail record of %d bytes, want %d", end, got, torn)
		}
	}
}

func TestTornTailOfZeros(t *testing.T) {
	dir := smallLog(t, 2, 0)
	text := readFile(t, segmentPath(dir, 1))
	writeFile(t, segmentPath(dir, 1), append(text, make([]byte, 100)...))
	if report := mustVerify(t, dir); report.Torn != 100 {
		t.Fatalf("got torn_tail %d, want 100", report.Torn)
	}
	mustClose(t, mustOpen(t, audit.Options{Directory: dir}))
	if report := mustVerify(t, dir); report.Records != 3 || report.Torn != 0 {
		t.Fatalf("got %+v, want 3 records and no torn tail", report)
	}
}

func ExampleLog_Append() {
	dir, err := os.MkdirTemp("", "audit")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	key, _, err := audit.LoadOrCreateKey(filepath.Join(dir, "log.key"))
	if err != nil {
		fmt.Println(err)
		return
	}
	log, err := audit.Open(audit.Options{Directory: dir, SigningKey: key})
	if err != nil {
		fmt.Println(err)
		return
	}
	receipt, err := log.Append(context.Background(), &audit.Record{
		Kind: audit.Decision, Agent: "spiffe://example.org/agent", Tool: "create_issue", Allow: true, Credential: "lease-1",
	})
	fmt.Println("recorded:", err)
	fmt.Println("first use:", receipt.Spend("lease-1"))
	fmt.Println("second use:", receipt.Spend("lease-1"))
	_ = log.Close()

	report, err := audit.Verify(dir, nil)
	fmt.Println("intact:", report.OK, report.Records, report.KeyFrom, err)
	// Output:
	// recorded: <nil>
	// first use: <nil>
	// second use: no receipt for this credential
	// intact: true 1 log.pub <nil>
}

// A record that nobody waits for does not wait for the next one, nor for the end.
func TestANoteIsWrittenSoon(t *testing.T) {
	l := mustOpen(t, audit.Options{Directory: t.TempDir()})
	for n := uint64(1); n <= 3; n++ {
		l.Note(decision(int(n)))
		for deadline := time.Now().Add(10 * time.Second); l.Stats().Records < n; runtime.Gosched() {
			if time.Now().After(deadline) {
				t.Fatalf("got %d records, want %d without another", l.Stats().Records, n)
			}
		}
	}
	mustClose(t, l)
}
