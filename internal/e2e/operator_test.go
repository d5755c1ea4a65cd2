//go:build e2e

package e2e_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
)

// operator does what people do for a broker before it runs: they know who the
// issuer is, and agree in a browser.
type operator struct {
	job      authJob
	resource string // as it calls itself: see issuer
}

// issuer reads up who the server's issuer is.
func (o *operator) issuer(t *testing.T) string {
	t.Helper()
	u, err := url.Parse(o.job.Server)
	if err != nil {
		t.Fatal(err)
	}
	const place = "/.well-known/oauth-protected-resource"
	for _, at := range []string{place + u.Path, place, "/custom/metadata/location.json"} {
		var m struct {
			Resource string   `json:"resource"`
			Servers  []string `json:"authorization_servers"`
		}
		answer, err := http.DefaultClient.Get("http://" + u.Host + at)
		if err != nil {
			t.Fatal(err)
		}
		err = json.NewDecoder(answer.Body).Decode(&m)
		answer.Body.Close()
		if err == nil && len(m.Servers) == 1 {
			o.resource = m.Resource
			return m.Servers[0]
		}
	}
	t.Fatalf("read up on %s: got no issuer, want one", u)
	return ""
}

// register registers the broker as a client and returns its id and secret.
func (o *operator) register(t *testing.T, issuer string) (id, secret string) {
	t.Helper()
	answer, err := http.Post(issuer+"/register", "application/json", strings.NewReader(`{"client_name": "mintmark", "redirect_uris": ["`+redirect+`"], "application_type": "native"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var m struct {
		ID     string `json:"client_id"`
		Secret string `json:"client_secret"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&m); err != nil || m.ID == "" {
		t.Fatalf("register: got %s %+v, %v, want a client_id", answer.Status, m, err)
	}
	return m.ID, m.Secret
}

// redirect is where the browser ends.
const redirect = "http://127.0.0.1:9/callback"

// agree answers an authorization request in a browser, and returns the settings of
// the grant.
func (o *operator) agree(t *testing.T, issuer, client string) string {
	t.Helper()
	verifier := rand.Text() + rand.Text()
	sum := sha256.Sum256([]byte(verifier))
	browser := &http.Client{CheckRedirect: asIs}
	answer, err := browser.Get(issuer + "/authorize?" + url.Values{
		"response_type": {"code"}, "client_id": {client}, "redirect_uri": {redirect}, "resource": {o.resource}, "state": {"s"},
		"code_challenge_method": {"S256"}, "code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])},
	}.Encode())
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	to, err := answer.Location()
	if err != nil || to.Query().Get("code") == "" || to.Query().Get("iss") != issuer {
		t.Fatalf("agree: got %s to %v, %v, want a code of %s", answer.Status, to, err, issuer)
	}
	return fmt.Sprintf(`
    authorization_code: {code: %q, verifier: %q, redirect_uri: %q, state: %q}`,
		"file:"+secretFile(t, to.Query().Get("code")), "file:"+secretFile(t, verifier), redirect, filepath.Join(t.TempDir(), "state"))
}

func clientKey(t *testing.T, job authJob, _ *operator) authSite {
	key := job.Context["private_key_pem"]
	middle := key[len(key)/2 : len(key)/2+32] // the label is no secret
	return authSite{server: job.Server, scheme: "bearer", secrets: map[string]string{"client key": middle}, provider: fmt.Sprintf(`
    client_id: %s
    auth_style: private_key_jwt
    key: file:%s`, job.Context["client_id"], secretFile(t, strings.TrimSpace(key)))}
}

// clientKeyOfNobody is the registration of a client that no server ever gets to see.
func clientKeyOfNobody(t *testing.T, job authJob, _ *operator) authSite {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	job.Context = map[string]string{"client_id": "nobody", "private_key_pem": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))}
	s := clientKey(t, job, nil)
	s.refused = true
	return s
}

func clientSecret(t *testing.T, job authJob, o *operator) authSite {
	return authSite{server: job.Server, scheme: "bearer", provider: fmt.Sprintf(`
    issuer: %s
    client_id: %s
    client_secret: file:%s`, o.issuer(t), job.Context["client_id"], secretFile(t, job.Context["client_secret"]))}
}

func preRegistered(t *testing.T, job authJob, o *operator) authSite {
	s := clientSecret(t, job, o)
	s.provider += o.agree(t, job.Context["issuer"], job.Context["client_id"])
	return s
}

func enterpriseManaged(t *testing.T, job authJob, o *operator) authSite {
	s := clientSecret(t, job, o)
	s.secrets = map[string]string{"ID token": job.Context["idp_id_token"]}
	s.provider += fmt.Sprintf(`
    id_jag:
      idp: {issuer: %q, client_id: %s, auth_style: none}
      subject: {token: %q}`, job.Context["idp_issuer"], job.Context["idp_client_id"], "file:"+secretFile(t, job.Context["idp_id_token"]))
	return s
}

func federated(t *testing.T, job authJob, o *operator) authSite {
	jwt := job.Context["valid_jwt"]
	return authSite{server: job.Server, scheme: "bearer", secrets: map[string]string{"workload JWT": jwt}, provider: fmt.Sprintf(`
    issuer: %s
    client_id: %s
    auth_style: none
    jwt_bearer: {assertion: {token: %q}}`, o.issuer(t), job.Context["client_id"], "file:"+secretFile(t, jwt))}
}

func bound(t *testing.T, job authJob, o *operator) authSite {
	s := registered("none")(t, job, o)
	s.scheme = "dpop"
	s.provider += "\n    dpop: true"
	return s
}

// registered is a client that was registered before a person agreed to it.
func registered(style string) func(*testing.T, authJob, *operator) authSite {
	return func(t *testing.T, job authJob, o *operator) authSite {
		issuer := o.issuer(t)
		id, secret := o.register(t, issuer)
		s := authSite{server: job.Server, resource: o.resource, scheme: "bearer", provider: fmt.Sprintf(`
    issuer: %s
    client_id: %s
    auth_style: %s`, issuer, id, style)}
		if style != "none" {
			s.provider += "\n    client_secret: file:" + secretFile(t, secret)
		}
		s.provider += o.agree(t, issuer, id)
		return s
	}
}
