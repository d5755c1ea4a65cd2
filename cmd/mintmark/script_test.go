package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"mintmark/broker/audit"
)

func TestMain(m *testing.M) {
	syscall.Umask(0o022) // or the scripts' files are refused where the group may write what one makes
	testscript.Main(m, map[string]func(){"mintmark": main})
}

// TestScripts runs testdata/script: one behaviour of the program a file, whose
// name is the claim.
func TestScripts(t *testing.T) {
	const pattern = "testdata/script/*.txtar"
	found, err := filepath.Glob(pattern)
	if err != nil || len(found) == 0 {
		t.Fatalf("find scripts: got %d, %v, want at least one", len(found), err)
	}
	short, err := os.MkdirTemp("", "mm-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(short) }) // when the scripts, which run in parallel, have ended
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("SHORT", short)
			env.Setenv("GORACE", "atexit_sleep_ms=0") // or each program rests a second at its end
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"writelog": writeLog, "alter": alter, "lastline": lastLine,
		},
	})
}

// writeLog DIR writes a small audit log, the same each time.
func writeLog(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: writelog DIR")
	}
	dir := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(dir, 0o700))
	key, _, err := audit.LoadOrCreateKey(filepath.Join(dir, "signing.key"))
	ts.Check(err)
	ts.Check(writeRecords(dir, key))
}

func writeRecords(dir string, key ed25519.PrivateKey) error {
	now := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	o := audit.Options{Directory: dir, SigningKey: key, Clock: func() time.Time {
		now = now.Add(time.Minute)
		return now
	}}
	log, err := audit.Open(o)
	// What another script starts has the lock of a log before for as long as it takes
	// from the fork to the exec.
	for until := time.Now().Add(time.Minute); errors.Is(err, audit.ErrInUse) && time.Now().Before(until); log, err = audit.Open(o) {
		<-time.After(time.Millisecond)
	}
	if err != nil {
		return err
	}
	const shop, clerk = "spiffe://example.org/agent/shop", "spiffe://example.org/agent/clerk"
	for _, r := range []audit.Record{
		{Kind: audit.Admin, Event: "start"},
		{Kind: audit.Issuance, Event: "mint", Provider: "token", Credential: "LEASE1XK7QDV3MNZ4T2YBHRC5W"},
		{Kind: audit.Decision, Call: "c1", Agent: shop, Upstream: "orders", Method: "tools/call", Tool: "lookup", Allow: true, Policies: []string{"reader"}, Provider: "token", Credential: "LEASE1XK7QDV3MNZ4T2YBHRC5W"},
		{Kind: audit.Outcome, Call: "c1", Agent: shop, Upstream: "orders", Method: "tools/call", Tool: "lookup", Credential: "LEASE1XK7QDV3MNZ4T2YBHRC5W", Status: 200},
		{Kind: audit.Decision, Call: "c2", Agent: clerk, Upstream: "payroll", Method: "tools/call", Tool: "pay", Fault: "denied", Step: "decide", Reason: "no policy permits this agent to do that there"},
		{Kind: audit.Decision, Call: "c3", Fault: "invalid", Step: "receive", Upstream: "orders", Tool: "\x1b[2J\x1b[31mlookup\ncafé\u202e", Reason: "forged\t line"},
	} {
		if _, err := log.Append(context.Background(), &r); err != nil {
			return err
		}
	}
	return log.Close()
}

// alter FILE OLD NEW changes the first OLD in a file, of the same length.
func alter(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 || len(args[1]) != len(args[2]) {
		ts.Fatalf("usage: alter FILE OLD NEW, where NEW is as long as OLD")
	}
	content := ts.ReadFile(args[0])
	if !strings.Contains(content, args[1]) {
		ts.Fatalf("alter %s: no %q in it", args[0], args[1])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(strings.Replace(content, args[1], args[2], 1)), 0o600))
}

// lastLine FILE NAME=VALUE… checks members of the JSON object that is the last
// line of a file, or of stdout. NAME>NUMBER wants more than a number.
func lastLine(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: lastline FILE NAME=VALUE|NAME>NUMBER…")
	}
	lines := bytes.Split(bytes.TrimSpace([]byte(ts.ReadFile(args[0]))), []byte("\n"))
	var got map[string]any
	ts.Check(json.Unmarshal(lines[len(lines)-1], &got))
	for _, want := range args[1:] {
		if name, value, ok := strings.Cut(want, "="); ok {
			if have := fmt.Sprint(got[name]); have != value {
				ts.Fatalf("%s: got %s, want %s", name, have, value)
			}
			continue
		}
		name, least, _ := strings.Cut(want, ">")
		number, err := strconv.ParseFloat(least, 64)
		ts.Check(err)
		if have, _ := got[name].(float64); have <= number {
			ts.Fatalf("%s: got %v, want more than %s", name, got[name], least)
		}
	}
}
