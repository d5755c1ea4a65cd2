package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mintmark/internal/owned"
)

// another returns a directory of a user that is not root.
func another(t *testing.T) (dir string, user owned.User) {
	t.Helper()
	dir, user = t.TempDir(), owned.Me()
	if user.IsRoot() {
		user = 65534
		if err := os.Chown(dir, int(user), os.Getegid()); err != nil {
			t.Fatal(err)
		}
	}
	return dir, user
}

func TestRootIsNotTheBrokersUser(t *testing.T) {
	dir, user := another(t)
	for _, log := range []string{dir, filepath.Join(dir, "audit"), filepath.Join(dir, "var", "audit")} {
		err := refuseRoot(0, log)
		if err == nil || !strings.Contains(err.Error(), "the broker's user, "+user.Name()+", to whom "+dir+" belongs, got root") {
			t.Errorf("root at %s: got %v", log, err)
		}
		if err := refuseRoot(user, log); err != nil {
			t.Errorf("the broker's user at %s: got %v", log, err)
		}
	}
	if err := refuseRoot(0, "/"); err != nil {
		t.Errorf("root at its own: got %v", err)
	}
}

func TestWhatIsAnothersSaysWhose(t *testing.T) {
	dir, user := another(t)
	denied := fmt.Errorf("open the log: %w", fs.ErrPermission)
	got := asOwner(denied, filepath.Join(dir, "audit")).Error()
	if want := "run it as the broker's user: " + dir + " belongs to " + user.Name(); strings.Contains(got, want) == (user == owned.Me()) {
		t.Errorf("got %q, want %q for another user alone", got, want)
	}
	if other := errors.New("else"); !errors.Is(asOwner(other, dir), other) || asOwner(nil, dir) != nil {
		t.Error("got another error, want the same")
	}
}

func TestWhereARecordCannotBeMadeSaysWhose(t *testing.T) {
	dir, user := another(t)
	record := filepath.Join(dir, "audit")
	for path, said := range map[string]bool{dir: true, record: true, filepath.Join(record, "signing.key"): true, filepath.Join(dir, "listener.pem"): false} {
		got := whose(fmt.Errorf("open: %w", &fs.PathError{Op: "open", Path: path, Err: fs.ErrPermission}), record).Error()
		if want := "; " + dir + " belongs to " + user.Name(); strings.Contains(got, want) != (said && user != owned.Me()) {
			t.Errorf("%s: got %q, want %q: %t", path, got, want, said && user != owned.Me())
		}
	}
	missing := &fs.PathError{Op: "open", Path: record, Err: fs.ErrNotExist}
	if !errors.Is(whose(missing, record), missing) || whose(nil, record) != nil {
		t.Error("got another error, want the same")
	}
}

// Root may serve where no other user is, as in a container, but is told whose the
// directory is.
func TestRootIsToldWhoseDirectoryItServesIn(t *testing.T) {
	dir, log := triable(t, `{kind: static, token: "file:token", since: 2026-11-01}`)
	_, user := another(t)
	if err := os.Mkdir(log, 0o700); err != nil {
		t.Fatal(err)
	}
	if owned.Me().IsRoot() {
		if err := os.Chown(log, int(user), os.Getegid()); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // nobody will answer
	var out, failed bytes.Buffer
	_ = run(ctx, []string{"serve", "--dir", dir}, &out, &failed)
	if told := strings.Contains(failed.String(), "the broker's user, "+user.Name()+", to whom "+log+" belongs, got root"); told != owned.Me().IsRoot() {
		t.Errorf("got %s, want root alone told", failed.String())
	}
}

// What a broker left for its next start stays, when a trial has a log of its own.
func TestATrialWithALogOfItsOwnLeavesWhatTheBrokerOwes(t *testing.T) {
	dir, log := triable(t, `{kind: static, token: "file:token", since: 2026-11-01}`)
	owed := filepath.Join(log, "state", "owed", "LATE.json")
	if err := os.MkdirAll(filepath.Dir(owed), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(owed, []byte(`{"kind":"issuance","event":"mint_late","provider":"one","credential":"LATE","lease":"handle"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, failed bytes.Buffer
	if status := run(t.Context(), []string{"provider", "test", "--dir", dir, "one", "--log", filepath.Join(t.TempDir(), "trial")}, &out, &failed); status != 0 {
		t.Fatalf("got status %d, %s", status, failed.String())
	}
	if _, err := os.Stat(owed); err != nil {
		t.Errorf("what is owed: got %v, want it there still", err)
	}
}

// triable is a directory whose broker is known by a Workload API that is not there.
func triable(t *testing.T, provider string) (dir, log string) {
	t.Helper()
	dir = t.TempDir()
	for name, content := range map[string]string{
		"token": "a-token",
		"mintmark.yaml": `
trust_domain: example.org
trust: {workload_api: "unix://` + dir + `/nowhere.sock"}
listeners: [{address: "127.0.0.1:0", plaintext: true}]
attestors: [{kind: jwt-svid, audience: mintmark}]
upstreams: {orders: {url: "http://127.0.0.1:1/mcp", unauthenticated: true}}
providers: {one: ` + provider + `}
`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir, filepath.Join(dir, "audit")
}

func TestATrialThatNeedsNoIdentityAsksForNone(t *testing.T) {
	dir, _ := triable(t, `{kind: static, token: "file:token", since: 2026-11-01}`)
	var out, failed bytes.Buffer
	if status := run(t.Context(), []string{"provider", "test", "--dir", dir, "one"}, &out, &failed); status != 0 || !strings.Contains(out.String(), "\nok\n") {
		t.Errorf("got status %d, %s%s", status, out.String(), failed.String())
	}
}

// What can't be tried leaves no log behind, which would be of whoever tried it.
func TestATrialWithoutTheIdentityItNeedsLeavesNoLog(t *testing.T) {
	dir, log := triable(t, `{kind: x509-svid}`)
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // nobody will answer
	var out, failed bytes.Buffer
	status := run(ctx, []string{"provider", "test", "--dir", dir, "one"}, &out, &failed)
	if status != 1 || !strings.Contains(failed.String(), "provider one needs the broker's identity: ") || !strings.Contains(failed.String(), "run it as the broker's user") {
		t.Errorf("got status %d, %s", status, failed.String())
	}
	if _, err := os.Stat(log); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the log: got %v, want none", err)
	}
}

// Whoever runs it, nothing is left that the broker can't use.
func TestWhatWritesTheBrokersLogRefusesRoot(t *testing.T) {
	for _, command := range []string{"test", "revoke"} {
		dir, log := triable(t, `{kind: vault, address: "http://127.0.0.1:1", auth: {token: "file:token"}, database: {role: reader}}`)
		_, user := another(t)
		if err := os.Mkdir(log, 0o700); err != nil {
			t.Fatal(err)
		}
		if owned.Me().IsRoot() {
			if err := os.Chown(log, int(user), os.Getegid()); err != nil {
				t.Fatal(err)
			}
		}
		for _, elsewhere := range [][]string{nil, {"--log", filepath.Join(dir, "elsewhere")}} {
			var out, failed bytes.Buffer
			status := run(t.Context(), append([]string{"provider", command, "--dir", dir, "one"}, elsewhere...), &out, &failed)
			refused := strings.Contains(failed.String(), "expected the broker's user, "+user.Name())
			if status != 1 || refused != owned.Me().IsRoot() {
				t.Errorf("%s %v: got status %d, %s, want root alone refused", command, elsewhere, status, failed.String())
			}
		}
		left, err := os.ReadDir(log)
		if made := len(left) > 0; err != nil || made == owned.Me().IsRoot() {
			t.Errorf("%s: got %v in the log, %v, want records of the broker's user alone", command, left, err)
		}
	}
}
