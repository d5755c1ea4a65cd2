//go:build e2e && ceph

package awssts_test

import (
	"crypto/x509"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"mintmark/broker/bundle"
	"mintmark/internal/fault"
	"mintmark/internal/testenv"
	"mintmark/internal/trustdomain"
	"mintmark/providers"
	"mintmark/providers/awssts"
	"mintmark/providers/internal/providertest"
)

const audience = "sts.ceph.test"

// domain is the broker's trust domain, whose issuer publishes its keys as Ceph wants
// them: each in a certificate. Neither SPIRE's discovery provider nor ours does.
type domain struct {
	*trustdomain.Domain
	url  string
	keys []jose.JSONWebKey // in certificates
}

func (d *domain) certificate() *x509.Certificate { return d.keys[0].Certificates[0] }

// newDomain starts an issuer that publishes the keys of before, and then its own.
func newDomain(t *testing.T, before ...jose.JSONWebKey) *domain {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	d := &domain{url: "http://" + server.Listener.Addr().String()}
	d.Domain = trustdomain.New("ceph.test", trustdomain.Options{Issuer: d.url})
	d.keys = testenv.Certified(t, providertest.Keys(d.Domain))
	published, err := json.Marshal(jose.JSONWebKeySet{Keys: append(before, d.keys...)})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/", d.Handler())
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(published) })
	server.Config.Handler = mux
	server.Start()
	t.Cleanup(server.Close)
	return d
}

// identitySite is a gateway that believes the broker's trust domain.
type identitySite struct {
	*cephSite
	domain   *domain
	trusting string // a trust policy, of the broker's SPIFFE ID
}

func newIdentitySite(t *testing.T) *identitySite {
	t.Helper()
	s := &identitySite{cephSite: newCephSite(t), domain: newDomain(t)}
	issuer := s.OpenID(t, s.domain.url, audience, s.domain.certificate())
	host := strings.TrimPrefix(s.domain.url, "http://")
	s.trusting = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":["` + issuer + `"]},
		"Action":["sts:AssumeRoleWithWebIdentity","sts:TagSession"],"Condition":{"StringEquals":{"` + host + `:sub":"spiffe://ceph.test/mintmark"}}}]}`
	return s
}

func (s *identitySite) open(t *testing.T, c awssts.Config, w providertest.Workload) *providertest.Rig {
	t.Helper()
	c.AccessKeyID, c.SecretAccessKey = bundle.Ref{}, bundle.Ref{}
	c.WebIdentity = &awssts.WebIdentity{Audience: audience}
	if w.Domain == nil {
		w.Domain = s.domain.Domain
	}
	r := providertest.One(t, open(t, c, providers.Env{Self: w}))
	t.Cleanup(func() { r.Stop(t) })
	return r
}

// leased returns what c leases for agentID, and until when.
func (s *identitySite) leased(t *testing.T, c awssts.Config, w providertest.Workload) (providers.Opened, time.Time) {
	t.Helper()
	r := s.open(t, c, w)
	got, _ := r.Must(t, providertest.Agent(t, agentID))
	return r.Reveal(t, got), got.NotAfter()
}

func TestCephWebIdentity(t *testing.T) {
	t.Parallel()
	s := newIdentitySite(t)
	role := s.Role(t, "reports", s.trusting, everything)
	for name, test := range map[string]func(*testing.T, *identitySite, string){
		"session":          testCephIdentity,
		"tags":             testCephTags,
		"chain":            testCephIdentityChain,
		"tokens of no use": testCephTokens,
		"the issuer's key": testCephKeys,
	} {
		t.Run(name, func(t *testing.T) { test(t, s, role) })
	}
}

// The gateway's log of operations has both, the broker and the agent.
func testCephIdentity(t *testing.T, s *identitySite, role string) {
	c := s.keyed(t, role)
	c.Policy = reportsOnly
	opened, end := s.leased(t, c, providertest.Workload{})
	if life := time.Until(end); life < 14*time.Minute || life > 15*time.Minute {
		t.Errorf("life: got %v, want 15m", life)
	}
	s.puts(t, opened, map[string]string{"reports": "", "payroll": "AccessDenied"})
	s.Operation(t, func(o testenv.CephOperation) bool {
		return o.User == "$oidc$spiffe://ceph.test/mintmark" && o.Session.Role == "$reports" && o.Session.Name == "ns,prod,sa,bot"
	})
}

// The tags of a web identity are its token's, in the form that AWS has for them.
func testCephTags(t *testing.T, s *identitySite, _ string) {
	permits := strings.ReplaceAll(everything, `"Effect"`, `"Condition":{"StringEquals":{"aws:PrincipalTag/team":"platform"}},"Effect"`)
	c := s.keyed(t, s.Role(t, "tagged", s.trusting, permits))
	for team, want := range map[string]string{"platform": "", "sales": "AccessDenied"} {
		tags := map[string]any{"https://aws.amazon.com/tags": map[string]any{"principal_tags": map[string]any{"team": []string{team}}}}
		opened, _ := s.leased(t, c, providertest.Workload{Request: trustdomain.JWTRequest{Claims: tags}})
		s.puts(t, opened, map[string]string{"reports": want})
	}
}

func testCephIdentityChain(t *testing.T, s *identitySite, role string) {
	c := s.keyed(t, s.Role(t, "last", trust("AWS", role, "sts:AssumeRole"), everything))
	c.Chain, c.Policy = []string{role}, reportsOnly
	opened, _ := s.leased(t, c, providertest.Workload{})
	s.puts(t, opened, map[string]string{"reports": "", "payroll": "AccessDenied"})
}

func testCephTokens(t *testing.T, s *identitySite, role string) {
	stranger := trustdomain.New("ceph.test", trustdomain.Options{Issuer: s.domain.url})
	for name, w := range map[string]providertest.Workload{
		"expired":          {Request: trustdomain.JWTRequest{Lifetime: -time.Minute}},
		"another audience": {Request: trustdomain.JWTRequest{Audience: []string{"another"}}},
		"another subject":  {Request: trustdomain.JWTRequest{Claims: map[string]any{"sub": "spiffe://ceph.test/other"}}},
		"another issuer":   {Request: trustdomain.JWTRequest{Claims: map[string]any{"iss": "http://127.0.0.1:1"}}},
		"no issuer":        {Request: trustdomain.JWTRequest{Claims: map[string]any{"iss": nil}}},
		"another key":      {Domain: stranger},
	} {
		r := s.open(t, s.keyed(t, role), w)
		r.Refused(t, providertest.Agent(t, agentID), fault.Internal)
		if got := r.Records(t)[0].Reason; !strings.Contains(got, "status 403 and AccessDenied") {
			t.Errorf("%s: got %q", name, got)
		}
	}
}

// Ceph 16 compares no certificate with the thumbprint that it was told, and reads the
// first of the published keys alone.
func testCephKeys(t *testing.T, s *identitySite, _ string) {
	unproven := newDomain(t)
	c := s.trusts(t, "unproven", unproven, s.domain.certificate())
	opened, _ := s.leased(t, c, providertest.Workload{Domain: unproven.Domain})
	s.puts(t, opened, map[string]string{"reports": ""})

	second := newDomain(t, unproven.keys...)
	r := s.open(t, s.trusts(t, "second", second, second.certificate()), providertest.Workload{Domain: second.Domain})
	r.Refused(t, providertest.Agent(t, agentID), fault.Internal)
}

// trusts makes a role of that name for all of a trust domain.
func (s *identitySite) trusts(t *testing.T, name string, d *domain, certificate *x509.Certificate) awssts.Config {
	t.Helper()
	issuer := s.OpenID(t, d.url, audience, certificate)
	return s.keyed(t, s.Role(t, name, trust("Federated", issuer, "sts:AssumeRoleWithWebIdentity"), everything))
}
