package dpop_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"mintmark/internal/dpop"
)

// opened is what a server sees of a proof whose signature it checked against the
// key that the proof itself carries.
type opened struct {
	header jose.Header
	claims map[string]any
}

func open(t *testing.T, proof string, alg jose.SignatureAlgorithm) opened {
	t.Helper()
	signed, err := jose.ParseSignedCompact(proof, []jose.SignatureAlgorithm{alg})
	if err != nil {
		t.Fatalf("parse the proof: %v", err)
	}
	header := signed.Signatures[0].Protected
	if header.JSONWebKey == nil || !header.JSONWebKey.IsPublic() || !header.JSONWebKey.Valid() {
		t.Fatalf("got header %+v, want a public jwk", header)
	}
	payload, err := signed.Verify(header.JSONWebKey)
	if err != nil {
		t.Fatalf("verify the proof: %v", err)
	}
	o := opened{header: header}
	if err := json.Unmarshal(payload, &o.claims); err != nil {
		t.Fatal(err)
	}
	return o
}

func p256(t *testing.T) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func at(t *testing.T, raw string) *url.URL {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestProofSays(t *testing.T) {
	now := time.Unix(1_800_000_000, 999)
	for name, c := range map[string]struct {
		method, target string
		options        dpop.Options
		want           map[string]any
	}{
		"a request for a token": {"POST", "https://as.example/token", dpop.Options{Now: now},
			map[string]any{"htm": "POST", "htu": "https://as.example/token", "iat": 1_800_000_000.0}},
		"query and fragment are left out": {"GET", "https://api.example/a%2Fb?x=1#y", dpop.Options{Now: now},
			map[string]any{"htm": "GET", "htu": "https://api.example/a%2Fb", "iat": 1_800_000_000.0}},
		"one spelling": {"GET", "HTTPS://user@API.example:443", dpop.Options{Now: now},
			map[string]any{"htm": "GET", "htu": "https://api.example/", "iat": 1_800_000_000.0}},
		"another port": {"GET", "http://[::1]:443/", dpop.Options{Now: now},
			map[string]any{"htm": "GET", "htu": "http://[::1]:443/", "iat": 1_800_000_000.0}},
		// The token and hash of RFC 9449, section 7.1.
		"with a token and a nonce": {"GET", "https://resource.example.org/protectedresource",
			dpop.Options{Now: now, Nonce: "eyJ7S_zG.eyJH0-Z.HX4w-7v", TokenHash: dpop.TokenHash("Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU")},
			map[string]any{"htm": "GET", "htu": "https://resource.example.org/protectedresource", "iat": 1_800_000_000.0,
				"nonce": "eyJ7S_zG.eyJH0-Z.HX4w-7v", "ath": "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo"}},
	} {
		t.Run(name, func(t *testing.T) {
			proof, err := dpop.Proof(p256(t), c.method, at(t, c.target), c.options)
			if err != nil {
				t.Fatal(err)
			}
			got := open(t, proof, jose.ES256)
			if got.header.ExtraHeaders[jose.HeaderType] != "dpop+jwt" {
				t.Errorf("got typ %v, want dpop+jwt", got.header.ExtraHeaders[jose.HeaderType])
			}
			if id, _ := got.claims["jti"].(string); len(id) < 16 {
				t.Errorf("got jti %q, want a random one", id)
			}
			delete(got.claims, "jti")
			if !reflect.DeepEqual(got.claims, c.want) {
				t.Errorf("got claims %v, want %v", got.claims, c.want)
			}
		})
	}
}

func TestProofsAreNewEachTime(t *testing.T) {
	key, target, seen := p256(t), at(t, "https://api.example/"), map[any]bool{}
	for range 100 {
		proof, err := dpop.Proof(key, "GET", target, dpop.Options{})
		if err != nil {
			t.Fatal(err)
		}
		seen[open(t, proof, jose.ES256).claims["jti"]] = true
	}
	if len(seen) != 100 {
		t.Errorf("got %d different jti of 100 proofs, want 100", len(seen))
	}
}

func TestProofsAreOfNow(t *testing.T) {
	before := time.Now().Unix()
	proof, err := dpop.Proof(p256(t), "GET", at(t, "https://api.example/"), dpop.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if iat, _ := open(t, proof, jose.ES256).claims["iat"].(float64); int64(iat) < before || int64(iat) > time.Now().Unix() {
		t.Errorf("got iat %v, want the time of the call", iat)
	}
}

func TestProofIsSignedByTheKeyThatItShows(t *testing.T) {
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p521, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	long, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for alg, key := range map[jose.SignatureAlgorithm]crypto.Signer{jose.ES256: p256(t), jose.ES384: p384, jose.ES512: p521, jose.EdDSA: edwards, jose.PS256: long} {
		proof, err := dpop.Proof(key, "GET", at(t, "https://api.example/"), dpop.Options{})
		if err != nil {
			t.Errorf("%s: %v", alg, err)
			continue
		}
		shown := open(t, proof, alg).header.JSONWebKey
		if !reflect.DeepEqual(shown.Key, key.Public()) {
			t.Errorf("%s: got another jwk than the key's", alg)
		}
		want, err := dpop.Thumbprint(key.Public())
		if err != nil {
			t.Errorf("%s: %v", alg, err)
		}
		if got, err := dpop.Thumbprint(shown.Key); err != nil || got != want || len(got) != 43 {
			t.Errorf("%s: got thumbprint %q, %v, want %q", alg, got, err, want)
		}
	}
}

func TestProofRefuses(t *testing.T) {
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		key    crypto.Signer
		target *url.URL
		want   string
	}{
		"no key":                {nil, at(t, "https://api.example/"), "expected a key, got none"},
		"a curve without a JWA": {p224, at(t, "https://api.example/"), "P-256, P-384 or P-521"},
		"a path alone":          {p256(t), at(t, "/token"), "absolute URL"},
		"no address":            {p256(t), nil, "absolute URL"},
	} {
		if proof, err := dpop.Proof(c.key, "GET", c.target, dpop.Options{}); err == nil || !strings.Contains(err.Error(), c.want) || proof != "" {
			t.Errorf("%s: got %q, %v, want an error with %q", name, proof, err, c.want)
		}
	}
}
