package providers_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"mintmark/providers"
)

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestNothingShowsAPrivateKey(t *testing.T) {
	key := newKey(t)
	material := providers.Material{Key: providers.NewPrivateKey(key), Chain: [][]byte{{1}}}
	secret, err := key.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []any{material, &material, material.Key, providers.Seal(providers.X509, material, providers.Terms{}), struct{ k any }{material.Key}} {
		encoded, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{fmt.Sprintf("%v %+v %#v %x %d", v, v, v, v, v), string(encoded)} {
			for _, form := range []string{fmt.Sprint(secret), fmt.Sprintf("%x", secret), fmt.Sprint(key.X), fmt.Sprintf("%v", key)} {
				if strings.Contains(text, strings.Trim(form, "[]")) {
					t.Errorf("%T: got the key in %q", v, text)
				}
			}
		}
	}
}

func TestAFingerprintKnowsTheKey(t *testing.T) {
	one, other := newKey(t), newKey(t)
	prints := map[string]bool{}
	for _, m := range []providers.Material{
		{Key: providers.NewPrivateKey(one), Chain: [][]byte{{1}}},
		{Key: providers.NewPrivateKey(other), Chain: [][]byte{{1}}},
	} {
		m.Token = providers.NewSecret("the same")
		c, opened := leaseAndOpen(t, m)
		if opened.Key() == nil || len(opened.Chain()) != 1 {
			t.Error("opened: got neither key nor chain")
		}
		prints[c.Fingerprint()] = true
	}
	if len(prints) != 2 {
		t.Errorf("got %d fingerprints of two keys", len(prints))
	}
}
