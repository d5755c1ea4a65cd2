package audit_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"
	"testing"

	"mintmark/broker/audit"
)

// The test binary is also the process that is killed: child names what it
// does then, and where.
const (
	childEnv     = "MINTMARK_AUDIT_TEST_CHILD"
	directoryEnv = "MINTMARK_AUDIT_TEST_DIRECTORY"
)

func TestMain(m *testing.M) {
	switch child := os.Getenv(childEnv); child {
	case "":
		os.Exit(m.Run())
	case "append":
		exit(appendForEver(os.Getenv(directoryEnv)))
	case "fill":
		exit(fillUp(os.Getenv(directoryEnv)))
	default:
		exit(fmt.Errorf("got child %q", child))
	}
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func child(t *testing.T, what, dir string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+what, directoryEnv+"="+dir)
	cmd.Stderr = os.Stderr
	return cmd
}

// appendForEver prints each seq once Append has returned, and each call once Write has.
func appendForEver(dir string) error {
	l, err := audit.Open(audit.Options{Directory: dir, SigningKey: testKey(), SegmentSize: 32 << 10})
	if err != nil {
		return err
	}
	ended := make(chan error)
	for c := range 4 {
		go func() { ended <- appendAndPrint(l, c) }()
	}
	return <-ended
}

func appendAndPrint(l *audit.Log, c int) error {
	for i := 0; ; i++ {
		rec := decision(c)
		l.Note(&audit.Record{Kind: audit.Outcome}) // lost or not
		switch i % 10 {
		case 0:
			rec.Kind = audit.Issuance
		case 1, 2:
			call := fmt.Sprint("written-", os.Getpid(), "-", c, "-", i)
			l.Write(&audit.Record{Kind: audit.Admin, Call: call})
			if _, err := fmt.Println(call); err != nil {
				return err
			}
			continue
		}
		if _, err := l.Append(context.Background(), rec); err != nil {
			return err
		}
		if _, err := fmt.Printf("%d\n", rec.Seq); err != nil { // one write(2)
			return err
		}
	}
}

// Every record that Append or Write returned for is in the log after kill -9, and
// the next process goes on with the same log.
func TestKillLosesNothing(t *testing.T) {
	dir := t.TempDir()
	acknowledged := map[string]bool{}
	for round := range 20 {
		killed := killAfter(t, dir, 1+rand.IntN(400))
		if len(killed) == 0 {
			t.Fatalf("round %d: got no acknowledged record", round)
		}
		for _, one := range killed {
			if acknowledged[one] {
				t.Fatalf("round %d: got %s twice", round, one)
			}
			acknowledged[one] = true
		}
		mustVerify(t, dir)
		found := map[string]bool{}
		for _, rec := range records(t, dir, audit.Filter{}) {
			found[strconv.FormatUint(rec.Seq, 10)], found[rec.Call] = true, true
		}
		for one := range acknowledged {
			if !found[one] {
				t.Fatalf("round %d: %s was acknowledged and is not in the log", round, one)
			}
		}
	}
	mustClose(t, mustOpen(t, audit.Options{Directory: dir}))
	t.Logf("%d records acknowledged, %+v", len(acknowledged), mustVerify(t, dir))
}

// killAfter kills the child once it has acknowledged n records and returns
// all it had by then.
func killAfter(t *testing.T, dir string, n int) []string {
	t.Helper()
	cmd := child(t, "append", dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var acknowledged []string
	for s := bufio.NewScanner(out); s.Scan(); {
		acknowledged = append(acknowledged, s.Text())
		if len(acknowledged) == n {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err == nil {
		t.Fatal("got a child that ended by itself, want it killed")
	}
	return acknowledged
}

// fillUp appends until the kernel allows the file no more bytes, then is given
// room again: a real partial write and a real error.
func fillUp(dir string) error {
	signal.Ignore(syscall.SIGXFSZ)
	var unlimited syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &unlimited); err != nil {
		return err
	}
	l, err := audit.Open(audit.Options{Directory: dir, SigningKey: testKey()})
	if err != nil {
		return err
	}
	tight := unlimited
	tight.Cur = 10_000
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &tight); err != nil {
		return err
	}
	written, refused := 0, 0
	for refused < 3 {
		if _, err := l.Append(context.Background(), decision(written)); err != nil {
			refused++
			continue
		}
		written++
	}
	if report, err := audit.Verify(dir, testPublic()); err != nil || !report.OK || report.Torn != 0 {
		return fmt.Errorf("got %+v and %w on a full disk", report, err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &unlimited); err != nil {
		return err
	}
	if _, err := l.Append(context.Background(), decision(written)); err != nil {
		return err
	}
	fmt.Println(written)
	return l.Close()
}

func TestRealWriteLimit(t *testing.T) {
	dir := t.TempDir()
	out, err := child(t, "fill", dir).Output()
	if err != nil {
		t.Fatal(err)
	}
	written, err := strconv.ParseUint(string(out[:len(out)-1]), 10, 64)
	if err != nil || written < 5 {
		t.Fatalf("got %q from the child, want how many records had room", out)
	}
	if report := mustVerify(t, dir); report.Records != written+2 {
		t.Fatalf("got %+v, want %d records, the gap and one more", report, written)
	}
	wantGap(t, dir, written+1, 3)
}
