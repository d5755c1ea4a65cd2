package pemkey_test

import (
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"

	"mintmark/providers/internal/pemkey"
)

func block(kind string, content []byte, err error) string {
	if err != nil {
		panic(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content}))
}

func pkcs8(key any) string {
	content, err := x509.MarshalPKCS8PrivateKey(key)
	return block("PRIVATE KEY", content, err)
}

func TestParse(t *testing.T) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sec1, err := x509.MarshalECPrivateKey(curve)
	for name, tc := range map[string]struct {
		text string
		want crypto.Signer
	}{
		"PKCS #8, RSA":     {pkcs8(private), private},
		"PKCS #8, EC":      {pkcs8(curve), curve},
		"PKCS #8, Ed25519": {pkcs8(edwards), edwards},
		"PKCS #1":          {block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(private), nil), private},
		"SEC 1":            {block("EC PRIVATE KEY", sec1, err), curve},
		"after text":       {"\n the key:\n" + pkcs8(curve), curve},
	} {
		key, rest, err := pemkey.Parse([]byte(tc.text + "more"))
		if err != nil || !key.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(tc.want.Public()) || string(rest) != "more" {
			t.Errorf("%s: got %v, %q after it, want the key and more", name, err, rest)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	agreed, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"": "no PEM block", "-----BEGIN PRIVATE KEY-----": "no PEM block",
		block("CERTIFICATE", []byte("canary"), nil):     "another kind of PEM block",
		block("PRIVATE KEY", []byte("canary"), nil):     "no private key",
		block("RSA PRIVATE KEY", []byte("canary"), nil): "no private key",
		pkcs8(agreed): "does not sign",
	} {
		key, rest, err := pemkey.Parse([]byte(text))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "canary") || key != nil || rest != nil {
			t.Errorf("%.40q: got %v, %q, %v, want nothing and an error with %q", text, key, rest, err, want)
		}
	}
}
