//go:build e2e

package oauth_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mintmark/broker/bundle"
	"mintmark/internal/dpop"
	"mintmark/internal/fault"
	"mintmark/internal/testenv"
	"mintmark/providers"
	"mintmark/providers/internal/providertest"
	"mintmark/providers/oauth"
)

// found is a registration that finds the server by its issuer.
func found(t *testing.T, s *testenv.OAuthServer) oauth.Config {
	c := config(t, s)
	c.TokenURL = bundle.URL{}
	c.Issuer = providertest.URL(t, s.Issuer)
	return c
}

func TestServerIsFoundAndTheClientProven(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	s := testenv.OAuth(t, testenv.OAuthOptions{Keys: key.public})
	for _, style := range []string{"basic", "post", "private_key_jwt"} {
		c := found(t, s)
		if c.AuthStyle = style; style == "private_key_jwt" {
			c.ClientID, c.ClientSecret, c.Key, c.KeyID = s.KeyClient, bundle.Ref{}, key.ref, "broker"
		}
		r := providertest.One(t, open(t, c, providers.Env{}), s.ClientSecret)
		for range 2 { // an assertion that came twice would be refused
			leased, _ := r.Must(t, providers.Request{})
			if got := claimsOf(t, r.Reveal(t, leased).Token()); got.Audience != s.Resource || got.Scope != "read" || got.Client != c.ClientID {
				t.Errorf("%s: got %+v, want one of %s for %s to read", style, got, c.ClientID, s.Resource)
			}
			r.Drop(t.Context(), "db")
		}
		_ = r.Close(t.Context()) // that a JWT is not revoked is another test's matter
		r.Finish(t)
	}
}

func TestTokenIsBoundToTheKeyOfItsLease(t *testing.T) {
	t.Parallel()
	for name, nonce := range map[string]bool{"without a nonce": false, "with a nonce": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			key := newKey(t)
			s := testenv.OAuth(t, testenv.OAuthOptions{Keys: key.public, DPoPNonce: nonce})
			c := config(t, s)
			c.DPoP, c.AuthStyle, c.ClientID, c.ClientSecret, c.Key = true, "private_key_jwt", s.KeyClient, bundle.Ref{}, key.ref
			c.AssertionAudience = s.Issuer
			r := providertest.One(t, open(t, c, providers.Env{}))
			defer r.Stop(t)
			var seen []string
			for range 2 {
				leased, _ := r.Must(t, providers.Request{})
				opened := r.Reveal(t, leased)
				thumbprint, err := dpop.Thumbprint(opened.Key().Public())
				if err != nil {
					t.Fatal(err)
				}
				if got := claimsOf(t, opened.Token()).Bound.Thumbprint; got != thumbprint || slices.Contains(seen, got) {
					t.Errorf("got a token bound to %q, want to the key of this lease %q and of no other", got, thumbprint)
				}
				seen = append(seen, thumbprint)
				r.Drop(t.Context(), "db")
			}
			if got, want := s.Requests(t), 2; nonce && got != want+1 || !nonce && got != want {
				t.Errorf("got %d requests, want %d, and one more for the first nonce", got, want)
			}
		})
	}
}

func TestTokenIsRevokedAtTheServer(t *testing.T) {
	t.Parallel()
	s := testenv.OAuth(t, testenv.OAuthOptions{})
	for name, change := range map[string]func(*oauth.Config){
		"found":      func(c *oauth.Config) { c.TokenURL, c.Issuer = bundle.URL{}, providertest.URL(t, s.Issuer) },
		"configured": func(c *oauth.Config) { c.RevocationURL = providertest.URL(t, s.TokenURL+"/revocation") },
	} {
		t.Run(name, func(t *testing.T) {
			c := config(t, s)
			c.Resource = "" // so that the token is opaque: this server revokes no JWTs
			change(&c)
			r := providertest.One(t, open(t, c, providers.Env{}), s.ClientSecret)
			leased, _ := r.Must(t, providers.Request{})
			token := r.Reveal(t, leased).Token()
			if !s.Active(t, token) {
				t.Fatal("introspection: got a dead token before its revocation")
			}
			r.Stop(t)
			if s.Active(t, token) {
				t.Error("introspection: got a live token after its revocation")
			}
			if got := r.Events(t); got != "mint revoke" {
				t.Errorf("events: got %q, want mint revoke", got)
			}
		})
	}
}

// A server that refuses to revoke its kind of token is taken at its word.
func TestTokenThatItsServerDoesNotRevoke(t *testing.T) {
	t.Parallel()
	s := testenv.OAuth(t, testenv.OAuthOptions{})
	r := providertest.One(t, open(t, found(t, s), providers.Env{}), s.ClientSecret)
	first, _ := r.Must(t, providers.Request{})
	r.Drop(t.Context(), "db")
	await(t, func() bool { return strings.Contains(r.Events(t), "revoke_failed") })
	r.Must(t, providers.Request{})
	if err := r.Close(t.Context()); err == nil {
		t.Error("close: got no error, want the first token's")
	}
	r.Finish(t)
	for _, record := range r.Records(t) {
		if record.Event == "revoke_failed" && (record.Credential != first.ID() || !strings.Contains(record.Reason, "set no_revocation")) {
			t.Errorf("record: got %+v, want the first token alone, and what to do", record)
		}
	}

	c := found(t, s)
	c.NoRevocation = true
	r = providertest.One(t, open(t, c, providers.Env{}), s.ClientSecret)
	r.Must(t, providers.Request{})
	r.Stop(t)
	if got := r.Events(t); got != "mint" {
		t.Errorf("events: got %q, want no revocation to be tried", got)
	}
}

func TestExchangeNamesTheAgentAndTheBroker(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	s := testenv.OAuth(t, testenv.OAuthOptions{Keys: key.public})
	c := found(t, s)
	c.TokenExchange = &oauth.TokenExchange{
		Subject: oauth.Source{Signed: &oauth.Signed{Key: key.ref, KeyID: "broker", Issuer: "https://mintmark.example.org", Subject: "{agent}"}},
		Actor:   &oauth.Source{SVID: "issuer"},
	}
	r := providertest.One(t, open(t, c, providers.Env{Self: self{key: key.key}}), s.ClientSecret)
	for _, agent := range []string{shopID, "spiffe://example.org/agent/report"} {
		leased, cached := r.Must(t, providertest.Agent(t, agent))
		got := claimsOf(t, r.Reveal(t, leased).Token())
		if cached || got.Subject != agent || got.Actor.Subject != brokerID || got.Audience != s.Resource {
			t.Errorf("got %+v (cached %t), want a token on behalf of %s by %s for %s", got, cached, agent, brokerID, s.Resource)
		}
	}
	_ = r.Close(t.Context())
	r.Finish(t)
}

func TestAssertionOfTheBrokersOwnIdentity(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	s := testenv.OAuth(t, testenv.OAuthOptions{Keys: key.public})
	c := config(t, s)
	c.JWTBearer = &oauth.JWTBearer{Assertion: oauth.Source{SVID: s.Issuer}}
	r := providertest.One(t, open(t, c, providers.Env{Self: self{key: key.key}}), s.ClientSecret)
	leased, _ := r.Must(t, providers.Request{})
	if got := claimsOf(t, r.Reveal(t, leased).Token()); got.Subject != brokerID || got.Scope != "read" {
		t.Errorf("got %+v, want a token of %s to read", got, brokerID)
	}
	r.Drop(t.Context(), "db")
	r.Stop(t)

	c.JWTBearer.Assertion.SVID = "https://other.example.org"
	r = providertest.One(t, open(t, c, providers.Env{Self: self{key: key.key}}), s.ClientSecret)
	defer r.Stop(t)
	r.Refused(t, providers.Request{}, fault.Internal)
}

func TestRefreshTokenRotatesAndItsThiefEndsIt(t *testing.T) {
	t.Parallel()
	s := testenv.OAuth(t, testenv.OAuthOptions{})
	c := found(t, s)
	first := s.RefreshToken(t)
	origin := filepath.Join(t.TempDir(), "refresh")
	put := func(token string) {
		if err := os.WriteFile(origin, []byte(token), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put(first)
	state := filepath.Join(t.TempDir(), "state", "tickets")
	c.RefreshToken = &oauth.RefreshToken{Token: providertest.Parse[bundle.Ref](t, "file:"+origin), State: bundle.Path(state)}
	// This server ends a grant with any token of it that is revoked, so none is.
	r := providertest.One(t, open(t, c, providers.Env{}), s.ClientSecret, first)
	r.Must(t, providers.Request{})
	r.Stop(t)
	if got := r.Events(t); got != "mint" {
		t.Errorf("events: got %q, want mint alone", got)
	}
	mint := func() error {
		t.Helper()
		// A new provider each time, as after a restart: all it has is the file.
		leased, err := open(t, c, providers.Env{}).Mint(t.Context(), providers.Request{})
		providertest.CheckAnswer(t, leased, err, first)
		return err
	}
	for range 3 {
		if err := mint(); err != nil {
			t.Fatalf("mint: %v", err)
		}
	}
	info, err := os.Stat(state)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("state: got %v, %v, want mode 0600", info.Mode(), err)
	}

	thief := c
	thief.RefreshToken = &oauth.RefreshToken{Token: providertest.Ref(t, first), State: bundle.Path(filepath.Join(t.TempDir(), "thief"))}
	if _, err := open(t, thief, providers.Env{}).Mint(t.Context(), providers.Request{}); fault.KindOf(err) != fault.Internal {
		t.Errorf("a token used twice: got %v, want it refused", err)
	}
	const hint = "the credential provider's grant has ended: an operator must authorize the broker anew"
	if err := mint(); fault.HintOf(err) != hint {
		t.Errorf("after the theft: got %v, want %q", err, hint)
	}
	asked := s.Requests(t)
	if err := mint(); fault.HintOf(err) != hint || s.Requests(t) != asked {
		t.Errorf("again: got %v and %d requests, want the same and none", err, s.Requests(t)-asked)
	}
	put(s.RefreshToken(t))
	if err := mint(); err != nil {
		t.Errorf("after an operator put a new one: got %v", err)
	}
}

func await(t *testing.T, ok func() bool) {
	t.Helper()
	awaitFor(t, 20*time.Second, ok)
}

func awaitFor(t *testing.T, limit time.Duration, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("got nothing within %s", limit)
		}
	}
}
