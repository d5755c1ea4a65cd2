package signedjwt_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"mintmark/broker/bundle"
	"mintmark/internal/fault"
	"mintmark/providers"
	"mintmark/providers/internal/providertest"
	"mintmark/providers/signedjwt"
)

// signing returns a reference to a new key, and the key.
func signing(t testing.TB) (bundle.Ref, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return providertest.Ref(t, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))), key
}

func config(ref bundle.Ref) signedjwt.Config {
	return signedjwt.Config{Key: ref, Issuer: "https://mintmark.example.org", Audience: []string{"orders"}}
}

func open(t testing.TB, c signedjwt.Config, env providers.Env) providers.Provider {
	t.Helper()
	if got := providertest.Faults(c); len(got) > 0 {
		t.Fatalf("config: got faults %v, want none", got)
	}
	p, err := signedjwt.Open(c, env)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func claimsOf(t *testing.T, token string, key *ecdsa.PrivateKey) map[string]any {
	t.Helper()
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		t.Fatal(err)
	}
	claims := map[string]any{}
	if err := parsed.Claims(key.Public(), &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

func TestTokensNameTheAgent(t *testing.T) {
	ref, key := signing(t)
	c := config(ref)
	c.Claims = `{"groups": ["a", "b"], "n": 12345678901234567}`
	c.TTL = providertest.Parse[bundle.Duration](t, "90s")
	r := providertest.One(t, open(t, c, providers.Env{}))
	defer r.Stop(t)
	shop, clerk := providertest.Agent(t, "spiffe://example.org/agent/shop"), providertest.Agent(t, "spiffe://example.org/agent/clerk")
	first, _ := r.Must(t, shop)
	second, _ := r.Must(t, clerk)
	if _, cached := r.Must(t, shop); !cached || first.ID() == second.ID() {
		t.Errorf("leases: got cached %t, %s and %s, want one for each agent", cached, first.ID(), second.ID())
	}
	claims, other := claimsOf(t, r.Reveal(t, first).Token(), key), claimsOf(t, r.Reveal(t, second).Token(), key)
	if claims["sub"] != "spiffe://example.org/agent/shop" || other["sub"] != "spiffe://example.org/agent/clerk" {
		t.Errorf("sub: got %v and %v", claims["sub"], other["sub"])
	}
	if claims["iss"] != "https://mintmark.example.org" || claims["aud"] != "orders" || len(claims["groups"].([]any)) != 2 || claims["jti"] == other["jti"] || claims["jti"] == "" {
		t.Errorf("claims: got %v", claims)
	}
	if life := claims["exp"].(float64) - claims["iat"].(float64); life != 90 || !first.NotAfter().Equal(time.Unix(int64(claims["exp"].(float64)), 0)) {
		t.Errorf("life: got %v s and an end of %v, want 90 s", life, first.NotAfter())
	}
	if !slices.Equal(first.Scopes(), c.Audience) {
		t.Errorf("scopes: got %v", first.Scopes())
	}
}

func TestSubjects(t *testing.T) {
	ref, key := signing(t)
	for template, want := range map[string]struct {
		sub      string
		perAgent bool
	}{
		"":                              {"spiffe://example.org/ns/prod/sa/bot", true},
		"{trust_domain}:{subject_path}": {"example.org:ns/prod/sa/bot", true},
		"mintmark":                      {"mintmark", false},
	} {
		c := config(ref)
		c.Subject, c.Audience = template, []string{"a", "b"}
		p := open(t, c, providers.Env{})
		if got := p.(providers.AgentBound).PerAgent(); got != want.perAgent {
			t.Errorf("%q: got per agent %t", template, got)
		}
		r := providertest.One(t, p)
		leased, _ := r.Must(t, providertest.Agent(t, "spiffe://example.org/ns/prod/sa/bot"))
		claims := claimsOf(t, r.Reveal(t, leased).Token(), key)
		if claims["sub"] != want.sub || len(claims["aud"].([]any)) != 2 {
			t.Errorf("%q: got %v, want %q for two", template, claims, want.sub)
		}
		r.Stop(t)
	}
}

func TestKeyThatCannotBeReadIsOurOwnFault(t *testing.T) {
	r := providertest.One(t, open(t, config(providertest.Ref(t, providertest.Canary)), providers.Env{}), providertest.Canary)
	defer r.Stop(t)
	if hint := r.Refused(t, providertest.Agent(t, "spiffe://example.org/a"), fault.Internal); hint != "the broker cannot read its own secret for the credential provider" {
		t.Errorf("hint: got %q", hint)
	}
}

func TestConfigRules(t *testing.T) {
	ref, _ := signing(t)
	for name, tt := range map[string]struct {
		change func(*signedjwt.Config)
		want   []string
	}{
		"as it is":              {func(*signedjwt.Config) {}, nil},
		"unknown placeholder":   {func(c *signedjwt.Config) { c.Subject = "{tool}" }, []string{"subject"}},
		"may be two agents'":    {func(c *signedjwt.Config) { c.Subject = "{trust_domain}.{subject_path}" }, []string{"subject"}},
		"too long":              {func(c *signedjwt.Config) { c.TTL.Duration = 25 * time.Hour }, []string{"ttl"}},
		"broken seconds":        {func(c *signedjwt.Config) { c.TTL.Duration = 61500 * time.Millisecond }, []string{"ttl"}},
		"claims that are none":  {func(c *signedjwt.Config) { c.Claims = "[]" }, []string{"claims"}},
		"claims of nothing":     {func(c *signedjwt.Config) { c.Claims = "null" }, []string{"claims"}},
		"claims that say twice": {func(c *signedjwt.Config) { c.Claims = `{"a":1,"a":2}` }, []string{"claims"}},
		"claims of our own":     {func(c *signedjwt.Config) { c.Claims = `{"sub":"root"}` }, []string{"claims"}},
		"no name":               {func(c *signedjwt.Config) { c.Audience = []string{"a", ""} }, []string{"audience[1]"}},
	} {
		c := config(ref)
		tt.change(&c)
		if got := providertest.Faults(c); !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %v, want %v", name, got, tt.want)
		}
	}
	c := config(ref)
	c.Claims = `{"exp":1}`
	if p, err := signedjwt.Open(c, providers.Env{}); err == nil || p != nil || !strings.Contains(err.Error(), "exp") {
		t.Errorf("open with an end of its own: got %v, %v", p, err)
	}
}
