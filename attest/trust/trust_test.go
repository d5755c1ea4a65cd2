package trust_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"

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
