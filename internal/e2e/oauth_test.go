//go:build e2e

package e2e_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/modelcontextprotocol/go-sdk/auth"

	"mintmark/internal/testenv"
)

// The upstream gets a token that the OAuth server signed for it and nobody
// else, whatever an agent sends in its place.
func testOAuth(t *testing.T, w *world) {
	issuer, s := testenv.OAuth(t, testenv.OAuthOptions{TTL: time.Minute}), &secrets{}
	s.add("client secret", issuer.ClientSecret)
	v := &verifier{issuer: issuer, secrets: s}
	mail := newUpstream(t, auth.RequireBearerToken(v.verify, &auth.RequireBearerTokenOptions{Scopes: []string{"read"}})(stateless(newServer())))
	m := w.serve(t, site{secrets: s, policies: permitShop, config: fmt.Sprintf(`
providers:
  mail-token:
    kind: oauth
    token_url: %s
    client_id: %s
    client_secret: file:%s
    resource: %s
    scopes: [read]
upstreams:
  mail:
    url: %s
    credentials: [{provider: mail-token, scheme: bearer}]
`, newTap(t, strings.TrimSuffix(issuer.TokenURL, "/token"), s)+"/token", issuer.ClientID, secretFile(t, issuer.ClientSecret), issuer.Resource, mail.url)})

	tries := madeUp()
	tries.Set("Authorization", "Bearer "+rand.Text())
	session := m.agent(t, evidence{id: shopID, madeUp: tries}).connect(t, "mail", nil)
	m.wantMasked(t, session, "Authorization")
	mail.wantOnly(t, "Authorization", tries)
	if v.verified() != len(mail.requests()) {
		t.Errorf("upstream: verified %d of %d requests", v.verified(), len(mail.requests()))
	}
	decision := m.last(t, "--kind", "decision", "--tool", "headers")
	if want := []string{"Authorization", "Cookie", "X-Amz-Security-Token", "X-Api-Key"}; !slices.Equal(decision.Stripped, want) {
		t.Errorf("record: got stripped %v, want %v", decision.Stripped, want)
	}
	if left := time.Until(decision.NotAfter); left <= 0 || left > time.Minute || issuer.Requests(t) != 1 {
		t.Errorf("token: got one for %s of %d requests, want one of a minute at most", left, issuer.Requests(t))
	}

	// The upstream's own check can fail: the agent can't pass it by itself.
	direct, err := http.NewRequestWithContext(t.Context(), http.MethodPost, mail.url, strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	direct.Header = tries
	resp, err := http.DefaultClient.Do(direct)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("upstream without the broker: got %s, want 401", resp.Status)
	}
	m.stop(t)
	if !s.has("access_token") || !s.has("token at the upstream") {
		t.Error("secrets: got no token to look for")
	}
}

// verifier is how an upstream checks tokens: by the issuer's published keys.
type verifier struct {
	issuer  *testenv.OAuthServer
	secrets *secrets

	mu   sync.Mutex
	n    int
	last string // subject of the last one
}

// subject returns who the last token was issued to.
func (v *verifier) subject() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.last
}

func (v *verifier) verified() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.n
}

func (v *verifier) verify(ctx context.Context, token string, _ *http.Request) (*auth.TokenInfo, error) {
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", auth.ErrInvalidToken, err)
	}
	v.secrets.add("token at the upstream", token)
	keys, err := v.keys(ctx)
	if err != nil {
		return nil, err
	}
	var claims struct {
		jwt.Claims
		Scope string `json:"scope"`
	}
	if err := parsed.Claims(keys, &claims); err != nil {
		return nil, fmt.Errorf("%w: %w", auth.ErrInvalidToken, err)
	}
	want := jwt.Expected{Issuer: v.issuer.Issuer, AnyAudience: jwt.Audience{v.issuer.Resource}, Time: time.Now()}
	if err := claims.ValidateWithLeeway(want, 0); err != nil {
		return nil, fmt.Errorf("%w: %w", auth.ErrInvalidToken, err)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.n++
	v.last = claims.Subject
	return &auth.TokenInfo{Scopes: strings.Fields(claims.Scope), Expiration: claims.Expiry.Time()}, nil
}

func (v *verifier) keys(ctx context.Context) (*jose.JSONWebKeySet, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, v.issuer.JWKSURL, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var keys jose.JSONWebKeySet
	return &keys, json.NewDecoder(resp.Body).Decode(&keys)
}
