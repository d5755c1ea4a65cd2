package trust_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/proto/spiffe/workload"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"mintmark/attest/trust"
	"mintmark/broker/bundle"
	"mintmark/internal/trustdomain"
)

// journal is a log that tests read while it is written.
type journal struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.Write(p)
}

func (j *journal) count(message string) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Count(j.buf.String(), message)
}

func options(j *journal) trust.Options {
	return trust.Options{Logger: slog.New(slog.NewTextHandler(j, nil)), Poll: 5 * time.Millisecond}
}

func open(t *testing.T, config bundle.Trust, td spiffeid.TrustDomain, o trust.Options) *trust.Trust {
	t.Helper()
	tr, err := trust.Open(t.Context(), config, td, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tr.Close(); err != nil {
			t.Error(err)
		}
	})
	return tr
}

func serve(t *testing.T, d *trustdomain.Domain) *trustdomain.WorkloadAPI {
	t.Helper()
	return serveAt(t, d, filepath.Join(t.TempDir(), "api.sock"))
}

func serveAt(t *testing.T, d *trustdomain.Domain, path string) *trustdomain.WorkloadAPI {
	t.Helper()
	api, err := d.ServeWorkloadAPI(t.Context(), path, d.ID("broker"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = api.Close() })
	return api
}

// eventually polls until ok, for as long as no slow machine needs.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("not within 20s: %s", what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// believes reports whether tr verifies what d issues now, in both forms.
func believes(t *testing.T, tr *trust.Trust, d *trustdomain.Domain) bool {
	t.Helper()
	svid, err := d.X509SVID(d.ID("agent"), trustdomain.X509Request{})
	if err != nil {
		t.Fatal(err)
	}
	token, err := d.JWTSVID(d.ID("agent"), trustdomain.JWTRequest{Audience: []string{"a"}})
	if err != nil {
		t.Fatal(err)
	}
	_, _, byCert := x509svid.Verify(svid.Certificates, tr)
	_, byToken := jwtsvid.ParseAndValidate(token, tr, []string{"a"})
	return byCert == nil && byToken == nil
}

func TestWorkloadAPI(t *testing.T) {
	domain := trustdomain.New("example.org", trustdomain.Options{})
	tr := open(t, bundle.Trust{WorkloadAPI: serve(t, domain).Addr()}, domain.TrustDomain(), trust.Options{})
	if !believes(t, tr, domain) || !tr.HasIdentity() {
		t.Errorf("believes its domain: %v, has an identity: %v, want both", believes(t, tr, domain), tr.HasIdentity())
	}
	svid, err := tr.GetX509SVID()
	if err != nil || svid.ID != domain.ID("broker") {
		t.Errorf("own X.509-SVID: got %v, %v", svid, err)
	}
	chain, key, err := tr.X509SVID(t.Context())
	if err != nil || len(chain) != len(svid.Certificates) || !bytes.Equal(chain[0], svid.Certificates[0].Raw) || key != svid.PrivateKey {
		t.Errorf("own chain and key: got %d certificates, %v, want those of the X.509-SVID", len(chain), err)
	}
	token, err := tr.JWTSVID(t.Context(), "vault")
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := jwtsvid.ParseAndValidate(token, domain.Bundle(), []string{"vault"})
	if err != nil || parsed.ID != domain.ID("broker") || !slices.Equal(parsed.Audience, []string{"vault"}) {
		t.Errorf("own JWT-SVID: got %v, %v", parsed, err)
	}
	if again, err := tr.JWTSVID(t.Context(), "vault"); err != nil || again != token {
		t.Errorf("own JWT-SVID again: got another one or %v", err)
	}
	if believes(t, tr, trustdomain.New("example.org", trustdomain.Options{})) {
		t.Error("believes a stranger of the same name")
	}
}

func TestBundleChangesAreFollowedAndCounted(t *testing.T) {
	domain := trustdomain.New("example.org", trustdomain.Options{})
	partner := trustdomain.New("partner.example", trustdomain.Options{})
	tr := open(t, bundle.Trust{WorkloadAPI: serve(t, domain).Addr()}, domain.TrustDomain(), trust.Options{})
	before := tr.Generation()
	domain.Rotate(trustdomain.KeepOld)
	eventually(t, "the new keys", func() bool { return believes(t, tr, domain) })
	if got := tr.Generation(); got <= before {
		t.Errorf("generation after new keys: got %d, want more than %d", got, before)
	}
	if believes(t, tr, partner) {
		t.Error("believes a domain it does not federate with")
	}
	domain.Federate(partner)
	eventually(t, "the partner", func() bool { return believes(t, tr, partner) })
	if got := fmt.Sprint(tr.TrustDomains()); got != "[example.org partner.example]" {
		t.Errorf("trust domains: got %s", got)
	}
}

// The broker's own token is of no use once its key is taken away, though half of its
// life is still to come; a key that comes beside it changes nothing.
func TestOwnTokenIsByAKeyOfItsDomain(t *testing.T) {
	domain := trustdomain.New("example.org", trustdomain.Options{})
	tr := open(t, bundle.Trust{WorkloadAPI: serve(t, domain).Addr()}, domain.TrustDomain(), trust.Options{})
	own := func() string {
		token, err := tr.JWTSVID(t.Context(), "vault")
		if err != nil {
			t.Error(err)
		}
		return token
	}
	first := own()
	domain.Rotate(trustdomain.KeepOld)
	eventually(t, "the new keys", func() bool { return believes(t, tr, domain) })
	if own() != first {
		t.Error("a key beside the old one: got another token, want the same")
	}
	domain.Rotate(trustdomain.DropOld)
	eventually(t, "the new keys alone", func() bool { return believes(t, tr, domain) })
	if _, err := jwtsvid.ParseAndValidate(own(), domain.Bundle(), []string{"vault"}); err != nil {
		t.Errorf("got a token that its domain does not know: %v", err)
	}
}

func TestRenewedSVIDChangesNoGeneration(t *testing.T) {
	domain := trustdomain.New("example.org", trustdomain.Options{X509Lifetime: 2 * time.Second})
	tr := open(t, bundle.Trust{WorkloadAPI: serve(t, domain).Addr()}, domain.TrustDomain(), trust.Options{})
	var first *x509svid.SVID
	eventually(t, "an SVID that has not expired", func() (ok bool) {
		var err error
		first, err = tr.GetX509SVID()
		return err == nil
	})
	before := tr.Generation()
	eventually(t, "another SVID", func() bool {
		next, err := tr.GetX509SVID()
		return err == nil && !next.Certificates[0].Equal(first.Certificates[0])
	})
	if got := tr.Generation(); got != before {
		t.Errorf("generation: got %d, want %d still", got, before)
	}
}

func TestExpiredOwnSVIDIsNotServed(t *testing.T) {
	domain := trustdomain.New("example.org", trustdomain.Options{})
	o := trust.Options{Clock: func() time.Time { return time.Now().Add(2 * time.Hour) }}
	tr := open(t, bundle.Trust{WorkloadAPI: serve(t, domain).Addr()}, domain.TrustDomain(), o)
	if svid, err := tr.GetX509SVID(); err == nil || svid != nil || !strings.Contains(err.Error(), "expired at") {
		t.Errorf("got %v, %v, want an error", svid, err)
	}
}

func TestLostWorkloadAPIKeepsItsLastBundles(t *testing.T) {
	domain := trustdomain.New("example.org", trustdomain.Options{})
	path := filepath.Join(t.TempDir(), "api.sock")
	api, log := serveAt(t, domain, path), new(journal)
	tr := open(t, bundle.Trust{WorkloadAPI: api.Addr()}, domain.TrustDomain(), options(log))
	if err := api.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the outage in the log", func() bool { return log.count("does not answer") == 2 }) // one for each stream
	if !believes(t, tr, domain) {
		t.Error("the last bundles are gone")
	}
	domain.Rotate(trustdomain.DropOld)
	if believes(t, tr, domain) {
		t.Error("believes keys it cannot know")
	}
	serveAt(t, domain, path)
	eventually(t, "the new keys", func() bool { return believes(t, tr, domain) })
	eventually(t, "the recovery in the log", func() bool { return log.count("answers again") == 2 })
	if got := log.count("does not answer"); got != 2 {
		t.Errorf("outage logged %d times, want once for each stream", got)
	}
}

func TestWorkloadAPIThatDoesNotAnswer(t *testing.T) {
	td := spiffeid.RequireTrustDomainFromString("example.org")
	// Where there is an answer to wait for, it must come in time on a slow machine too.
	const patient = 4 * time.Second
	for name, tt := range map[string]struct {
		listen func(t *testing.T, path string)
		wait   time.Duration
		want   string
	}{
		"no socket": {func(*testing.T, string) {}, patient, "no such file or directory\"; is the agent running?"},
		"silent":    {listenSilently, 400 * time.Millisecond, "no answer yet"},
		"unregistered": {func(t *testing.T, path string) { refuseEverybody(t, path) }, patient,
			"no identity issued; is this process registered as a workload?"},
		"other domain": {func(t *testing.T, path string) {
			serveAt(t, trustdomain.New("other.example", trustdomain.Options{}), path)
		}, patient,
			"an SVID for spiffe://other.example/broker, want one in trust domain example.org: compare trust_domain"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path, log := filepath.Join(t.TempDir(), "api.sock"), new(journal)
			tt.listen(t, path)
			o := options(log)
			o.Wait = tt.wait
			tr, err := trust.Open(t.Context(), bundle.Trust{WorkloadAPI: "unix://" + path}, td, o)
			want := "expected a SPIFFE Workload API at unix://" + path + " within " + tt.wait.String() + ", got: "
			if name == "other domain" { // which no wait changes
				want = "the SPIFFE Workload API at unix://" + path + " answered, got: "
			}
			if err == nil || tr != nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q and %q", err, want, tt.want)
			}
			if log.count("waiting for the Workload API") == 0 && name != "other domain" {
				t.Error("the wait is not in the log")
			}
		})
	}
}

// Who ends the wait is not told that the time is over, and does not wait for that.
func TestWorkloadAPIWaitIsStopped(t *testing.T) {
	for name, waits := range map[string]bool{"before it begins": false, "while it waits": true} {
		t.Run(name, func(t *testing.T) {
			ctx, stop := context.WithCancel(t.Context())
			path, log := filepath.Join(t.TempDir(), "api.sock"), new(journal)
			listenSilently(t, path)
			o := options(log)
			o.Wait = time.Hour
			if !waits {
				stop()
			}
			ended := make(chan error, 1)
			go func() {
				_, err := trust.Open(ctx, bundle.Trust{WorkloadAPI: "unix://" + path}, spiffeid.RequireTrustDomainFromString("example.org"), o)
				ended <- err
			}()
			eventually(t, "it says that it waits", func() bool { return !waits || log.count("waiting for the Workload API") > 0 })
			stop()
			select {
			case err := <-ended:
				if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "stopped while waiting for the SPIFFE Workload API") || strings.Contains(err.Error(), "within") {
					t.Errorf("got %v, want that it was stopped", err)
				}
			case <-time.After(time.Minute):
				t.Error("it waits on, want an end at once: the wait is an hour")
			}
		})
	}
}

// An agent that starts after the broker is waited for, and the log says when it is there.
func TestWorkloadAPIThatComesLate(t *testing.T) {
	domain, path, log := trustdomain.New("example.org", trustdomain.Options{}), filepath.Join(t.TempDir(), "api.sock"), new(journal)
	o := options(log)
	o.Wait = time.Minute
	opened := make(chan error, 1)
	go func() {
		tr, err := trust.Open(t.Context(), bundle.Trust{WorkloadAPI: "unix://" + path}, domain.TrustDomain(), o)
		if err == nil {
			err = tr.Close()
		}
		opened <- err
	}()
	eventually(t, "the wait in the log", func() bool { return log.count("waiting for the Workload API") > 0 })
	if log.count("failures=") == 0 {
		t.Error("the log does not say how often it was tried")
	}
	serveAt(t, domain, path)
	if err := <-opened; err != nil {
		t.Fatal(err)
	}
	if got := log.count("the Workload API answers"); got != 1 {
		t.Errorf("the end of the wait logged %d times, want once", got)
	}
}

// listenSilently accepts connections and says nothing.
func listenSilently(t *testing.T, path string) {
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
}

// refuseEverybody is an agent that knows no workload.
func refuseEverybody(t *testing.T, path string) {
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	workload.RegisterSpiffeWorkloadAPIServer(server, strict{})
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-done; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			t.Error(err)
		}
	})
}

type strict struct {
	workload.UnimplementedSpiffeWorkloadAPIServer
}

func (strict) FetchX509SVID(*workload.X509SVIDRequest, grpc.ServerStreamingServer[workload.X509SVIDResponse]) error {
	return status.Error(codes.PermissionDenied, "no identity issued")
}

func (strict) FetchJWTBundles(*workload.JWTBundlesRequest, grpc.ServerStreamingServer[workload.JWTBundlesResponse]) error {
	return status.Error(codes.PermissionDenied, "no identity issued")
}

func writeBundle(t *testing.T, d *trustdomain.Domain, path string) {
	t.Helper()
	content, err := d.MarshalBundle()
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, path, string(content))
}

// writeFile replaces path in one step, as a careful tool does.
func writeFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func fileTrust(d *trustdomain.Domain, path string) bundle.Trust {
	return bundle.Trust{Bundles: []bundle.TrustBundle{{TrustDomain: d.TrustDomain(), File: bundle.Path(path)}}}
}

func TestBundleFileIsFollowed(t *testing.T) {
	domain, path, log := trustdomain.New("example.org", trustdomain.Options{}), filepath.Join(t.TempDir(), "bundle.json"), new(journal)
	writeBundle(t, domain, path)
	tr := open(t, fileTrust(domain, path), domain.TrustDomain(), options(log))
	if !believes(t, tr, domain) {
		t.Error("does not believe the file")
	}
	before := tr.Generation()
	domain.Rotate(trustdomain.DropOld)
	writeBundle(t, domain, path)
	eventually(t, "the new keys", func() bool { return believes(t, tr, domain) })
	if got := tr.Generation(); got != before+1 {
		t.Errorf("generation: got %d, want %d", got, before+1)
	}
	writeFile(t, path, `{"keys": []}`)
	eventually(t, "the end of all trust", func() bool { return !believes(t, tr, domain) })
}

func TestBadBundleFileChangesNothing(t *testing.T) {
	domain, path, log := trustdomain.New("example.org", trustdomain.Options{}), filepath.Join(t.TempDir(), "bundle.json"), new(journal)
	writeBundle(t, domain, path)
	tr := open(t, fileTrust(domain, path), domain.TrustDomain(), options(log))
	before := tr.Generation()
	spoil := map[string]func(){
		"no bundle":          func() { writeFile(t, path, `{"keys": [`) },
		"gone":               func() { _ = os.Remove(path) },
		"writable by others": func() { _ = os.Chmod(path, 0o666) },
	}
	bad := 0
	for name, f := range spoil {
		f()
		bad++
		eventually(t, name+" in the log", func() bool { return log.count("trust bundle file is bad") == bad })
		if !believes(t, tr, domain) || tr.Generation() != before {
			t.Errorf("%s: believes %v in generation %d, want true in %d", name, believes(t, tr, domain), tr.Generation(), before)
		}
		writeBundle(t, domain, path)
		eventually(t, "the file's recovery in the log", func() bool { return log.count("good again") == bad })
	}
}

func TestTrustDomainWithAFileIsBelievedFromItAlone(t *testing.T) {
	domain, path := trustdomain.New("example.org", trustdomain.Options{}), filepath.Join(t.TempDir(), "partner.json")
	partner, impostor := trustdomain.New("partner.example", trustdomain.Options{}), trustdomain.New("partner.example", trustdomain.Options{})
	domain.Federate(impostor)
	writeBundle(t, partner, path)
	config := fileTrust(partner, path)
	config.WorkloadAPI = serve(t, domain).Addr()
	tr := open(t, config, domain.TrustDomain(), trust.Options{})
	if !believes(t, tr, domain) || !believes(t, tr, partner) {
		t.Error("does not believe the Workload API and the file")
	}
	if believes(t, tr, impostor) {
		t.Error("believes the Workload API about a domain that has a file")
	}
}

func TestOpenRefusesBadFiles(t *testing.T) {
	domain := trustdomain.New("example.org", trustdomain.Options{})
	for name, tt := range map[string]struct{ content, want string }{
		"no JSON":      {"hello", "got no SPIFFE bundle"},
		"no authority": {`{"keys": []}`, "got no authority of example.org"},
		"too large":    {strings.Repeat(" ", 1<<20+1), "want at most that"},
	} {
		path := filepath.Join(t.TempDir(), "bundle.json")
		writeFile(t, path, tt.content)
		if tr, err := trust.Open(t.Context(), fileTrust(domain, path), domain.TrustDomain(), trust.Options{}); err == nil || tr != nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, %v, want an error with %q", name, tr, err, tt.want)
		}
	}
	absent := fileTrust(domain, filepath.Join(t.TempDir(), "bundle.json"))
	if tr, err := trust.Open(t.Context(), absent, domain.TrustDomain(), trust.Options{}); err == nil || tr != nil || !strings.Contains(err.Error(), "expected the bundle of example.org") {
		t.Errorf("no file: got %v, %v, want an error that says what is expected there", tr, err)
	}
	if tr, err := trust.Open(t.Context(), bundle.Trust{}, domain.TrustDomain(), trust.Options{}); err == nil || tr != nil {
		t.Errorf("no source: got %v, %v, want an error", tr, err)
	}
}

func TestWithoutWorkloadAPIThereIsNoIdentity(t *testing.T) {
	domain, path := trustdomain.New("example.org", trustdomain.Options{}), filepath.Join(t.TempDir(), "bundle.json")
	writeBundle(t, domain, path)
	tr := open(t, fileTrust(domain, path), domain.TrustDomain(), trust.Options{})
	if tr.HasIdentity() {
		t.Error("has an identity from nowhere")
	}
	if svid, err := tr.GetX509SVID(); err == nil || svid != nil {
		t.Errorf("X.509-SVID: got %v, %v, want an error", svid, err)
	}
	for name, source := range map[string]*trust.Trust{"without one": tr, "no trust at all": nil} {
		if token, err := source.JWTSVID(t.Context(), "vault"); err == nil || token != "" {
			t.Errorf("%s: JWT-SVID: got %v, want an error", name, err)
		}
		if chain, key, err := source.X509SVID(t.Context()); err == nil || chain != nil || key != nil {
			t.Errorf("%s: chain and key: got %d certificates, a key %t and %v, want an error", name, len(chain), key != nil, err)
		}
	}
}

func TestCloseTwice(t *testing.T) {
	domain := trustdomain.New("example.org", trustdomain.Options{})
	tr := open(t, bundle.Trust{WorkloadAPI: serve(t, domain).Addr()}, domain.TrustDomain(), trust.Options{})
	for range 2 {
		if err := tr.Close(); err != nil {
			t.Error(err)
		}
	}
	if !believes(t, tr, domain) {
		t.Error("what was known is not readable after Close")
	}
}
