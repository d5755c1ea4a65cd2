//go:build e2e

package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"mintmark/broker/audit"
	"mintmark/internal/testenv"
	"mintmark/internal/trustdomain"
)

// site is a directory for "mintmark serve", and what is around it.
type site struct {
	t      *testing.T
	dir    string
	domain *trustdomain.Domain
	token  string // the agent's JWT-SVID

	upstream string
	calls    atomic.Int64 // that reached the upstream

	process *exec.Cmd
	stderr  screen
	address string
	exited  chan error
}

// frame is the part of every site's mintmark.yaml: the trust domain comes from
// a file, and agents call over the loopback.
const frame = `
trust_domain: example.org
trust: {bundles: [{trust_domain: example.org, file: bundle.json}]}
listeners: [{address: "127.0.0.1:0", plaintext: true}]
attestors: [{kind: jwt-svid, audience: mintmark}]
`

const permitShop = `@id("shop") permit (principal == Agent::"spiffe://example.org/agent/shop", action, resource);`

// newSite returns a site with an upstream that answers every call. rest is the
// part of mintmark.yaml after frame, where UPSTREAM is the upstream's address.
func newSite(t *testing.T, rest string, files map[string]string) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir(), domain: trustdomain.New("example.org", trustdomain.Options{JWTLifetime: time.Hour})}
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		s.calls.Add(1)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":1,"result":{}}`)
	}))
	t.Cleanup(upstream.Close)
	s.upstream = upstream.URL
	trusted, err := s.domain.MarshalBundle()
	if err != nil {
		t.Fatal(err)
	}
	if s.token, err = s.domain.JWTSVID(s.domain.ID("agent", "shop"), trustdomain.JWTRequest{Audience: []string{"mintmark"}}); err != nil {
		t.Fatal(err)
	}
	s.write("mintmark.yaml", frame+strings.ReplaceAll(rest, "UPSTREAM", s.upstream))
	s.write("policies.cedar", permitShop)
	s.write("bundle.json", string(trusted))
	for name, content := range files {
		s.write(name, content)
	}
	return s
}

func (s *site) write(name, content string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(content), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// build returns the program, built as it is delivered.
func build(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "mintmark")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build mintmark: %v\n%s", err, out)
	}
	return program
}

// serve starts the program with "serve", before it what wrap says, and returns
// once it listens.
func (s *site) serve(wrap ...string) {
	s.t.Helper()
	args := append(wrap, build(s.t), "serve", "--dir", s.dir)
	s.process = exec.Command(args[0], args[1:]...)
	s.process.Stderr = &s.stderr
	s.process.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := s.process.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.exited = make(chan error, 1)
	go func() { s.exited <- s.process.Wait() }()
	s.t.Cleanup(func() {
		if s.exited != nil {
			_ = syscall.Kill(-s.process.Process.Pid, syscall.SIGKILL)
			<-s.exited //nolint:errcheck // how it ended was asked before
		}
	})
	await(s.t, "the broker to listen", 30*time.Second, func() bool {
		select {
		case err := <-s.exited:
			s.exited = nil
			s.t.Fatalf("mintmark serve ended: %v\n%s", err, s.stderr.String())
		default:
		}
		s.address = s.listening()
		return s.address != ""
	})
}

// listening returns the address in the broker's log, or "".
func (s *site) listening() string {
	lines := bufio.NewScanner(strings.NewReader(s.stderr.String()))
	for lines.Scan() {
		var line struct{ Msg, Address string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "listening" {
			return line.Address
		}
	}
	return ""
}

// stop ends the program as an operator does, and wants it to end well.
func (s *site) stop() {
	s.t.Helper()
	if err := s.process.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	select {
	case err := <-s.exited:
		s.exited = nil
		if err != nil {
			s.t.Errorf("mintmark serve: got %v, want status 0\n%s", err, s.stderr.String())
		}
	case <-time.After(40 * time.Second):
		s.t.Fatal("mintmark serve does not end")
	}
}

// reply is what a call came to.
type reply struct {
	status     int
	text       string // of the answer
	reason     string // of a refusal, "" for none
	step, kind string
	id         string // of a call that was refused
}

// call makes a tool call of the upstream "orders".
func (s *site) call() reply {
	s.t.Helper()
	return s.send(http.MethodPost, "/mcp/orders", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"lookup"}}`)
}

func (s *site) send(method, path, body string) reply {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, "http://"+s.address+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+s.token)
	r.Header.Set("Content-Type", "application/json")
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
	if err != nil {
		s.t.Fatalf("call the broker: %v\n%s", err, s.stderr.String())
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	var said struct {
		Error struct {
			Message string
			Data    struct{ Call, Step, Kind string }
		}
		Detail, Call, Step, Kind string
	}
	_ = json.Unmarshal(content, &said) // a plain answer is not JSON
	return reply{
		status: resp.StatusCode, text: string(content),
		reason: strings.TrimPrefix(said.Error.Message, "mintmark: ") + said.Detail,
		step:   said.Error.Data.Step + said.Step, kind: said.Error.Data.Kind + said.Kind, id: said.Error.Data.Call + said.Call,
	}
}

// until calls until yes says that an answer is as wanted.
func (s *site) until(what string, limit time.Duration, yes func(reply) bool) (last reply) {
	s.t.Helper()
	await(s.t, what, limit, func() bool {
		last = s.call()
		return yes(last)
	})
	return last
}

func allowed(r reply) bool { return r.status == 200 && r.reason == "" }
func refused(r reply) bool { return r.reason != "" }

// check verifies a log and returns its records.
func check(t *testing.T, dir string) (all []audit.Record) {
	t.Helper()
	report, err := audit.Verify(dir, nil)
	if err != nil || !report.OK {
		t.Fatalf("verify the log: got %+v, %v", report, err)
	}
	for r, err := range audit.Query(dir, audit.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

// A disk that fills up under the log, for real: calls are refused for as long
// as they cannot be recorded, and no longer.
func TestAFullDiskRefusesCallsUntilThereIsRoom(t *testing.T) {
	s := newSite(t, `
audit: {directory: volume/audit}
upstreams: {orders: {url: "UPSTREAM/mcp", unauthenticated: true}}
`, nil)
	volume := filepath.Join(s.dir, "volume")
	if err := os.Mkdir(volume, 0o700); err != nil {
		t.Fatal(err)
	}
	inside := s.serveOn(volume)
	log := filepath.Join(inside, "audit")
	if got := s.call(); !allowed(got) {
		t.Fatalf("before: got %+v", got)
	}
	fillUp(t, filepath.Join(inside, "filler"))
	// What is left of the log's last page still takes a few records.
	got := s.until("a refusal", 20*time.Second, refused)
	reached := s.calls.Load()
	for range 10 {
		if got.status != 200 || got.reason != "the audit log cannot be written; nothing is forwarded without its record" || got.step != "record" || got.kind != "unavailable" {
			t.Fatalf("on a full disk: got %+v", got)
		}
		got = s.call()
	}
	if n := s.calls.Load() - reached; n != 0 {
		t.Errorf("on a full disk: %d calls reached the upstream", n)
	}
	if err := os.Remove(filepath.Join(inside, "filler")); err != nil {
		t.Fatal(err)
	}
	s.until("a call that is allowed", 20*time.Second, allowed)
	if got := s.call(); !allowed(got) {
		t.Errorf("with room again: got %+v", got)
	}
	gaps := int64(0)
	for _, r := range check(t, log) {
		if r.Kind == audit.Admin && r.Event == "log_gap" {
			gaps += r.Count
		}
	}
	if gaps < 10 {
		t.Errorf("log_gap: got %d records counted as missing, want at least 10", gaps)
	}
	s.stop()
}

// serveOn is serve with a small disk of this program's own in a directory: nobody else
// sees it, and it ends with it. It returns where it can be seen from outside.
func (s *site) serveOn(volume string) (inside string) {
	s.t.Helper()
	const mount = `mount -t tmpfs -o size=300k,mode=700 tmpfs "$0" || { echo "mount: this test needs leave to mount a tmpfs in a namespace of its own" >&2; exit 1; }; exec "$@"`
	s.serve("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, volume)
	return filepath.Join("/proc", fmt.Sprint(s.process.Process.Pid), "root", volume)
}

// fillUp writes a file until the disk is full.
func fillUp(t *testing.T, name string) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 64 << 10; size > 0; size /= 2 {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, size))
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("fill the disk: got %v, want it full", err)
		}
	}
}

// A lease is good for as long as it lives, whatever becomes of the system that
// issued it; then there is no other, and calls say so.
func TestASealedVaultRefusesCallsOnceTheLeaseHasEnded(t *testing.T) {
	bao := testenv.OpenBao(t)
	bao.PutKV(t, "orders", map[string]any{"token": "orders-token-canary-93b7"})
	s := newSite(t, `
providers: {orders: {kind: vault, max_age: 10s, address: "`+bao.Addr+`", auth: {token: "file:vault-token"}, kv2: {path: orders, field: token}}}
upstreams: {orders: {url: "UPSTREAM/mcp", credentials: [{provider: orders, scheme: bearer}]}}
`, map[string]string{"vault-token": bao.RootToken})
	s.serve()
	if got := s.call(); !allowed(got) {
		t.Fatalf("before: got %+v", got)
	}
	bao.Seal(t)
	if got := s.call(); !allowed(got) {
		t.Errorf("sealed, with a lease that lives: got %+v", got)
	}
	wantNoCredential(t, s, "vault is sealed")
	bao.Unseal(t)
	s.until("a call that is allowed", 30*time.Second, allowed)
	bao.Stop()
	if got := s.call(); !allowed(got) {
		t.Errorf("stopped, with a lease that lives: got %+v", got)
	}
	wantNoCredential(t, s, "vault refuses connections")
	s.stop()
	failed := 0
	for _, r := range check(t, filepath.Join(s.dir, "audit")) {
		if r.Kind == audit.Issuance && r.Event == "mint_failed" && r.Fault == "unavailable" {
			failed++
		}
	}
	if failed == 0 {
		t.Error("issuance: got no failed mint on record")
	}
	wantNoSecret(t, s, bao.RootToken, "orders-token-canary-93b7")
}

// wantNoCredential waits for calls to be refused for a reason, and demands that
// they stay so, that none reaches the upstream, and that each is on record.
func wantNoCredential(t *testing.T, s *site, reason string) {
	t.Helper()
	got := s.until("a refusal because "+reason, 30*time.Second, func(r reply) bool { return r.reason == reason })
	reached := s.calls.Load()
	for range 5 {
		if got.step != "lease" || got.kind != "unavailable" || got.status != 200 || got.reason != reason {
			t.Errorf("got %+v, want it refused because %s", got, reason)
		}
		wantDenied(t, s, got)
		got = s.call()
	}
	if n := s.calls.Load() - reached; n != 0 {
		t.Errorf("%s: %d calls reached the upstream without a credential", reason, n)
	}
}

// wantDenied demands the one record of a call that was refused.
func wantDenied(t *testing.T, s *site, refusal reply) {
	t.Helper()
	n := 0
	for r, err := range audit.Query(filepath.Join(s.dir, "audit"), audit.Filter{Call: refusal.id}) {
		if err != nil {
			t.Fatal(err)
		}
		n++
		if r.Kind != audit.Decision || r.Allow || r.Upstream != "orders" || r.Step != refusal.step || r.Fault != refusal.kind || r.Reason != refusal.reason {
			t.Errorf("call %s: got the record %+v, want a denial because %s", refusal.id, r, refusal.reason)
		}
	}
	if n != 1 || refusal.id == "" {
		t.Errorf("call %q: got %d records, want one", refusal.id, n)
	}
}

// wantNoSecret looks for secrets in the broker's log and records.
func wantNoSecret(t *testing.T, s *site, secrets ...string) {
	t.Helper()
	segments, err := filepath.Glob(filepath.Join(s.dir, "audit", "*.log"))
	if err != nil || len(segments) == 0 {
		t.Fatalf("find the log: got %v, %v", segments, err)
	}
	text := s.stderr.String()
	for _, name := range segments {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		text += string(content)
	}
	for _, secret := range append(secrets, s.token) {
		if strings.Contains(text, secret) {
			t.Errorf("found a secret (%.6s…) in the log", secret)
		}
	}
}

// STS that refuses the broker's own key is the operator's to mend; when the
// files hold the right one, calls are signed and answered.
func TestAnSTSThatRefusesTheBrokersKey(t *testing.T) {
	minio := testenv.MinIO(t, testenv.MinIOOptions{})
	minio.EnsureBucket(t, "reports")
	s := newSite(t, `
providers:
  reports: {kind: aws-sts, region: us-east-1, endpoint: "`+minio.Endpoint+`", role_arn: "arn:aws:iam::123456789012:role/reports",
    access_key_id: "file:access-key", secret_access_key: "file:secret-key"}
upstreams:
  s3: {kind: http, url: "`+minio.Endpoint+`", credentials: [{provider: reports, scheme: sigv4, region: us-east-1, service: s3}]}
`, map[string]string{"access-key": "AKIAOLDKEY", "secret-key": "wrong-secret-canary-11aa"})
	s.serve()
	for range 3 {
		got := s.send(http.MethodGet, "/http/s3/", "")
		if got.status != 500 || got.step != "lease" || got.kind != "internal" || got.reason != "the credential provider refused the broker" {
			t.Errorf("got %+v, want it refused for want of a credential", got)
		}
	}
	s.write("access-key", minio.AccessKey)
	s.write("secret-key", minio.SecretKey)
	await(t, "a call that is allowed", 30*time.Second, func() bool {
		got := s.send(http.MethodGet, "/http/s3/", "")
		return got.status == 200 && strings.Contains(got.text, "<Name>reports</Name>")
	})
	s.stop()
	why := ""
	for _, r := range check(t, filepath.Join(s.dir, "audit")) {
		if r.Kind == audit.Issuance && r.Event == "mint_failed" {
			why = r.Reason
		}
	}
	if !strings.Contains(why, "sts answered with status 403 and ") {
		t.Errorf("the operator reads %q, want what STS said", why)
	}
	wantNoSecret(t, s, "wrong-secret-canary-11aa", minio.SecretKey)
}
