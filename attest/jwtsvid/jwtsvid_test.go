package jwtsvid_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/jwtbundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"mintmark/attest"
	"mintmark/attest/jwtsvid"
	"mintmark/broker/bundle"
	"mintmark/internal/trustdomain"
)

// bundles believes the given domains.
type bundles []*trustdomain.Domain

func (b bundles) GetJWTBundleForTrustDomain(td spiffeid.TrustDomain) (*jwtbundle.Bundle, error) {
	for _, d := range b {
		if d.TrustDomain() == td {
			return d.Bundle().JWTBundle(), nil
		}
	}
	return nil, errors.New("no such trust domain")
}

func (b bundles) TrustDomains() []spiffeid.TrustDomain {
	var all []spiffeid.TrustDomain
	for _, d := range b {
		all = append(all, d.TrustDomain())
	}
	return all
}

const audience = "mintmark"

func open(t testing.TB, b bundles) *jwtsvid.Attestor {
	t.Helper()
	a, err := jwtsvid.Open(jwtsvid.Config{Audience: audience}, b)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func token(t testing.TB, d *trustdomain.Domain, r trustdomain.JWTRequest) string {
	t.Helper()
	s, err := d.JWTSVID(d.ID("agent", "one"), r)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func bearer(token string) attest.Evidence {
	return attest.Evidence{Header: http.Header{"Authorization": {"Bearer " + token}}}
}

func TestAttest(t *testing.T) {
	domain := trustdomain.New("example.org", trustdomain.Options{})
	a := open(t, bundles{domain})
	tok := token(t, domain, trustdomain.JWTRequest{Audience: []string{audience}, Lifetime: time.Minute})
	id, err := a.Attest(t.Context(), bearer(tok))
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256([]byte(tok))
	if id.Subject() != "spiffe://example.org/agent/one" || id.Attestor() != "jwt-svid" || id.Evidence() != hex.EncodeToString(digest[:]) {
		t.Errorf("got %s by %s with %s", id.Subject(), id.Attestor(), id.Evidence())
	}
	if left := time.Until(id.Expires()); left > time.Minute || left < 50*time.Second {
		t.Errorf("expires in %s, want in a minute", left)
	}
	if got, ok := a.Digest(bearer(tok)); !ok || got != digest {
		t.Errorf("Digest: got %x, %v, want that of the evidence", got, ok)
	}
}

func TestNoEvidence(t *testing.T) {
	a := open(t, bundles{})
	for _, e := range []attest.Evidence{{}, {Header: http.Header{"Authorization": {"Basic YTpi"}}}, {Header: http.Header{"X-Token": {"Bearer a.b.c"}}}} {
		if id, err := a.Attest(t.Context(), e); !errors.Is(err, attest.ErrNoEvidence) || !id.IsZero() {
			t.Errorf("%v: got %v, %v, want ErrNoEvidence", e.Header, id, err)
		}
	}
}

// refusals are tokens that must not prove anything, with what the refusal says.
func refusals(domain, stranger, unknown *trustdomain.Domain, now time.Time) map[string]struct {
	by      *trustdomain.Domain
	request trustdomain.JWTRequest
	want    string
} {
	ours := []string{audience}
	claim := func(name string, value any) trustdomain.JWTRequest {
		return trustdomain.JWTRequest{Audience: ours, Claims: map[string]any{name: value}}
	}
	return map[string]struct {
		by      *trustdomain.Domain
		request trustdomain.JWTRequest
		want    string
	}{
		"other audience":        {domain, trustdomain.JWTRequest{Audience: []string{"vault"}}, `aud: expected exactly "mintmark", got "vault"`},
		"second audience":       {domain, trustdomain.JWTRequest{Audience: []string{audience, "vault"}}, `aud: expected exactly "mintmark", got "mintmark, vault"`},
		"same audience twice":   {domain, trustdomain.JWTRequest{Audience: []string{audience, audience}}, `aud: expected exactly "mintmark"`},
		"no audience":           {domain, trustdomain.JWTRequest{}, `aud: expected exactly "mintmark", got ""`},
		"audience as prefix":    {domain, trustdomain.JWTRequest{Audience: []string{"mintmark2"}}, "aud: expected"},
		"expired long ago":      {domain, trustdomain.JWTRequest{Audience: ours, Lifetime: -time.Hour}, "expired 1h0m0s ago"},
		"expired within leeway": {domain, trustdomain.JWTRequest{Audience: ours, Lifetime: -2 * time.Second}, "expired 2s ago"},
		"expires this instant":  {domain, claim("exp", now.Unix()), "expired 0s ago"},
		"no expiry":             {domain, claim("exp", nil), "exp: expected a time, got none"},
		"lives too long":        {domain, trustdomain.JWTRequest{Audience: ours, Lifetime: 2 * time.Hour}, "exp: expected a token issued for at most 1h0m0s (max_lifetime), got one for 2h0m0s"},
		"lives for ever":        {domain, claim("exp", 1e18), "exp: "},
		"lives long, no iat":    {domain, trustdomain.JWTRequest{Audience: ours, Lifetime: 2 * time.Hour, Claims: map[string]any{"iat": nil}}, "max_lifetime"},
		"issued in the future":  {domain, claim("iat", now.Add(30*time.Second).Unix()), "iat: expected a time that has come"},
		"begins in the future":  {domain, claim("nbf", now.Add(30*time.Second).Unix()), "nbf: expected a time that has come"},
		"begins far ahead":      {domain, claim("nbf", now.Add(time.Hour).Unix()), "not valid yet"},
		"no subject":            {domain, claim("sub", nil), `sub: expected a SPIFFE ID, got ""`},
		"subject is no SPIFFE":  {domain, claim("sub", "alice"), `sub: expected a SPIFFE ID, got "alice"`},
		"subject is the domain": {domain, claim("sub", "spiffe://example.org"), "sub: expected the SPIFFE ID of a workload"},
		"other trust domain":    {unknown, trustdomain.JWTRequest{Audience: ours}, `sub: expected a SPIFFE ID in trust domain example.org, got "unknown.example"`},
		"stranger's key":        {stranger, trustdomain.JWTRequest{Audience: ours}, "kid: expected a key of trust domain example.org, got "},
		"unknown key id":        {domain, trustdomain.JWTRequest{Audience: ours, KeyID: "abc"}, `kid: expected a key of trust domain example.org, got "abc"`},
		"stranger with our kid": {stranger, trustdomain.JWTRequest{Audience: ours, KeyID: keyID(domain)}, "signature: expected one by key"},
		"access token":          {domain, trustdomain.JWTRequest{Audience: ours, Type: "at+jwt"}, "type"},
		"endless subject":       {domain, claim("sub", strings.Repeat("x", 5000)), "and 4872 bytes more"},
	}
}

func keyID(d *trustdomain.Domain) string {
	for id := range d.Bundle().JWTAuthorities() {
		return id
	}
	return ""
}

func TestRefusals(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	options := trustdomain.Options{Clock: func() time.Time { return now }}
	domain, stranger := trustdomain.New("example.org", options), trustdomain.New("example.org", options)
	unknown := trustdomain.New("unknown.example", options)
	a := open(t, bundles{domain})
	a.Clock = options.Clock
	for name, tt := range refusals(domain, stranger, unknown, now) {
		t.Run(name, func(t *testing.T) {
			tok := token(t, tt.by, tt.request)
			id, err := a.Attest(t.Context(), bearer(tok))
			if err == nil || !id.IsZero() || errors.Is(err, attest.ErrNoEvidence) || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %q, %v, want an error with %q", id.Subject(), err, tt.want)
			}
			for part := range strings.SplitSeq(tok, ".") {
				if strings.Contains(err.Error(), part) {
					t.Errorf("the error repeats the token: %v", err)
				}
			}
		})
	}
}

func TestMalformedTokens(t *testing.T) {
	domain := trustdomain.New("example.org", trustdomain.Options{})
	a := open(t, bundles{domain})
	good := token(t, domain, trustdomain.JWTRequest{Audience: []string{audience}})
	header, rest, _ := strings.Cut(good, ".")
	payload, signature, _ := strings.Cut(rest, ".")
	for name, tok := range map[string]string{
		"no JWT":            "hello",
		"two parts":         header + "." + payload,
		"four parts":        good + ".x",
		"no signature":      header + "." + payload + ".",
		"altered payload":   header + "." + payload[:len(payload)-8] + "AAAAAAAA" + "." + signature,
		"altered signature": header + "." + payload + "." + strings.Repeat("A", len(signature)),
		"alg none":          "eyJhbGciOiJub25lIn0." + payload + ".",
	} {
		if id, err := a.Attest(t.Context(), bearer(tok)); err == nil || !id.IsZero() || errors.Is(err, attest.ErrNoEvidence) {
			t.Errorf("%s: got %q, %v, want an error", name, id.Subject(), err)
		}
	}
}

func TestLongTokensAreNotLookedAt(t *testing.T) {
	domain := trustdomain.New("example.org", trustdomain.Options{})
	a := open(t, bundles{domain})
	tok := token(t, domain, trustdomain.JWTRequest{Audience: []string{audience}, Claims: map[string]any{"pad": strings.Repeat("x", 8<<10)}})
	if id, err := a.Attest(t.Context(), bearer(tok)); err == nil || !strings.Contains(err.Error(), "expected at most 8192 bytes") {
		t.Errorf("got %q, %v, want it refused by its length", id.Subject(), err)
	}
	if _, ok := a.Digest(bearer(tok)); ok {
		t.Error("Digest: got one, want none")
	}
}

func TestMaxLifetimeIsConfigured(t *testing.T) {
	domain := trustdomain.New("example.org", trustdomain.Options{})
	a, err := jwtsvid.Open(jwtsvid.Config{Audience: audience, MaxLifetime: bundle.Duration{Duration: 3 * time.Hour}}, bundles{domain})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Attest(t.Context(), bearer(token(t, domain, trustdomain.JWTRequest{Audience: []string{audience}, Lifetime: 2 * time.Hour}))); err != nil {
		t.Errorf("2h under a maximum of 3h: %v", err)
	}
}

func TestRotatedKeysAreNotBelieved(t *testing.T) {
	domain := trustdomain.New("example.org", trustdomain.Options{})
	a := open(t, bundles{domain})
	tok := token(t, domain, trustdomain.JWTRequest{Audience: []string{audience}})
	domain.Rotate(trustdomain.KeepOld)
	if _, err := a.Attest(t.Context(), bearer(tok)); err != nil {
		t.Errorf("old key kept: %v", err)
	}
	domain.Rotate(trustdomain.DropOld)
	if _, err := a.Attest(t.Context(), bearer(tok)); err == nil {
		t.Error("old key dropped: got no error")
	}
}

func TestOpenDemandsAnAudience(t *testing.T) {
	if a, err := jwtsvid.Open(jwtsvid.Config{}, bundles{}); err == nil || a != nil {
		t.Errorf("got %v, %v, want an error", a, err)
	}
}

func Example() {
	domain := trustdomain.New("example.org", trustdomain.Options{})
	attestor, err := jwtsvid.Open(jwtsvid.Config{Audience: "mintmark"}, bundles{domain})
	if err != nil {
		fmt.Println(err)
		return
	}
	tok, err := domain.JWTSVID(domain.ID("agent"), trustdomain.JWTRequest{Audience: []string{"vault"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = attestor.Attest(context.Background(), attest.Evidence{Header: http.Header{"Authorization": {"Bearer " + tok}}})
	fmt.Println(err)
	// Output: aud: expected exactly "mintmark", got "vault"
}

// FuzzAttest holds that no header makes the attestor panic, prove anything
// that the domain did not sign, or repeat a token.
func FuzzAttest(f *testing.F) {
	domain := trustdomain.New("example.org", trustdomain.Options{})
	a := open(f, bundles{domain})
	good := token(f, domain, trustdomain.JWTRequest{Audience: []string{audience}, Lifetime: 50 * time.Minute})
	seeds := []string{"Bearer " + good, "bearer " + good, "Bearer " + good[:len(good)-1], "Basic YTpi", "Bearer ", "Bearer e30.e30.e30",
		"Bearer " + token(f, domain, trustdomain.JWTRequest{Audience: []string{"vault"}})}
	for _, s := range seeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		id, err := a.Attest(t.Context(), attest.Evidence{Header: http.Header{"Authorization": {header}}})
		if id.IsZero() != (err != nil) {
			t.Fatalf("got %q with error %v", id.Subject(), err)
		}
		if err == nil && !slices.Contains(seeds, header) && !strings.HasSuffix(header, " "+good) {
			// The signature's last character has bits that base64 ignores, so
			// another text can be the same token; its claims must be ours.
			if id.Subject() != "spiffe://example.org/agent/one" {
				t.Errorf("%q proves %q", header, id.Subject())
			}
		}
		if _, tok, ok := strings.Cut(header, " "); ok && err != nil && len(tok) > 200 && strings.Contains(err.Error(), tok) {
			t.Errorf("the error repeats the token: %v", err)
		}
	})
}
