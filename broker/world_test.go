package broker_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"text/template"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"mintmark/attest"
	"mintmark/attest/jwtsvid"
	"mintmark/attest/posture"
	"mintmark/attest/x509svid"
	"mintmark/broker"
	"mintmark/broker/audit"
	"mintmark/broker/bundle"
	"mintmark/internal/stdlog"
	"mintmark/internal/trustdomain"
	"mintmark/providers"
	"mintmark/providers/oauth"
	"mintmark/providers/static"
	"mintmark/providers/vault"
)

const (
	audience = "mintmark"
	patience = time.Minute // for what happens at once on an idle machine
)

// printed is what libraries printed by the standard logger, as a program that
// embeds the broker lets them.
var printed lockedBuffer

func TestMain(m *testing.M) {
	stdlog.Hush(slog.New(slog.NewJSONHandler(&printed, nil)))
	// They wait more than they compute. The command line's own number stands.
	_ = flag.Set("test.parallel", strconv.Itoa(max(4, runtime.GOMAXPROCS(0))))
	os.Exit(m.Run())
}

// world is a broker with everything around it, over real sockets: a trust
// domain, an issuer of credentials, an upstream, and agents that write HTTP by
// hand.
type world struct {
	t        testing.TB
	dir      string
	domain   *trustdomain.Domain
	issuer   *issuer
	upstream *upstream
	scan     *stated
	waiting  *waiting
	minted   map[string]providers.Provider
	broker   *broker.Broker
	agent    string // a JWT-SVID of agent/shop

	secure, plain string // where the broker listens, with and without TLS

	logged   lockedBuffer // everything the broker logged
	received lockedBuffer // everything agents received
	needles  needles

	stop   func() error // ends Run and Close once, and returns what they return
	unread bool         // the log is not verified at the end
}

// setup is what a test may want otherwise.
type setup struct {
	Clock       func() time.Time
	Limits      string // "body: 64KiB, …"
	Audit       string // "segment_size: 1MiB, …"
	Socket      string
	Issuer      string
	Upstream    string
	Closed      string // an address that nobody listens on
	Quiet       bool   // the broker logs nothing
	Policy      string // after the policies that every world has
	MintTimeout time.Duration
	RestFor     time.Duration                 // of a lease whose agent ended a session
	Minted      map[string]providers.Provider // by kind, without settings
	InputTime   time.Duration
	Settling    time.Duration // of calls that were cut; 0: patience
}

// open returns a world that ends with the test. At its end the log must verify
// and no secret may stand in what agents received, in the broker's log or in
// its records.
func open(t testing.TB, change ...func(*setup)) *world {
	t.Helper()
	w := &world{t: t, domain: trustdomain.New("example.org", trustdomain.Options{X509Lifetime: 30 * 24 * time.Hour}), scan: newStated(), waiting: &waiting{}}
	w.dir = shortDir(t)
	s := setup{Limits: "body: 64KiB, shutdown: 5s", Audit: "sync: grouped", Socket: filepath.Join(w.dir, "workload.sock")}
	for _, c := range change {
		c(&s)
	}
	w.minted = s.Minted
	w.serveWorkloadAPI(s.Socket)
	w.issuer, w.upstream = newIssuer(t), newUpstream(t)
	s.Issuer, s.Upstream, s.Closed = w.issuer.address, cmp.Or(s.Upstream, w.upstream.address), closedAddress(t)
	w.writeFiles(s)
	w.scan.state(w.id("shop"), "pass", time.Now())
	w.openBroker(s)
	w.agent = w.token(w.domain, "shop", trustdomain.JWTRequest{})
	return w
}

// shortDir returns a directory whose path leaves room for the name of a Unix
// socket, which t.TempDir's does not.
func shortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "mm-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func (w *world) serveWorkloadAPI(socket string) {
	w.t.Helper()
	api, err := w.domain.ServeWorkloadAPI(context.WithoutCancel(w.t.Context()), socket, w.domain.ID("mintmark"))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = api.Close() })
}

const configuration = `
trust_domain: example.org
trust: {workload_api: "unix://{{.Socket}}"}
listeners:
  - address: 127.0.0.1:0
  - {address: 127.0.0.1:0, plaintext: true}
attestors:
  - kind: x509-svid
  - {kind: jwt-svid, audience: mintmark}
  - kind: waiting
posture:
  scan: {kind: stated}
clocks: {berlin: Europe/Berlin}
providers:
  token: {kind: oauth, token_url: "http://{{.Issuer}}/token", client_id: mintmark, client_secret: "file:client-secret", scopes: [orders]}
  user: {kind: vault, address: "http://{{.Issuer}}", auth: {token: "file:vault-token"}, database: {role: orders}}
  failing: {kind: oauth, token_url: "http://{{.Issuer}}/failing", client_id: mintmark, client_secret: "file:client-secret"}
  garbage: {kind: oauth, token_url: "http://{{.Issuer}}/garbage", client_id: mintmark, client_secret: "file:client-secret"}
  stuck: {kind: oauth, token_url: "http://{{.Issuer}}/stuck", client_id: mintmark, client_secret: "file:client-secret"}
  gone: {kind: oauth, token_url: "http://{{.Closed}}/token", client_id: mintmark, client_secret: "file:client-secret"}
upstreams:
  orders: {url: "http://{{.Upstream}}/mcp", credentials: [{provider: token, scheme: bearer}]}
  payroll: {url: "http://{{.Upstream}}/mcp", credentials: [{provider: token, scheme: bearer}]}
  tools: {url: "http://{{.Upstream}}/mcp", credentials: [{provider: token, scheme: bearer, tools: ["lookup_*"]}]}
  database: {url: "http://{{.Upstream}}/mcp", credentials: [{provider: user, scheme: basic}]}
  open: {url: "http://{{.Upstream}}/mcp", unauthenticated: true}
  sluggish: {url: "http://{{.Upstream}}/mcp", timeout: 250ms, credentials: [{provider: token, scheme: bearer}]}
  unreachable: {url: "http://{{.Closed}}/mcp", credentials: [{provider: token, scheme: bearer}]}
  failing: {url: "http://{{.Upstream}}/mcp", credentials: [{provider: failing, scheme: bearer}]}
  garbage: {url: "http://{{.Upstream}}/mcp", credentials: [{provider: garbage, scheme: bearer}]}
  stuck: {url: "http://{{.Upstream}}/mcp", credentials: [{provider: stuck, scheme: bearer}]}
  gone: {url: "http://{{.Upstream}}/mcp", credentials: [{provider: gone, scheme: bearer}]}
  api: {kind: http, url: "http://{{.Upstream}}/v1", credentials: [{provider: token, scheme: bearer}]}
audit: { {{.Audit}} }
limits: { {{.Limits}} }
`

const policy = `
@id("shop-connects")
permit (
  principal == Agent::"spiffe://example.org/agent/shop",
  action in [Action::"connect", Action::"list"],
  resource
);

@id("shop-looks-up")
permit (principal == Agent::"spiffe://example.org/agent/shop", action == Action::"tools/call", resource)
when { resource.name like "lookup_*" || resource.name == "refund_all" };

@id("shop-reads-the-api")
permit (principal == Agent::"spiffe://example.org/agent/shop", action in Action::"http", resource in Upstream::"api");

@id("nobody-refunds-all")
@hint("refunds are made one by one")
forbid (principal, action == Action::"tools/call", resource == Tool::"orders/refund_all");

@id("only-scanned")
@hint("this agent has no passing scan")
forbid (principal, action == Action::"tools/call", resource in Upstream::"orders")
unless { context.posture has scan && context.posture.scan.value == "pass" };

@id("office-hours")
@hint("payroll answers on weekdays from 09:00 to 17:00, Berlin time")
forbid (principal, action, resource in Upstream::"payroll")
unless {
  ["monday", "tuesday", "wednesday", "thursday", "friday"].contains(context.clock.berlin.weekday) &&
  context.clock.berlin.minute_of_day >= 540 && context.clock.berlin.minute_of_day < 1020
};
`

func (w *world) writeFiles(s setup) {
	w.t.Helper()
	var yaml bytes.Buffer
	if err := template.Must(template.New("").Parse(configuration)).Execute(&yaml, s); err != nil {
		w.t.Fatal(err)
	}
	for name, content := range map[string]string{
		"mintmark.yaml": yaml.String(), "policies.cedar": policy + s.Policy, "client-secret": clientSecret, "vault-token": vaultToken,
	} {
		if err := os.WriteFile(filepath.Join(w.dir, name), []byte(content), 0o600); err != nil {
			w.t.Fatal(err)
		}
	}
}

// kinds is the table of cmd/mintmark with a posture source that says what a
// test has it say.
func (w *world) kinds() broker.Kinds {
	kinds := broker.Kinds{
		Attestors: map[string]broker.Kind[broker.AttestorEnv, attest.Attestor]{
			"x509-svid": broker.KindOf(func(c x509svid.Config, env broker.AttestorEnv) (attest.Attestor, error) {
				return x509svid.Open(c, env.Trust)
			}),
			"jwt-svid": broker.KindOf(func(c jwtsvid.Config, env broker.AttestorEnv) (attest.Attestor, error) {
				return jwtsvid.Open(c, env.Trust)
			}),
			"waiting": broker.KindOf(func(struct{}, broker.AttestorEnv) (attest.Attestor, error) { return w.waiting, nil }),
			"vouched": broker.KindOf(func(struct{}, broker.AttestorEnv) (attest.Attestor, error) { return vouched{w.id("shop")}, nil }),
		},
		Posture: map[string]broker.Kind[broker.PostureEnv, posture.Source]{
			"stated": broker.KindOf(func(struct{}, broker.PostureEnv) (posture.Source, error) { return w.scan, nil }),
		},
		Providers: map[string]broker.Kind[providers.Env, providers.Provider]{
			"static":  broker.KindOf(static.Open),
			"thrower": broker.KindOf(openThrower),

			"oauth": broker.KindOf(oauth.Open),
			"vault": broker.KindOf(vault.Open),
			"canary": broker.KindOf(func(c canaries, _ providers.Env) (providers.Provider, error) {
				c.issued = w.issuer
				return c, nil
			}),
		},
	}
	for kind, p := range w.minted {
		kinds.Providers[kind] = broker.KindOf(func(struct{}, providers.Env) (providers.Provider, error) { return p, nil })
	}
	return kinds
}

// change rewrites a file of the bundle and applies the result.
func (w *world) change(name, old, now string) error {
	w.t.Helper()
	return w.broker.Apply(w.t.Context(), w.rewrite(name, old, now))
}

// rewrite changes a file of the bundle and reads the result.
func (w *world) rewrite(name, old, now string) *bundle.Bundle {
	w.t.Helper()
	w.rewriteOnly(name, old, now)
	bd, err := bundle.Load(w.dir, w.kinds().Settings())
	if err != nil {
		w.t.Fatal(err)
	}
	return bd
}

// rewriteOnly changes a file of the bundle.
func (w *world) rewriteOnly(name, old, now string) {
	w.t.Helper()
	file := filepath.Join(w.dir, name)
	content, err := os.ReadFile(file)
	if err != nil || !bytes.Contains(content, []byte(old)) {
		w.t.Fatalf("change %s: got %v, or no %q in it", name, err, old)
	}
	if err := os.WriteFile(file, bytes.Replace(content, []byte(old), []byte(now), 1), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) openBroker(s setup) {
	w.t.Helper()
	bd, err := bundle.Load(w.dir, w.kinds().Settings())
	if err != nil {
		w.t.Fatal(err)
	}
	logger := slog.New(slog.NewJSONHandler(&w.logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if s.Quiet {
		logger = nil
	}
	o := broker.Options{Bundle: bd, Kinds: w.kinds(), Logger: logger, Clock: s.Clock}
	w.broker, err = broker.Open(w.t.Context(), o.WithMintTimeout(s.MintTimeout).WithRestFor(s.RestFor).WithSettling(cmp.Or(s.Settling, patience)).WithInputTime(s.InputTime))
	if err != nil {
		w.t.Fatal(err)
	}
	w.secure, w.plain = w.broker.Addresses()[0].String(), w.broker.Addresses()[1].String()
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- w.broker.Run(ctx) }()
	w.stop = sync.OnceValue(func() error {
		defer cancel()
		err := w.broker.Close(context.WithoutCancel(w.t.Context()))
		cancel()
		if run := <-ended; run != nil {
			return run
		}
		return err
	})
	w.t.Cleanup(w.end)
}

// end stops the broker and looks at all it left behind.
func (w *world) end() {
	w.upstream.release()
	w.issuer.release()
	if err := w.stop(); err != nil {
		w.t.Errorf("end the broker: %v", err)
	}
	if w.unread {
		return
	}
	report, err := audit.Verify(w.logDir(), nil)
	if err != nil || !report.OK {
		w.t.Errorf("verify the log: got %+v, %v", report, err)
	}
	w.checkLeaks()
}

// checkLeaks looks for every secret of the world, as it is and in base64, where
// none may be.
func (w *world) checkLeaks() {
	w.t.Helper()
	places := map[string][]byte{"an answer": w.received.bytes(), "the broker's log": w.logged.bytes(), "the standard log": printed.bytes()}
	segments, err := filepath.Glob(filepath.Join(w.logDir(), "*.log"))
	if err != nil || len(segments) == 0 {
		w.t.Fatalf("find the segments of the log: got %v, %v", segments, err)
	}
	for _, name := range segments {
		content, err := os.ReadFile(name)
		if err != nil {
			w.t.Fatal(err)
		}
		places["the record"] = append(places["the record"], content...)
	}
	secrets := append(w.issuer.secrets(), w.agent)
	for where, content := range places {
		for _, s := range secrets {
			if bytes.Contains(content, []byte(s)) || bytes.Contains(content, []byte(base64.StdEncoding.EncodeToString([]byte(s)))) {
				w.t.Errorf("found a secret (%.12s…) in %s", s, where)
			}
		}
	}
}

func (w *world) logDir() string { return filepath.Join(w.dir, "audit") }

func (w *world) id(name string) spiffeid.ID { return w.domain.ID("agent", name) }

// token returns a JWT-SVID of an agent, for the broker unless r says otherwise.
func (w *world) token(d *trustdomain.Domain, name string, r trustdomain.JWTRequest) string {
	w.t.Helper()
	if r.Audience == nil {
		r.Audience = []string{audience}
	}
	token, err := d.JWTSVID(d.ID("agent", name), r)
	if err != nil {
		w.t.Fatal(err)
	}
	return token
}

// records returns the records that f selects, as soon as there are n of them.
func (w *world) records(f audit.Filter, n int) []audit.Record {
	w.t.Helper()
	var found []audit.Record
	w.await("records", func() bool {
		found = nil
		for r, err := range audit.Query(w.logDir(), f) {
			if err != nil {
				w.t.Fatal(err)
			}
			found = append(found, r)
		}
		return len(found) >= n
	})
	if len(found) != n {
		w.t.Errorf("records of %s of call %q: got %d, want %d", f.Kind, f.Call, len(found), n)
	}
	return found
}

// decision returns the one decision on a call.
func (w *world) decision(call string) audit.Record {
	w.t.Helper()
	return w.records(audit.Filter{Kind: audit.Decision, Call: call}, 1)[0]
}

// outcome returns the one outcome of a call.
func (w *world) outcome(call string) audit.Record {
	w.t.Helper()
	return w.records(audit.Filter{Kind: audit.Outcome, Call: call}, 1)[0]
}

// wantMetric demands a line of the broker's metrics.
func (w *world) wantMetric(line string) {
	w.t.Helper()
	text := httptest.NewRecorder()
	w.broker.Admin().ServeHTTP(text, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if !strings.Contains(text.Body.String(), line+"\n") {
		w.t.Errorf("metrics: got no line %s", line)
	}
}

// metric returns the value of a metric without labels.
func (w *world) metric(name string) (n int) {
	w.t.Helper()
	text := httptest.NewRecorder()
	w.broker.Admin().ServeHTTP(text, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	_, after, found := strings.Cut(text.Body.String(), "\n"+name+" ")
	if _, err := fmt.Sscan(after, &n); err != nil || !found {
		w.t.Fatalf("metric %s: got none, %v", name, err)
	}
	return n
}

// lastAllowed returns the newest decision that allowed a call.
func (w *world) lastAllowed() audit.Record {
	w.t.Helper()
	var last audit.Record
	for r, err := range audit.Query(w.logDir(), audit.Filter{Kind: audit.Decision, Outcome: "allow"}) {
		if err != nil {
			w.t.Fatal(err)
		}
		last = r
	}
	if last.Call == "" {
		w.t.Fatal("got no allowed decision in the log")
	}
	return last
}

// await polls until yes, and fails the test when it stays no.
func (w *world) await(what string, yes func() bool) {
	w.t.Helper()
	await(w.t, what, yes)
}

func await(t testing.TB, what string, yes func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !yes() {
		select {
		case <-deadline:
			t.Fatalf("wait for %s: got none within %s", what, patience)
		case <-tick.C:
		}
	}
}

// recv returns what comes over c, and fails the test when nothing does.
func recv[T any](t testing.TB, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("wait for %s: got none within %s", what, patience)
		panic("unreachable")
	}
}

// stated is a posture source that says what a test has it say.
type stated struct {
	mu     sync.Mutex
	facts  map[string]posture.Fact
	report func(posture.Fact)
}

func newStated() *stated { return &stated{facts: map[string]posture.Fact{}} }

// Watch implements posture.Source.
func (s *stated) Watch(ctx context.Context, report func(posture.Fact)) error {
	s.mu.Lock()
	s.report = report
	for _, f := range s.facts {
		report(f)
	}
	report(posture.Fact{})
	s.mu.Unlock()
	<-ctx.Done()
	return ctx.Err()
}

// state makes a fact known; it is in force when state returns.
func (s *stated) state(id spiffeid.ID, value string, at time.Time) {
	f := posture.Fact{Subject: id.String(), Name: "scan", Value: value, ObservedAt: at, MaxAge: time.Hour, Issuer: "scan/test"}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.facts[f.Subject] = f
	if s.report != nil {
		s.report(f)
	}
}

// waiting is an attestor that finds nothing, and takes as long over it as a test
// wants, whatever becomes of the call.
type waiting struct {
	hold  atomic.Pointer[hold]
	throw atomic.Bool // once, with a secret
}

type hold struct{ begun, free chan struct{} }

func newHold() *hold { return &hold{make(chan struct{}), make(chan struct{})} }

// Attest implements attest.Attestor.
func (w *waiting) Attest(context.Context, attest.Evidence) (attest.Identity, error) {
	if h := w.hold.Swap(nil); h != nil {
		close(h.begun)
		<-h.free
	}
	if w.throw.Swap(false) {
		panic("the client secret is " + clientSecret)
	}
	return attest.Identity{}, attest.ErrNoEvidence
}

// vouched is an attestor that takes any issuer's word for one subject, which two of
// them mean two workloads by.
type vouched struct{ subject spiffeid.ID }

// Attest implements attest.Attestor.
func (v vouched) Attest(_ context.Context, e attest.Evidence) (attest.Identity, error) {
	issuer, ok := strings.CutPrefix(e.Header.Get("Authorization"), "Vouched ")
	if !ok {
		return attest.Identity{}, attest.ErrNoEvidence
	}
	return attest.Proven(attest.Proof{ID: v.subject, Issuer: issuer, Attestor: "vouched", Expires: time.Now().Add(time.Hour)}), nil
}

// vouchedFor makes r come from the agent shop by the word of an issuer. The world
// must know the attestor: see vouching.
func vouchedFor(issuer string) func(*request) { return with("Authorization", "Vouched "+issuer) }

// vouching has the broker take the word of issuers.
func (w *world) vouching() {
	w.t.Helper()
	if err := w.change("mintmark.yaml", "  - kind: waiting\n", "  - kind: waiting\n  - kind: vouched\n"); err != nil {
		w.t.Fatal(err)
	}
}

// lockedBuffer is a bytes.Buffer for several writers.
type lockedBuffer struct {
	mu    sync.Mutex
	buf   bytes.Buffer
	taken int
}

// Write implements io.Writer.
func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) bytes() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return bytes.Clone(b.buf.Bytes())
}

func mustJSON(t testing.TB, text []byte, into any) {
	t.Helper()
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatalf("read JSON: %v in %.200q", err, text)
	}
}

// toolCall is the message of a tool call.
func toolCall(tool string) string {
	return `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"` + tool + `","arguments":{"order":"7"}}}`
}

func repeat(s string, n int) string { return strings.Repeat(s, n) }
