//go:build e2e

package vault_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"mintmark/broker/bundle"
	"mintmark/internal/fault"
	"mintmark/internal/testenv"
	"mintmark/providers"
	"mintmark/providers/internal/providertest"
	"mintmark/providers/vault"
)

const readApp = `path "secret/data/app" { capabilities = ["read"] }`

// held gives one X.509-SVID.
type held struct {
	*identity
	chain [][]byte
	key   crypto.Signer
}

func (h held) X509SVID(context.Context) ([][]byte, crypto.Signer, error) { return h.chain, h.key, nil }

// certified returns an identity that signed its own X.509-SVID, and that in PEM.
func certified(t *testing.T, id string) (self held, certificate string) {
	t.Helper()
	return certifiedAs(t, id, "broker")
}

func certifiedAs(t *testing.T, id, commonName string) (self held, certificate string) {
	t.Helper()
	i := newIdentity(t, id)
	uri, err := url.Parse(id)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: commonName}, URIs: []*url.URL{uri},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, i.key.Public(), i.key)
	if err != nil {
		t.Fatal(err)
	}
	return held{i, [][]byte{der}, i.key}, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func TestCertificateLogin(t *testing.T) {
	t.Parallel()
	bao := testenv.OpenBaoTLS(t)
	bao.PutKV(t, "app", map[string]any{"key": canary})
	bao.PutPolicy(t, "reader", readApp)
	self, trusted := certified(t, brokerID)
	stranger, _ := certified(t, brokerID)
	bao.EnableAuth(t, "cert")
	bao.Write(t, "auth/cert/certs/mintmark", map[string]any{"certificate": trusted, "allowed_uri_sans": brokerID, "token_policies": "reader", "token_ttl": "1m"})
	der, err := x509.MarshalPKCS8PrivateKey(self.key)
	if err != nil {
		t.Fatal(err)
	}
	private := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	_, foreign := certified(t, brokerID)
	nameless, certificate := certifiedAs(t, brokerID, "")
	bao.Write(t, "auth/cert/certs/nameless", map[string]any{"certificate": certificate, "token_policies": "reader"})
	files := &vault.Cert{Role: "mintmark", Certificate: file(t, trusted), Key: file(t, private)}
	own := &vault.Cert{}
	const refused = "the credential provider refused the broker"
	tests := map[string]struct {
		self   providers.IdentitySource
		cert   *vault.Cert
		change func(*vault.Config)
		hint   string
	}{
		"own SVID":             {self, own, nil, ""},
		"own SVID, named role": {self, &vault.Cert{Role: "mintmark"}, nil, ""},
		"files":                {nil, files, nil, ""},
		"server's other name":  {self, own, func(c *vault.Config) { c.ServerName = "localhost" }, ""},
		"another's SVID":       {stranger, own, nil, refused},
		"no common name":       {nameless, &vault.Cert{Role: "nameless"}, nil, "vault takes no certificate without a common name"},
		"no such role":         {self, &vault.Cert{Role: "other"}, nil, refused},
		"key of another":       {nil, &vault.Cert{Certificate: file(t, foreign), Key: file(t, private)}, nil, "the broker cannot read its own secret for the credential provider"},
		"no SVID":              {newIdentity(t, brokerID), own, nil, "the broker has no identity to show to vault"},
		"server of that name":  {self, own, func(c *vault.Config) { c.ServerName = "other.test" }, "vault shows a certificate for another name"},
		"roots of another":     {self, own, func(c *vault.Config) { c.CA = file(t, trusted) }, "vault shows a certificate that the configured roots do not vouch for"},
		"system roots":         {self, own, func(c *vault.Config) { c.CA = "" }, "vault shows a certificate that the configured roots do not vouch for"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := vault.Config{Address: providertest.URL(t, bao.Addr), CA: bundle.Path(bao.CA), Auth: vault.Auth{Cert: tt.cert}, KV2: &vault.KV{Path: "app", Field: "key"}}
			if tt.change != nil {
				tt.change(&c)
			}
			r := providertest.One(t, open(t, c, providers.Env{Self: tt.self}), canary, private)
			defer r.Stop(t)
			leased, _, err := r.Lease(t.Context(), "db", providers.Request{})
			if fault.HintOf(err) != tt.hint || (err == nil) != (tt.hint == "") {
				t.Fatalf("got %v, want hint %q", err, tt.hint)
			}
			if err == nil && r.Reveal(t, leased).Token() != canary {
				t.Error("got another token than the secret's")
			}
		})
	}
}

func TestWrappedSecretIDLogsInOnce(t *testing.T) {
	t.Parallel()
	bao := testenv.OpenBao(t)
	bao.PutKV(t, "app", map[string]any{"key": canary})
	bao.PutPolicy(t, "reader", readApp)
	bao.EnableAuth(t, "approle")
	for _, role := range []string{"mintmark", "other"} {
		bao.Write(t, "auth/approle/role/"+role, map[string]any{"token_policies": "reader", "token_ttl": "1m"})
	}
	answer, err := bao.Client(t).Logical().ReadWithContext(t.Context(), "auth/approle/role/mintmark/role-id")
	if err != nil {
		t.Fatal(err)
	}
	id, _ := answer.Data["role_id"].(string)
	wrap := func(role string) string {
		return bao.Wrap(t, "auth/approle/role/"+role+"/secret-id", map[string]any{})
	}
	opened := func(wrapping string) (*providertest.Rig, providers.Provider) {
		c := vault.Config{Address: providertest.URL(t, bao.Addr), KV2: &vault.KV{Path: "app", Field: "key"},
			Auth: vault.Auth{AppRole: &vault.AppRole{Role: "mintmark", RoleID: providertest.Ref(t, id), WrappedSecretID: providertest.Ref(t, wrapping)}}}
		p := open(t, c, providers.Env{})
		return providertest.One(t, p, canary, wrapping), p
	}

	wrapping := wrap("mintmark")
	r, p := opened(wrapping)
	leased, _ := r.Must(t, providers.Request{})
	if got := r.Reveal(t, leased); got.Token() != canary {
		t.Error("got another token than the secret's")
	}
	// A later login has the secret-id in memory.
	bao.Write(t, "sys/leases/revoke-prefix/auth/approle/login", map[string]any{"sync": true})
	if _, err := p.Mint(t.Context(), providers.Request{}); err != nil {
		t.Errorf("login with the secret-id that was unwrapped: %v", err)
	}
	r.Stop(t)

	foreign, forged := wrap("other"), bao.Wrap(t, "sys/wrapping/wrap", map[string]any{"secret_id": canary})
	const spent = "the broker's one-time secret for vault is spent or not genuine"
	for name, wrapping := range map[string]string{"used before": wrapping, "of another role": foreign, "made up": forged, "unknown": canary} {
		r, _ := opened(wrapping)
		if hint := r.Refused(t, providers.Request{}, fault.Internal); hint != spent {
			t.Errorf("%s: got %q, want %q", name, hint, spent)
		}
		if reason := r.Records(t)[0].Reason; !strings.Contains(reason, "intercepted") && !strings.Contains(reason, "replaced") {
			t.Errorf("%s: got reason %q, want one that says what may have happened", name, reason)
		}
		r.Stop(t)
	}
	// What was refused unread is not spent: its owner can still use it.
	if _, err := bao.Client(t).Logical().UnwrapWithContext(t.Context(), foreign); err != nil {
		t.Errorf("unwrap the other role's: %v", err)
	}
}

// reviewer answers TokenReviews as a Kubernetes API server does.
func reviewer(t *testing.T, good string) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var review struct {
			Spec struct{ Token string } `json:"spec"`
		}
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
			t.Errorf("read review: %v", err)
		}
		status := map[string]any{"authenticated": false, "error": "unknown"}
		if review.Spec.Token == good {
			status = map[string]any{"authenticated": true, "audiences": []string{"vault"}, "user": map[string]any{"username": "system:serviceaccount:prod:mintmark", "uid": "1", "groups": []string{"system:serviceaccounts"}}}
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		_ = json.NewEncoder(w).Encode(map[string]any{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "status": status})
	}))
	t.Cleanup(s.Close)
	return s
}

func TestKubernetesLogin(t *testing.T) {
	t.Parallel()
	bao, self := testenv.OpenBao(t), newIdentity(t, "system:serviceaccount:prod:mintmark")
	bao.PutKV(t, "app", map[string]any{"key": canary})
	bao.PutPolicy(t, "reader", readApp)
	serviceAccount := serviceAccountToken(t, self.key)
	cluster := reviewer(t, serviceAccount)
	_, authority := certified(t, brokerID) // wanted, though the double has no TLS
	bao.EnableAuth(t, "kubernetes")
	bao.Write(t, "auth/kubernetes/config", map[string]any{"kubernetes_host": cluster.URL, "kubernetes_ca_cert": authority, "disable_local_ca_jwt": true})
	bao.Write(t, "auth/kubernetes/role/mintmark", map[string]any{
		"bound_service_account_names": "mintmark", "bound_service_account_namespaces": "prod", "token_policies": "reader", "token_ttl": "1m", "audience": "vault"})
	token := file(t, serviceAccount+"\n")
	c := vault.Config{Address: providertest.URL(t, bao.Addr), KV2: &vault.KV{Path: "app", Field: "key"},
		Auth: vault.Auth{Kubernetes: &vault.Kubernetes{Role: "mintmark", TokenFile: token}}}
	r := providertest.One(t, open(t, c, providers.Env{}), canary, serviceAccount)
	leased, _ := r.Must(t, providers.Request{})
	if got := r.Reveal(t, leased); got.Token() != canary {
		t.Error("got another token than the secret's")
	}
	r.Stop(t)

	// The file is read for each login.
	other := serviceAccountToken(t, self.key)
	if err := os.WriteFile(string(token), []byte(other), 0o600); err != nil {
		t.Fatal(err)
	}
	r = providertest.One(t, open(t, c, providers.Env{}), canary, other)
	defer r.Stop(t)
	if hint := r.Refused(t, providers.Request{}, fault.Internal); hint != "the credential provider refused the broker" {
		t.Errorf("token that the cluster does not know: got %q", hint)
	}
}

func serviceAccountToken(t *testing.T, key *ecdsa.PrivateKey) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, nil)
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.Signed(signer).Claims(map[string]any{
		"iss": "https://kubernetes.default.svc", "sub": "system:serviceaccount:prod:mintmark", "aud": []string{"vault"}, "jti": rand.Text(),
		"iat": time.Now().Unix(), "nbf": time.Now().Add(-time.Minute).Unix(), "exp": time.Now().Add(time.Hour).Unix(),
		"kubernetes.io": map[string]any{"namespace": "prod", "serviceaccount": map[string]any{"name": "mintmark", "uid": "1"}},
	}).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}
