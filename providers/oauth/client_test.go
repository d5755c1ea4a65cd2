package oauth_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"mintmark/broker/bundle"
	"mintmark/internal/fault"
	"mintmark/providers"
	"mintmark/providers/internal/providertest"
	"mintmark/providers/oauth"
)

const bearer = `{"access_token":"t","token_type":"Bearer","expires_in":60}`

// asked mints once and returns what the server was sent.
func asked(t *testing.T, env providers.Env, change func(*oauth.Config)) (form url.Values, header http.Header) {
	t.Helper()
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			t.Errorf("read form: %v", err)
		}
		form, header = r.PostForm, r.Header
		ok(bearer)(w, r)
	})
	change(&c)
	if _, err := open(t, c, env).Mint(t.Context(), providers.Request{}); err != nil {
		t.Fatal(err)
	}
	return form, header
}

func pemRef(t *testing.T, label string, der []byte, err error) bundle.Ref {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return providertest.Ref(t, strings.TrimSpace(string(pem.EncodeToMemory(&pem.Block{Type: label, Bytes: der}))))
}

func TestAssertionOfTheClient(t *testing.T) {
	generate := func(curve elliptic.Curve) *ecdsa.PrivateKey {
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	pkcs8 := func(key any) bundle.Ref {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		return pemRef(t, "PRIVATE KEY", der, err)
	}
	p256, p384, p521 := generate(elliptic.P256()), generate(elliptic.P384()), generate(elliptic.P521())
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	sec1, err := x509.MarshalECPrivateKey(p256)
	for name, tt := range map[string]struct {
		ref bundle.Ref
		key crypto.Signer
		alg jose.SignatureAlgorithm
	}{
		"P-256":      {pkcs8(p256), p256, jose.ES256},
		"P-384":      {pkcs8(p384), p384, jose.ES384},
		"P-521":      {pkcs8(p521), p521, jose.ES512},
		"Ed25519":    {pkcs8(edwards), edwards, jose.EdDSA},
		"RSA":        {pkcs8(rsaKey), rsaKey, jose.RS256},
		"P-256, SEC": {pemRef(t, "EC PRIVATE KEY", sec1, err), p256, jose.ES256},
		"RSA, PKCS1": {pemRef(t, "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey), nil), rsaKey, jose.RS256},
	} {
		t.Run(name, func(t *testing.T) {
			now := time.Now().Truncate(time.Second)
			form, header := asked(t, providers.Env{Clock: func() time.Time { return now }}, func(c *oauth.Config) {
				c.AuthStyle, c.ClientSecret, c.Key, c.KeyID, c.AssertionAudience = "private_key_jwt", bundle.Ref{}, tt.ref, "k1", "https://as.example.org"
			})
			parsed, err := jwt.ParseSigned(form.Get("client_assertion"), []jose.SignatureAlgorithm{tt.alg})
			if err != nil {
				t.Fatal(err)
			}
			var got jwt.Claims
			if err := parsed.Claims(tt.key.Public(), &got); err != nil {
				t.Fatal(err)
			}
			if got.Issuer != "mintmark" || got.Subject != "mintmark" || !got.Audience.Contains("https://as.example.org") || got.ID == "" {
				t.Errorf("claims: got %+v, want mintmark as iss and sub, the audience and a jti", got)
			}
			if got.Expiry.Time().Sub(now) != time.Minute || !got.IssuedAt.Time().Equal(now) || parsed.Headers[0].KeyID != "k1" {
				t.Errorf("claims: got %v to %v by %q, want a minute from now by k1", got.IssuedAt.Time(), got.Expiry.Time(), parsed.Headers[0].KeyID)
			}
			if form.Get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" || form.Has("client_secret") || header.Get("Authorization") != "" {
				t.Errorf("got %v, want an assertion and nothing else", form)
			}
		})
	}
}

func TestKeyThatCannotSign(t *testing.T) {
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(weak)
	for name, ref := range map[string]bundle.Ref{
		"no PEM":      providertest.Ref(t, canary),
		"no key":      pemRef(t, "PRIVATE KEY", []byte(canary), nil),
		"a weak key":  pemRef(t, "PRIVATE KEY", der, err),
		"not a block": providertest.Ref(t, "-----BEGIN PRIVATE KEY-----\n"+canary),
	} {
		t.Run(name, func(t *testing.T) {
			c := serve(t, ok(bearer))
			c.AuthStyle, c.ClientSecret, c.Key = "private_key_jwt", bundle.Ref{}, ref
			r := providertest.One(t, open(t, c, providers.Env{}), canary)
			defer r.Stop(t)
			r.Refused(t, providers.Request{}, fault.Internal)
		})
	}
}

func TestOwnIdentityAsTheClients(t *testing.T) {
	key := newKey(t)
	for kind, want := range map[string]string{
		"":           "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe",
		"jwt-bearer": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
	} {
		form, _ := asked(t, providers.Env{Self: self{key: key.key}}, func(c *oauth.Config) {
			c.AuthStyle, c.ClientID, c.ClientSecret, c.AssertionType = "jwt_svid", "", bundle.Ref{}, kind
			c.AssertionAudience = "https://as.example.org"
		})
		parsed, err := jwt.ParseSigned(form.Get("client_assertion"), []jose.SignatureAlgorithm{jose.ES256})
		if err != nil {
			t.Fatal(err)
		}
		var got jwt.Claims
		if err := parsed.Claims(key.key.Public(), &got); err != nil || got.Subject != brokerID || !got.Audience.Contains("https://as.example.org") {
			t.Errorf("%q: got %+v, %v, want the broker's SVID for the server", kind, got, err)
		}
		if form.Get("client_assertion_type") != want || form.Has("client_id") {
			t.Errorf("%q: got %v, want type %s", kind, form, want)
		}
	}
}

func TestOpenRefusesWithoutAnIdentity(t *testing.T) {
	base := oauth.Config{TokenURL: providertest.URL(t, "https://as.example.org/token"), ClientID: "id"}
	for name, change := range map[string]func(*oauth.Config){
		"jwt_svid": func(c *oauth.Config) { c.AuthStyle = "jwt_svid" },
		"mtls":     func(c *oauth.Config) { c.AuthStyle = "mtls" },
		"subject":  func(c *oauth.Config) { c.TokenExchange = &oauth.TokenExchange{Subject: oauth.Source{SVID: "a"}} },
		"actor": func(c *oauth.Config) {
			c.TokenExchange = &oauth.TokenExchange{Subject: oauth.Source{Token: providertest.Ref(t, "a")}, Actor: &oauth.Source{SVID: "a"}}
		},
		"assertion": func(c *oauth.Config) { c.JWTBearer = &oauth.JWTBearer{Assertion: oauth.Source{SVID: "a"}} },
		"id_jag":    func(c *oauth.Config) { c.IDJAG = &oauth.IDJAG{Subject: oauth.Source{SVID: "a"}} },
	} {
		c := base
		change(&c)
		if p, err := oauth.Open(c, providers.Env{}); err == nil || p != nil {
			t.Errorf("%s: got %v, %v, want no provider and an error", name, p, err)
		}
	}
}
