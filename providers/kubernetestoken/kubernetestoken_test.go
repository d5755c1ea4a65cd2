package kubernetestoken_test

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"mintmark/broker/bundle"
	"mintmark/internal/fault"
	"mintmark/internal/trustdomain"
	"mintmark/providers"
	"mintmark/providers/internal/providertest"
	"mintmark/providers/kubernetestoken"
)

const (
	issued = "canary-5f1d7c-issued"
	ours   = "canary-5f1d7c-ours"
)

func config(t testing.TB, api http.Handler) kubernetestoken.Config {
	return kubernetestoken.Config{
		Address: providertest.URL(t, providertest.Serve(t, api)), Namespace: "shop", ServiceAccount: "orders.v1",
		Auth: kubernetestoken.Auth{Token: providertest.Ref(t, ours)},
	}
}

func open(t testing.TB, c kubernetestoken.Config, env providers.Env) providers.Provider {
	t.Helper()
	if got := providertest.Faults(c); len(got) > 0 {
		t.Fatalf("config: got faults %v, want none", got)
	}
	p, err := kubernetestoken.Open(c, env)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// apiServer is a double of the one endpoint.
type apiServer struct {
	end        time.Time
	path, body string
	auth, user string
}

func (a *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	content, _ := io.ReadAll(r.Body)
	a.path, a.body, a.auth = r.URL.Path, string(content), r.Header.Get("Authorization")
	if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
		a.user = r.TLS.PeerCertificates[0].URIs[0].String()
	}
	providertest.Answer(201, "application/json", `{"kind":"TokenRequest","apiVersion":"authentication.k8s.io/v1","metadata":{"name":"orders.v1","creationTimestamp":"2026-01-01T00:00:00Z"},`+
		`"spec":{"audiences":["vault"],"expirationSeconds":600,"boundObjectRef":null},"status":{"token":"`+issued+`","expirationTimestamp":"`+a.end.UTC().Format(time.RFC3339)+`"}}`)(w, r)
}

func newAPIServer() *apiServer {
	return &apiServer{end: time.Now().Add(10 * time.Minute).Truncate(time.Second)}
}

func TestTokens(t *testing.T) {
	api := newAPIServer()
	c := config(t, api)
	c.Audiences, c.TTL.Duration = []string{"vault"}, 10*time.Minute
	c.BoundObject = &kubernetestoken.BoundObject{Kind: "Pod", Name: "mintmark-0", UID: "u-1"}
	r := providertest.One(t, open(t, c, providers.Env{}), issued, ours)
	leased, _ := r.Must(t, providers.Request{})
	if got := r.Reveal(t, leased).Token(); got != issued || api.auth != "Bearer "+ours {
		t.Errorf("token: got %q for %q", got, api.auth)
	}
	if api.path != "/api/v1/namespaces/shop/serviceaccounts/orders.v1/token" {
		t.Errorf("path: got %s", api.path)
	}
	if want := `{"apiVersion":"authentication.k8s.io/v1","kind":"TokenRequest","spec":{"audiences":["vault"],"expirationSeconds":600,` +
		`"boundObjectRef":{"kind":"Pod","apiVersion":"v1","name":"mintmark-0","uid":"u-1"}}}`; api.body != want {
		t.Errorf("request: got %s, want %s", api.body, want)
	}
	if !leased.NotAfter().Equal(api.end) || !slices.Equal(leased.Scopes(), []string{"system:serviceaccount:shop:orders.v1"}) {
		t.Errorf("terms: got %v until %v, want until %v", leased.Scopes(), leased.NotAfter(), api.end)
	}
	r.Stop(t)
}

// The token of a pod is replaced by the kubelet: each request reads it.
func TestTheTokenFileIsReadForEachRequest(t *testing.T) {
	api := newAPIServer()
	c := config(t, api)
	path := filepath.Join(t.TempDir(), "token")
	c.Auth.Token = providertest.Parse[bundle.Ref](t, "file:"+path)
	p := open(t, c, providers.Env{})
	if _, err := p.Mint(t.Context(), providers.Request{}); fault.KindOf(err) != fault.Internal || api.body != "" {
		t.Errorf("no file: got %v and the request %q, want our own fault and none", err, api.body)
	}
	for _, token := range []string{"first", "second"} {
		if err := os.WriteFile(path, []byte(token), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := p.Mint(t.Context(), providers.Request{}); err != nil || api.auth != "Bearer "+token {
			t.Errorf("%s: got %q, %v", token, api.auth, err)
		}
	}
	if !strings.Contains(api.body, `"spec":{"expirationSeconds":3600}`) {
		t.Errorf("request without wishes: got %s", api.body)
	}
}

func TestOwnJWTSVID(t *testing.T) {
	api := newAPIServer()
	c := config(t, api)
	c.Auth = kubernetestoken.Auth{JWT: &kubernetestoken.JWT{Audience: "kube"}}
	if _, err := open(t, c, providers.Env{Self: providertest.Self{}}).Mint(t.Context(), providers.Request{}); err != nil || api.auth != "Bearer svid-for-kube" {
		t.Errorf("got %q, %v", api.auth, err)
	}
	_, err := open(t, c, providers.Env{Self: providertest.Self{Err: io.EOF}}).Mint(t.Context(), providers.Request{})
	if fault.HintOf(err) != "the broker has no identity to show to kubernetes" {
		t.Errorf("no identity: got %v", err)
	}
}

type certified struct {
	providertest.Self

	domain *trustdomain.Domain
}

func (c certified) X509SVID(context.Context) ([][]byte, crypto.Signer, error) {
	svid, err := c.domain.X509SVID(c.domain.ID("broker"), trustdomain.X509Request{})
	if err != nil {
		return nil, nil, err
	}
	return [][]byte{svid.Certificates[0].Raw}, svid.PrivateKey, nil
}

func TestOwnCertificate(t *testing.T) {
	domain := trustdomain.New("example.org", trustdomain.Options{})
	authorities := x509.NewCertPool()
	for _, a := range domain.Bundle().X509Authorities() {
		authorities.AddCert(a)
	}
	api := newAPIServer()
	s := httptest.NewUnstartedServer(api)
	s.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: authorities, MinVersion: tls.VersionTLS12}
	s.StartTLS()
	defer s.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	c := config(t, api)
	c.Address, c.CA, c.Auth = providertest.URL(t, s.URL), bundle.Path(ca), kubernetestoken.Auth{Certificate: true}
	if _, err := open(t, c, providers.Env{Self: certified{domain: domain}}).Mint(t.Context(), providers.Request{}); err != nil || api.user != "spiffe://example.org/broker" || api.auth != "" {
		t.Errorf("got user %q with %q and %v", api.user, api.auth, err)
	}
	_, err := open(t, c, providers.Env{Self: providertest.Self{}}).Mint(t.Context(), providers.Request{})
	if fault.HintOf(err) != "kubernetes is to be shown the broker's X.509-SVID, and the broker has none" {
		t.Errorf("no certificate: got %v", err)
	}
}

func TestRefusals(t *testing.T) {
	providertest.Refusals(t, "kubernetes", func(t *testing.T, system http.Handler) providers.Provider {
		return open(t, config(t, system), providers.Env{})
	})
	for body, want := range map[string]string{
		`{"status":{"expirationTimestamp":"2030-01-01T00:00:00Z"}}`:          "kubernetes issued a credential without a token",
		`{"status":{"token":"` + issued + `"}}`:                              "kubernetes issued a credential without an end",
		`{"status":{"token":"` + issued + `","expirationTimestamp":"soon"}}`: "kubernetes issued a credential without an end",
		`{"status":"Failure"}`:                                               "kubernetes gave no usable answer",
	} {
		c, err := open(t, config(t, providertest.Answer(201, "application/json", body)), providers.Env{}).Mint(t.Context(), providers.Request{})
		providertest.CheckAnswer(t, c, err, issued)
		if fault.HintOf(err) != want {
			t.Errorf("%s: got %v, want %q", body, err, want)
		}
	}
}

// Of a Status no more is told than which of our own words fit.
func TestWhatAStatusMeans(t *testing.T) {
	const (
		account, object = "there is no such service account in this namespace", "there is no such bound_object"
		either          = "compare namespace, service_account and bound_object"
		right, nobody   = "the broker's user needs the verb create on serviceaccounts/token of this service account", "nothing before the server may end TLS"
	)
	for name, tt := range map[string]struct {
		status              int
		message, kind, want string
	}{
		"no account":      {404, issued, "serviceaccounts", account},
		"no pod":          {404, issued, "pods", object},
		"no secret":       {404, issued, "secrets", object},
		"no node":         {404, issued, "nodes", object},
		"no other":        {404, issued, issued, either},
		"no kind":         {404, issued, "", either},
		"another's right": {403, `User \"` + issued + `\" cannot create`, "serviceaccounts", right},
		"nobody":          {403, `User \"system:anonymous\" cannot create ` + issued, "serviceaccounts", nobody},
	} {
		body := `{"kind":"Status","status":"Failure","message":"` + tt.message + `","details":{"name":"` + issued + `","kind":"` + tt.kind + `"},"code":` + strconv.Itoa(tt.status) + `}`
		c, err := open(t, config(t, providertest.Answer(tt.status, "application/json", body)), providers.Env{}).Mint(t.Context(), providers.Request{})
		providertest.CheckAnswer(t, c, err, issued)
		if err == nil || !strings.HasSuffix(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", name, err, tt.want)
		}
	}
}

func TestConfigRules(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*kubernetestoken.Config)
		want   []string
	}{
		"as it is":         {func(*kubernetestoken.Config) {}, nil},
		"plaintext":        {func(c *kubernetestoken.Config) { c.Address = providertest.URL(t, "http://10.0.0.1") }, []string{"address"}},
		"no way in":        {func(c *kubernetestoken.Config) { c.Auth = kubernetestoken.Auth{} }, []string{"auth"}},
		"two ways in":      {func(c *kubernetestoken.Config) { c.Auth.Certificate = true }, []string{"auth"}},
		"a path":           {func(c *kubernetestoken.Config) { c.Namespace = "a/b" }, []string{"namespace"}},
		"dots":             {func(c *kubernetestoken.Config) { c.ServiceAccount = ".." }, []string{"service_account"}},
		"too short a life": {func(c *kubernetestoken.Config) { c.TTL.Duration = time.Minute }, []string{"ttl"}},
		"a life of a year": {func(c *kubernetestoken.Config) {
			c.TTL.Duration, c.BoundObject = time.Hour+7*time.Second, &kubernetestoken.BoundObject{Kind: "Pod", Name: "a"}
		}, []string{"ttl"}},
		"another object": {func(c *kubernetestoken.Config) {
			c.BoundObject = &kubernetestoken.BoundObject{Kind: "Lease", Name: "a"}
		}, []string{"bound_object.kind"}},
		"an audience of \"": {func(c *kubernetestoken.Config) { c.Audiences = []string{""} }, []string{"audiences[0]"}},
	} {
		c := config(t, http.NotFoundHandler())
		tt.change(&c)
		if got := providertest.Faults(c); !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %v, want %v", name, got, tt.want)
		}
	}
	c := config(t, http.NotFoundHandler())
	c.CA = "/nonexistent"
	if p, err := kubernetestoken.Open(c, providers.Env{}); err == nil || p != nil {
		t.Errorf("no roots: got %v, %v", p, err)
	}
	for _, auth := range []kubernetestoken.Auth{{}, {Certificate: true}} {
		c := config(t, http.NotFoundHandler())
		c.Auth = auth
		if p, err := kubernetestoken.Open(c, providers.Env{}); err == nil || p != nil {
			t.Errorf("%+v without an identity: got %v, %v", auth, p, err)
		}
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add(201, []byte(`{"status":{"token":"a","expirationTimestamp":"2030-01-01T00:00:00Z"}}`))
	f.Add(403, []byte(`{"kind":"Status","status":"Failure","reason":"Forbidden","code":403}`))
	f.Add(403, []byte(`{"message":"User \"system:anonymous\" cannot create","details":{"kind":"serviceaccounts"}}`))
	f.Add(404, []byte(`{"message":"not found","details":{"name":"a","kind":"pods"}}`))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		if status < 200 || status > 599 {
			return
		}
		c, err := open(t, config(t, providertest.Answer(status, "application/json", string(body))), providers.Env{}).Mint(t.Context(), providers.Request{})
		if err == nil && c.NotAfter().IsZero() {
			t.Error("got a token without an end")
		}
		hidden := ""
		if len(body) > 16 {
			hidden = string(body)
		}
		providertest.CheckAnswer(t, c, err, hidden)
	})
}

// A token that the API server issued and the broker refuses is good there: it is on record.
func TestRefusedTokensAreOnRecord(t *testing.T) {
	end := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	for answer, tt := range map[string][2]string{
		`{"status":{"token":"TOKEN"}}`:                                                                                     {"without an end", providertest.UntilUnknown},
		`{"status":{"expirationTimestamp":"soon","token":"TOKEN"}}`:                                                        {"without an end", providertest.UntilUnknown},
		`{"status":{"expirationTimestamp":3600,"token":"TOKEN"}}`:                                                          {"without an end", providertest.UntilUnknown},
		`{"status":{"token":"TOKEN","expirationTimestamp":"` + end.Format(time.RFC3339) + `"}`:                             {"no usable answer", providertest.Until(end)},
		`{"status":{"expirationTimestamp":"` + end.Format(time.RFC3339) + `"}}`:                                            {"without a token", ""},
		`{"status":{"token":"` + strings.Repeat("c", 100) + `","expirationTimestamp":"` + end.Format(time.RFC3339) + `"}}`: {"begins anew", providertest.Until(end)},
	} {
		answer = strings.ReplaceAll(answer, "TOKEN", issued)
		p := open(t, config(t, providertest.Answer(201, "application/json", answer)), providers.Env{})
		providertest.StaysKnown(t, p, tt[0], tt[1], issued)
	}
}
