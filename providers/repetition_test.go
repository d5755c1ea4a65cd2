package providers_test

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"testing"

	"mintmark/internal/fault"
	"mintmark/providers"
)

func random(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)
}

// A secret that repeats itself would make the search of an answer for it take as
// much longer; that is known when it is leased.
func TestASecretThatRepeatsItselfIsNotLeased(t *testing.T) {
	password := func(user, secret string) providers.Material {
		return providers.Material{Username: user, Password: providers.NewSecret(secret)}
	}
	for name, c := range map[string]struct {
		kind providers.Kind
		m    providers.Material
		says string
	}{
		"two characters":     {providers.Token, providers.Material{Token: providers.NewSecret(strings.Repeat("ab", 800))}, "begins anew 799 times"},
		"one, and then more": {providers.Token, providers.Material{Token: providers.NewSecret(strings.Repeat("a", 66) + "-" + random(32))}, "begins anew 65 times"},
		"a query's blank":    {providers.Token, providers.Material{Token: providers.NewSecret(strings.Repeat("+ ", 50))}, "begins anew 99 times"},
		"a token, often":     {providers.Password, password("u", strings.Repeat("q3Zf8LmX0wTr", 70)), "begins anew 69 times"},
		"a user, often":      {providers.Password, password(strings.Repeat("u", 70), random(32)), "begins anew 69 times"},
		"a session token": {providers.AWS, providers.Material{AccessKeyID: "AKIA", SecretAccessKey: providers.NewSecret(random(30)),
			SessionToken: providers.NewSecret(strings.Repeat("/", 70))}, "begins anew 69 times"},
		"too long": {providers.Token, providers.Material{Token: providers.NewSecret(random(50_000))}, "of 66667 bytes, expected at most 65536"},
	} {
		t.Run(name, func(t *testing.T) {
			r := one(t, &scripted{mint: mintOf(providers.Seal(c.kind, c.m, providers.Terms{}))})
			defer r.Stop(t)
			said := refused(t, r, fault.Internal)
			if !strings.Contains(said, c.says) || strings.Contains(said, "abab") {
				t.Errorf("got %q, want %q in it", said, c.says)
			}
		})
	}
}

func TestRealSecretsAreLeased(t *testing.T) {
	digits := make([]byte, 32)
	_, _ = rand.Read(digits)
	for name, secret := range map[string]string{
		"a JWT":                      `eyJhbGciOiJFUzI1NiIsImtpZCI6ImFiYyIsInR5cCI6IkpXVCJ9.` + random(700) + "." + random(64),
		"a JWT of many groups":       `eyJhbGciOiJSUzI1NiJ9.` + base64.RawURLEncoding.EncodeToString([]byte(`{"groups":["`+strings.Repeat(`00000000-0000-0000-0000-000000000000","`, 300)+`"]}`)) + "." + random(256),
		"a token that begins with A": "AAAAAAAAAAAAAAAAAAAAA" + random(60), // an application's at X
		"an AWS session token":       "IQoJb3JpZ2luX2VjEHoaCXVzLWVhc3QtMSJHMEUCIQD//////////wEQABoMMDAwMDAwMDAwMDAw" + random(500),
		"hex":                        hex.EncodeToString(digits),
		"a UUID":                     "00000000-0000-0000-0000-000000000001",
		"a long one":                 random(40_000),
		"a poor password":            "aaaaaaaaaaaa",
	} {
		t.Run(name, func(t *testing.T) {
			r := one(t, &scripted{mint: mintOf(providers.Seal(providers.Token, providers.Material{Token: providers.NewSecret(secret)}, providers.Terms{}))})
			defer r.Stop(t)
			if c, _ := lease(t, r); c.IsZero() {
				t.Error("got no credential")
			}
		})
	}
}
