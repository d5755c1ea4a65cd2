//go:build e2e && kubernetes

package kubernetestoken_test

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"mintmark/attest/trust"
	"mintmark/broker/bundle"
	"mintmark/internal/fault"
	"mintmark/internal/testenv"
	"mintmark/internal/trustdomain"
	"mintmark/providers"
	"mintmark/providers/internal/providertest"
	"mintmark/providers/kubernetestoken"
)

func testCA(t *testing.T, c cluster) {
	stranger := trustdomain.New("kubernetes.test", trustdomain.Options{}).Bundle().X509Authorities()[0]
	path := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: stranger.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, ca := range []string{"", path} {
		config := c.config(t)
		config.CA = bundle.Path(ca)
		r := providertest.One(t, open(t, config, providers.Env{}))
		if hint := r.Refused(t, providers.Request{}, fault.Unavailable); hint != "kubernetes shows a certificate that the configured roots do not vouch for" {
			t.Errorf("roots %q: got %q", ca, hint)
		}
		r.Stop(t)
	}
}

// own is a broker's identity in the cluster's domain.
type own struct {
	domain     *trustdomain.Domain
	commonName string
}

func (o own) X509SVID(context.Context) ([][]byte, crypto.Signer, error) {
	svid, err := o.domain.X509SVID(o.domain.ID("broker"), trustdomain.X509Request{Alter: func(c *x509.Certificate) { c.Subject.CommonName = o.commonName }})
	if err != nil {
		return nil, nil, err
	}
	return [][]byte{svid.Certificates[0].Raw}, svid.PrivateKey, nil
}

func (o own) JWTSVID(_ context.Context, audience string) (string, error) {
	return o.domain.JWTSVID(o.domain.ID("broker"), trustdomain.JWTRequest{Audience: []string{audience}})
}

// A SPIFFE identity of the broker's own in place of a token.
func (c cluster) asOwn(t *testing.T, auth kubernetestoken.Auth, self own, cause string) {
	t.Helper()
	config := c.config(t)
	config.Auth, config.Audiences = auth, []string{"vault"}
	credential, err := open(t, config, providers.Env{Self: self}).Mint(t.Context(), providers.Request{})
	providertest.CheckAnswer(t, credential, err, "")
	if cause == "" && err != nil || cause != "" && (err == nil || !strings.Contains(err.Error(), cause)) {
		t.Errorf("%q: got %v, want %q", self.commonName, err, cause)
	}
}

func testCertificate(t *testing.T, c cluster) {
	c.AllowTokens(t, "shop", "orders", "mintmark.kubernetes.test")
	auth := kubernetestoken.Auth{Certificate: true}
	stranger := trustdomain.New("kubernetes.test", trustdomain.Options{})
	c.asOwn(t, auth, own{c.Domain, "mintmark.kubernetes.test"}, "")
	c.asOwn(t, auth, own{c.Domain, "other.kubernetes.test"}, "status 403: the broker's user needs the verb create")
	c.asOwn(t, auth, own{stranger, "mintmark.kubernetes.test"}, "status 401: compare auth")
	c.asOwn(t, auth, own{c.Domain, ""}, "status 403: the API server saw no user: the broker's X.509-SVID needs a common name")
}

// What SPIRE issues is shown as it is: its common name is the entry's first DNS name.
func TestClusterKnowsTheSVIDOfTheRealSPIRE(t *testing.T) {
	spire := testenv.SPIRE(t, testenv.SPIREOptions{})
	id := spiffeid.RequireFromString("spiffe://example.org/mintmark")
	spire.RegisterDNS(t, id.String(), "mintmark.example.org")
	self, err := trust.Open(t.Context(), bundle.Trust{WorkloadAPI: spire.Addr}, id.TrustDomain(), trust.Options{Wait: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = self.Close() })
	authorities, err := spiffebundle.Parse(id.TrustDomain(), spire.Bundle(t))
	if err != nil {
		t.Fatal(err)
	}
	var roots strings.Builder
	for _, root := range authorities.X509Authorities() {
		roots.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Raw}))
	}
	k := testenv.Kubernetes(t, roots.String())
	k.Namespace(t, "shop", "orders")
	config := kubernetestoken.Config{Address: providertest.URL(t, k.Addr), CA: bundle.Path(k.CA), Namespace: "shop", ServiceAccount: "orders",
		Audiences: []string{"vault"}, Auth: kubernetestoken.Auth{Certificate: true}}
	p := open(t, config, providers.Env{Self: self})
	if _, err := p.Mint(t.Context(), providers.Request{}); err == nil || !strings.Contains(err.Error(), "the broker's user needs the verb create") {
		t.Errorf("without a right: got %v, want it named", err)
	}
	k.AllowTokens(t, "shop", "orders", "mintmark.example.org")
	r := providertest.One(t, p)
	defer r.Stop(t)
	leased, _ := r.Must(t, providers.Request{})
	if got := k.Review(t, r.Reveal(t, leased).Token(), "vault"); got.User.Username != ordersUser {
		t.Errorf("review: got %+v, want %s", got, ordersUser)
	}
}

func testJWT(t *testing.T, c cluster) {
	c.AllowTokens(t, "shop", "orders", c.Domain.ID("broker").String())
	stranger := trustdomain.New("kubernetes.test", trustdomain.Options{})
	c.asOwn(t, kubernetestoken.Auth{JWT: &kubernetestoken.JWT{Audience: "kubernetes"}}, own{c.Domain, ""}, "")
	c.asOwn(t, kubernetestoken.Auth{JWT: &kubernetestoken.JWT{Audience: "vault"}}, own{c.Domain, ""}, "status 401: compare auth")
	c.asOwn(t, kubernetestoken.Auth{JWT: &kubernetestoken.JWT{Audience: "kubernetes"}}, own{stranger, ""}, "status 401: compare auth")
}
