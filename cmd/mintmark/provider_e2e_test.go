//go:build e2e

package main

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"mintmark/broker"
	"mintmark/broker/audit"
	"mintmark/internal/testenv"
)

// A provider is tried against the real Vault: a user is made, shown, and dropped.
func TestAProviderIsTried(t *testing.T) {
	bao, pg := testenv.OpenBao(t), testenv.Postgres(t)
	s, _ := newMint(t, bao, pg)
	const shop = "spiffe://example.org/agent/shop"
	try := func(args ...string) (status int, out, failed string) {
		var stdout, stderr bytes.Buffer
		status = run(t.Context(), append([]string{"provider", "test", "--dir", s.dir, "orders"}, args...), &stdout, &stderr)
		return status, stdout.String(), stderr.String()
	}
	status, out, failed := try("--agent", shop)
	if status != 0 || failed != "" {
		t.Fatalf("got status %d, %s%s", status, out, failed)
	}
	for _, line := range []string{
		`provider +orders \(vault\)`, `agent +` + shop, `type +password`, `scopes +database/creds/reader`, `ends +20\d\d-.*Z`,
		`fingerprint +[0-9a-f]{32}`, `renewable +yes`, `revocable +yes, and revoked`, `ok`,
	} {
		if !regexp.MustCompile(`(?m)^` + line + `$`).MatchString(out) {
			t.Errorf("got\n%s\nwant a line %s", out, line)
		}
	}
	if n := len(leases(t, bao)) + len(users(t, pg)); n != 0 {
		t.Errorf("got %d leases and users left in Vault and PostgreSQL, want none", n)
	}
	wantTrial(t, filepath.Join(s.dir, "audit"), "trial login mint revoke logout")

	// While a broker has the log, a trial has one of its own.
	s.serve()
	if status, _, failed := try("--agent", shop); status != 1 || !strings.Contains(failed, "it is open already") || !strings.HasSuffix(failed, "; or: --log DIR\n") {
		t.Errorf("beside a broker: got status %d, %s", status, failed)
	}
	elsewhere := filepath.Join(t.TempDir(), "log")
	status, out, failed = try("--agent", shop, "--log", elsewhere, "--json")
	var got broker.Trial
	if err := json.Unmarshal([]byte(out), &got); status != 0 || err != nil || !got.Revoked || got.Type != "password" || got.Agent != shop || got.Fingerprint == "" || got.Lease == "" {
		t.Errorf("with a log of its own: got status %d, %s%s", status, out, failed)
	}
	wantTrial(t, elsewhere, "trial login mint revoke logout")
	s.stop()

	// What cannot be revoked is said to be left.
	bao.PutPolicy(t, "broker", `path "database/creds/reader" { capabilities = ["read"] }`)
	if status, out, failed = try("--agent", shop); status != 1 || !strings.Contains(out, "yes, but not revoked") || strings.Contains(out, "\nok") || !strings.Contains(failed, "1 leases not revoked") {
		t.Errorf("without the right to revoke: got status %d, %s%s", status, out, failed)
	}
}

// wantTrial demands the events of a trial, in their order.
func wantTrial(t *testing.T, log, want string) {
	t.Helper()
	var events []string
	for _, r := range check(t, log) {
		if r.Kind == audit.Issuance || r.Event == "trial" {
			events = append(events, r.Event)
		}
	}
	if got := strings.Join(events, " "); got != want {
		t.Errorf("records: got %q, want %q", got, want)
	}
}

// What no record knows of ends by the path that made it.
func TestEverythingOfAProviderIsRevoked(t *testing.T) {
	bao, pg := testenv.OpenBao(t), testenv.Postgres(t)
	s, _ := newMint(t, bao, pg)
	for range 2 {
		if _, err := bao.Client(t).Logical().ReadWithContext(t.Context(), "database/creds/reader"); err != nil {
			t.Fatal(err)
		}
	}
	revoke := func() (status int, out, failed string) {
		var stdout, stderr bytes.Buffer
		status = run(t.Context(), []string{"provider", "revoke", "--dir", s.dir, "orders"}, &stdout, &stderr)
		return status, stdout.String(), stderr.String()
	}
	if status, out, failed := revoke(); status != 1 || out != "" || !strings.Contains(failed, "status 403") {
		t.Errorf("without the right: got status %d, %s%s", status, out, failed)
	}
	if n := len(leases(t, bao)); n != 2 {
		t.Errorf("without the right: got %d leases, want 2", n)
	}
	bao.PutPolicy(t, "broker", `path "sys/leases/revoke-prefix/database/creds/reader" { capabilities = ["update", "sudo"] }`)
	if status, out, failed := revoke(); status != 0 || out != "ok\n" || failed != "" {
		t.Errorf("got status %d, %s%s", status, out, failed)
	}
	if n := len(leases(t, bao)) + len(users(t, pg)); n != 0 {
		t.Errorf("got %d leases and users left in Vault and PostgreSQL, want none", n)
	}
	var events []string
	for _, r := range check(t, filepath.Join(s.dir, "audit")) {
		events = append(events, r.Event)
	}
	if got := strings.Join(events, " "); got != "revoke_all login revoke_all_failed logout revoke_all login logout" {
		t.Errorf("records: got %q", got)
	}
}
