package jwtkey_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"mintmark/broker/bundle"
	"mintmark/internal/fault"
	"mintmark/providers/internal/jwtkey"
	"mintmark/providers/internal/providertest"
)

func pkcs8(t testing.TB, key any) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func rsaKey(t testing.TB, bits int) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func ecKey(t testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestKeySignsByTheAlgorithmThatFitsIt(t *testing.T) {
	r, e := rsaKey(t, 2048), ecKey(t, elliptic.P256())
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	pkcs1 := string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(r)}))
	p384, p521 := ecKey(t, elliptic.P384()), ecKey(t, elliptic.P521())
	der, err := x509.MarshalECPrivateKey(e)
	if err != nil {
		t.Fatal(err)
	}
	sec1 := string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}))
	tests := map[string]struct {
		pem    string
		public crypto.PublicKey
		want   jose.SignatureAlgorithm
	}{
		"P-256 in SEC 1": {sec1, e.Public(), jose.ES256},
		"P-384":          {pkcs8(t, p384), p384.Public(), jose.ES384},
		"P-521":          {pkcs8(t, p521), p521.Public(), jose.ES512},
		"RSA":            {pkcs8(t, r), r.Public(), jose.RS256},
		"RSA in PKCS #1": {pkcs1, r.Public(), jose.RS256},
		"P-256":          {pkcs8(t, e), e.Public(), jose.ES256},
		"Ed25519":        {pkcs8(t, ed), ed.Public(), jose.EdDSA},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			key, err := jwtkey.Read(providertest.Ref(t, tt.pem))
			if err != nil {
				t.Fatal(err)
			}
			for kid, want := range map[string]string{"": key.ID, "mine": "mine"} {
				token, err := key.Sign(kid, map[string]any{"sub": "a", "aud": "b"})
				if err != nil {
					t.Fatal(err)
				}
				signed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{tt.want})
				if err != nil {
					t.Fatalf("parse: %v", err)
				}
				payload, err := signed.Verify(tt.public)
				if err != nil || string(payload) != `{"aud":"b","sub":"a"}` {
					t.Errorf("payload: got %s, %v", payload, err)
				}
				header := signed.Signatures[0].Header
				if header.KeyID != want || header.ExtraHeaders["typ"] != "JWT" || len(key.ID) != 43 {
					t.Errorf("header: got %v, want kid %q and typ JWT", header, want)
				}
			}
			unnamed, err := key.SignUnnamed(map[string]any{})
			if signed, parse := jose.ParseSignedCompact(unnamed, []jose.SignatureAlgorithm{tt.want}); err != nil || parse != nil || signed.Signatures[0].Header.KeyID != "" {
				t.Errorf("unnamed: got %v, %v, want a token without kid", err, parse)
			}
			if shown := fmt.Sprintf("%v %+v %#v", key, key, key); len(shown) > 600 {
				t.Errorf("printed: got %d bytes, want no key in it", len(shown))
			}
		})
	}
}

func TestKeysThatAreRefused(t *testing.T) {
	good := pkcs8(t, ecKey(t, elliptic.P256()))
	public, err := x509.MarshalPKIXPublicKey(ecKey(t, elliptic.P256()).Public())
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]string{
		"no PEM":       "canary-secret",
		"short RSA":    pkcs8(t, rsaKey(t, 1024)),
		"P-224":        pkcs8(t, ecKey(t, elliptic.P224())),
		"two keys":     good + good,
		"text after":   good + "canary-secret",
		"public":       string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})),
		"wrong inside": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("canary-secret")})),
	}
	for name, text := range tests {
		t.Run(name, func(t *testing.T) {
			key, err := jwtkey.Read(providertest.Ref(t, text))
			if err == nil || key.ID != "" || fault.KindOf(err) != fault.Internal || fault.HintOf(err) == "" {
				t.Fatalf("got %v, %v, want no key and a fault of our own", key, err)
			}
			if strings.Contains(err.Error(), "canary") {
				t.Errorf("the key is in the error: %v", err)
			}
		})
	}
	ref := providertest.Parse[bundle.Ref](t, "file:"+filepath.Join(t.TempDir(), "none"))
	if _, err := jwtkey.Read(ref); err == nil || fault.HintOf(err) != "the broker cannot read its own secret for the credential provider" {
		t.Errorf("no file: got %v", err)
	}
}

// Whatever a file holds, it is a key or an error that repeats nothing of it.
func FuzzRead(f *testing.F) {
	f.Add(pkcs8(f, ecKey(f, elliptic.P256())))
	f.Add("-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----")
	f.Fuzz(func(t *testing.T, text string) {
		path := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		key, err := jwtkey.Read(providertest.Parse[bundle.Ref](t, "file:"+path))
		if err != nil {
			if key.ID != "" {
				t.Error("got a key with an error")
			}
			if text = strings.TrimSpace(text); len(text) > 16 && strings.Contains(err.Error(), text) {
				t.Errorf("the file is in the error: %v", err)
			}
			return
		}
		if _, err := key.Sign("", maps.Collect(maps.All(map[string]int{"a": 1}))); err != nil {
			t.Errorf("sign: %v", err)
		}
	})
}
