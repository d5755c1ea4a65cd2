//go:build e2e

package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"mintmark/internal/testenv"
)

// What docs/vault.md says, as it says it, on a real OpenBao, SPIRE and PostgreSQL,
// with the README's registrations. Of its text only what belongs to the machine is another.
func TestVaultPage(t *testing.T) {
	s := newVaultPage(t)
	s.run(t, block(t, s.read(t, "docs/first-call.md"), "sh operator")) // the broker's entry
	page := s.read(t, "docs/vault.md")
	s.keys(t, page)
	s.run(t, block(t, page, "sh rights"))
	s.database(t, page)

	for i, y := range []string{"mintmark.yaml", "DIR.cedar"} { // what the README puts beside it
		s.write(t, filepath.Join("DIR", y), block(t, s.read(t, "README.md"), []string{"yaml", "cedar"}[i]))
	}
	s.provides(t, block(t, page, "sh try"), "\nrevocable    yes, and revoked\nok\n")

	s.run(t, "token=Tk-9f3bQx71LmZr0aa\n"+block(t, page, "sh kept"))
	registered, _, _ := strings.Cut(s.read(t, "docs/first-call.md"), "upstreams:")
	_, registered, _ = strings.Cut(registered, "```yaml\n")
	s.write(t, "kept/mintmark.yaml", registered+block(t, page, "yaml"))
	test := strings.NewReplacer("DIR", "kept", "orders-db", "tickets").Replace(block(t, page, "sh try"))
	s.provides(t, test, "\nrevocable      no: it is a stored key and lives on\nok\n")

	s.run(t, block(t, page, "sh login"))
	login := regexp.MustCompile("`(auth: {token: [^`]*)`").FindStringSubmatch(page)
	if login == nil {
		t.Fatal("the page: got no login with a token")
	}
	login[1] = strings.Replace(login[1], "/home/mintmark", s.dir, 1)
	s.write(t, "kept/mintmark.yaml", registered+strings.Replace(block(t, page, "yaml"), "auth: {jwt: {role: mintmark, audience: vault}}", login[1], 1))
	s.provides(t, test, "\nok\n")
}

// vaultPage is a machine as the page has it.
type vaultPage struct {
	*firstCall

	pg *testenv.PostgresServer
}

func newVaultPage(t *testing.T) *vaultPage {
	t.Helper()
	s := &vaultPage{newFirstCall(t), testenv.Postgres(t)}
	bao := testenv.OpenBao(t)
	s.write(t, "bin/bao", fmt.Sprintf("#!/bin/sh\nexec %s \"$@\"\n", bao.Program()))
	s.env = append(s.env, "BAO_ADDR="+bao.Addr, "BAO_TOKEN="+bao.RootToken)
	port, first := fmt.Sprint(testenv.FreePort(t)), s.here
	here := strings.NewReplacer(
		"https://vault.example.org:8200", bao.Addr,
		"keys 8000", "keys "+port, "127.0.0.1:8000", "127.0.0.1:"+port,
		"db.example.org:5432/orders", fmt.Sprintf("%s:%d/%s", s.pg.Host, s.pg.Port, s.pg.Database),
	).Replace
	s.here = func(page string) string { return here(first(page)) }
	return s
}

// read returns a page as it is here.
func (s *vaultPage) read(t *testing.T, page string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("../..", page))
	if err != nil {
		t.Fatal(err)
	}
	return s.here(string(content))
}

// keys has Vault find SPIRE's keys, as for a trial.
func (s *vaultPage) keys(t *testing.T, page string) {
	t.Helper()
	bundle, server, _ := strings.Cut(strings.TrimSpace(block(t, page, "sh keys")), "\n")
	s.run(t, bundle)
	s.start(t, strings.TrimSuffix(server, " &"))
	enable, config, _ := strings.Cut(block(t, page, "sh method"), "\n")
	s.run(t, enable)
	await(t, "SPIRE's keys", func() bool { return strings.Contains(s.try(t, config), "Success!") })
}

// database gives Vault the user of the page, whose password only Vault knows then.
func (s *vaultPage) database(t *testing.T, page string) {
	t.Helper()
	const password = "known-to-whoever-typed-it"
	role := regexp.MustCompile("`(CREATE ROLE vault .*;)`").FindStringSubmatch(page)
	if role == nil {
		t.Fatal("the page: got no statement that makes Vault's user")
	}
	db, err := pgx.Connect(t.Context(), s.pg.DSN)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close(t.Context()) }()
	if _, err := db.Exec(t.Context(), strings.Replace(role[1], "…", password, 1)); err != nil {
		t.Fatal(err)
	}
	s.run(t, "password='"+password+"'\n"+block(t, page, "sh database"))
	if err := logIn(s.pg, "vault", password); err == nil {
		t.Error("the password that was typed: got it taken after rotate-root, want it refused")
	}
}

// provides checks what "provider test" prints, once the broker has its identity.
func (s *vaultPage) provides(t *testing.T, command, want string) {
	t.Helper()
	var out string
	await(t, "an identity", func() bool {
		out = s.try(t, command)
		return !strings.Contains(out, "no identity issued")
	})
	if !strings.HasSuffix(out, want) {
		t.Errorf("%s: got %q, want it to end in %q", strings.TrimSpace(command), out, want)
	}
}
