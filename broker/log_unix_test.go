//go:build unix

package broker_test

import (
	"bytes"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"

	"mintmark/broker/audit"
	"mintmark/internal/fault"
)

// The kernel refuses what this process writes beyond a size, as a full disk
// would: part of a record is written, then nothing.
func TestNothingIsForwardedThatCannotBeRecorded(t *testing.T) {
	t.Parallel()
	if !alone(t) {
		return
	}
	w := open(t)
	w.wantOK(w.call(), "result") // from here on a credential is held
	if err := w.broker.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	room := w.fill(100)
	reached := w.upstream.taken()
	const refused = 3
	for range refused {
		got := w.do(w.call())
		said := got.refusal(t)
		if got.status != 200 || said.Code != -31503 || said.Step != "record" || said.Kind != fault.Unavailable.String() ||
			said.Text != "the audit log cannot be written; nothing is forwarded without its record" || got.header.Get("Retry-After") != "1" {
			t.Errorf("got %d %+v, want it refused for want of a log", got.status, said)
		}
	}
	minting := w.do(w.call(to("/mcp/database"))).refusal(t)
	if minting.Step != "lease" || minting.Text != "the broker cannot record the new credential" {
		t.Errorf("a call that needs a fresh credential: got %+v", minting)
	}
	// What it made is revoked meanwhile, which can't be recorded either.
	w.await("that revocation", func() bool { return bytes.Contains(w.logged.bytes(), []byte("revocation not recorded")) })
	before := w.metric("mintmark_records_refused_total")
	failing := w.do(w.call(to("/mcp/failing"))).refusal(t)
	if failing.Step != "lease" || failing.Kind != fault.Unavailable.String() {
		t.Errorf("a call whose mint fails: got %+v, want it refused for that", failing)
	}
	if n := w.metric("mintmark_records_refused_total") - before; n != 2 || !bytes.Contains(w.logged.bytes(), []byte("failure not recorded")) {
		t.Errorf("a mint that failed, and its call: got %d records refused, want both counted, and the first told in the log output", n)
	}
	denied := w.do(w.call(body(toolCall("refund")))).refusal(t)
	if denied.Step != "decide" || denied.Kind != "denied" {
		t.Errorf("a call that policy denies: got %+v, want the same denial as ever", denied)
	}
	if n := w.upstream.taken() - reached; n != 0 {
		t.Errorf("%d calls reached the upstream without a record", n)
	}
	room()
	w.await("the log to be written again", func() bool { return w.do(w.call()).refusalCode() == 0 })
	w.wantOK(w.call(), "result")
	w.wantGap(refused)
}

// alone runs the test that calls it once more in a process of its own, and reports
// whether this is that process: go test itself keeps files that would be too large.
func alone(t *testing.T) bool {
	t.Helper()
	const variable = "MINTMARK_TEST_ALONE"
	if os.Getenv(variable) == t.Name() {
		return true
	}
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
	child.Env = append(os.Environ(), variable+"="+t.Name())
	if out, err := child.CombinedOutput(); err != nil {
		t.Errorf("in a process of its own: %v\n%s", err, out)
	}
	return false
}

// wantGap checks that the log says how many records are missing, at least the
// given number.
func (w *world) wantGap(atLeast int64) {
	w.t.Helper()
	gaps := int64(0)
	for _, r := range w.admin() {
		if r.Event == "log_gap" {
			gaps += r.Count
		}
	}
	if gaps < atLeast {
		w.t.Errorf("log_gap: got %d records that are missing, want at least %d", gaps, atLeast)
	}
}

func (w *world) admin() (found []audit.Record) {
	w.t.Helper()
	for r, err := range audit.Query(w.logDir(), audit.Filter{Kind: audit.Admin}) {
		if err != nil {
			w.t.Fatal(err)
		}
		found = append(found, r)
	}
	return found
}

// refusalCode returns the code of the JSON-RPC error in a, or 0.
func (a answer) refusalCode() int {
	if a.body == okAnswer {
		return 0
	}
	return a.status
}

// fill leaves room for the given number of bytes in the newest segment, and
// returns what makes room again.
func (w *world) fill(left uint64) (room func()) {
	w.t.Helper()
	segments, err := filepath.Glob(filepath.Join(w.logDir(), "*.log"))
	if err != nil || len(segments) != 1 {
		w.t.Fatalf("find the segment: got %v, %v", segments, err)
	}
	info, err := os.Stat(segments[0])
	if err != nil {
		w.t.Fatal(err)
	}
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		w.t.Fatal(err)
	}
	signal.Ignore(syscall.SIGXFSZ) // so that it is an error of one write, as main has it
	limit := before
	limit.Cur = uint64(info.Size()) + left
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		w.t.Fatal(err)
	}
	room = func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
			w.t.Error(err)
		}
	}
	w.t.Cleanup(room) // runs before the world's end: last in, first out
	return room
}
