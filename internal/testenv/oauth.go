package testenv

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// OAuthServer is a running OAuth 2 authorization server with one client, which
// authenticates with its secret, in the header or in the body. Where keys are
// given, there is a second client, KeyClient, which authenticates with those.
type OAuthServer struct {
	Issuer       string
	TokenURL     string
	JWKSURL      string
	ClientID     string
	ClientSecret string
	KeyClient    string
	Resource     string // resource indicator that gives JWT access tokens
	Scopes       []string
	MTLS         *OAuthMTLS // nil: not asked for

	base string
	proc *process
}

// OAuthOptions are optional.
type OAuthOptions struct {
	TTL      time.Duration // life of an access token in whole seconds, 60 s if zero
	Resource string        // "https://mcp.example.org/" if empty
	Issuer   string        // its address if empty
	Scopes   []string      // "read" and "write" if nil
	// Keys are the public keys, as a list of JWKs, of KeyClient and of who may make
	// assertions.
	Keys string
	// AssertionIssuer is the claim iss that assertions have to have, if it is not empty.
	AssertionIssuer string
	DPoPNonce       bool // proofs of possession must hold a nonce of the server
	// Clients are more of them, as a list of their metadata (RFC 7591, section 2),
	// without what all have.
	Clients string
	// MTLS has the server ask for client certificates too; see OAuthServer.MTLS.
	// Those of tls_client_auth are to be issued by ClientRoots, which is PEM.
	MTLS        bool
	ClientRoots string
	// SVIDClient is the SPIFFE ID and name of one more client, which shows JWT-SVIDs of
	// the trust domain whose bundle is in the file TrustBundle, as it is then.
	SVIDClient, TrustBundle string
}

// OAuth starts an OAuth 2 authorization server with a new signing key.
func OAuth(t testing.TB, options OAuthOptions) *OAuthServer {
	t.Helper()
	modules, script := nodeModules(t), filepath.Join(servers(t), "oauth", "server.mjs")
	s := &OAuthServer{
		ClientID:     "mintmark",
		ClientSecret: secret(),
		KeyClient:    "mintmark-key",
		Resource:     defaulted(options.Resource, "https://mcp.example.org/"),
		Scopes:       options.Scopes,
	}
	if s.Scopes == nil {
		s.Scopes = []string{"read", "write"}
	}
	s.proc = launch(t, server{
		name: "oauth",
		command: func(port int) command {
			s.locate(port, options)
			if options.MTLS {
				s.MTLS = newOAuthMTLS(t, options.ClientRoots)
			}
			return command{
				path: nodePath(t, modules),
				args: []string{script},
				dir:  filepath.Dir(script),
				env:  append(s.environment(port, options), "MODULES="+modules),
			}
		},
		ready: printedReady,
	})
	return s
}

func (s *OAuthServer) locate(port int, options OAuthOptions) {
	s.base = "http://" + address(port)
	s.Issuer = defaulted(options.Issuer, s.base)
	s.TokenURL = s.base + "/token"
	s.JWKSURL = s.base + "/jwks"
}

func (s *OAuthServer) environment(port int, options OAuthOptions) []string {
	ttl, nonce := defaulted(options.TTL, time.Minute), ""
	if options.DPoPNonce {
		nonce = "yes"
	}
	svids := ""
	if options.SVIDClient != "" {
		svids = encode(map[string]string{"id": options.SVIDClient, "bundle": options.TrustBundle})
	}
	return []string{
		"CLIENTS=" + options.Clients,
		"MTLS=" + s.MTLS.environment(),
		"SVIDS=" + svids,
		"KEYS=" + options.Keys,
		"ASSERTION_ISSUER=" + options.AssertionIssuer,
		"DPOP_NONCE=" + nonce,
		"PORT=" + strconv.Itoa(port),
		"ISSUER=" + s.Issuer,
		"CLIENT_ID=" + s.ClientID,
		"CLIENT_SECRET=" + s.ClientSecret,
		"RESOURCE=" + s.Resource,
		"SCOPE=" + strings.Join(s.Scopes, " "),
		"TOKEN_TTL=" + strconv.Itoa(int(ttl.Seconds())),
	}
}

func printedReady(_ context.Context, p *process) error {
	if !slices.Contains(strings.Split(p.output(), "\n"), "ready") {
		return fmt.Errorf("read log: no line \"ready\" yet")
	}
	return nil
}

// Fail makes the token endpoint answer every request with status.
func (s *OAuthServer) Fail(t testing.TB, status int) {
	t.Helper()
	s.control(t, http.MethodPost, "fail?status="+strconv.Itoa(status))
}

// Stall makes the token endpoint leave every request without an answer until
// the next Heal or Fail.
func (s *OAuthServer) Stall(t testing.TB) {
	t.Helper()
	s.control(t, http.MethodPost, "stall")
}

// Heal undoes Fail and Stall.
func (s *OAuthServer) Heal(t testing.TB) {
	t.Helper()
	s.control(t, http.MethodPost, "heal")
}

// Requests returns how many token requests have arrived, whatever came of them.
func (s *OAuthServer) Requests(t testing.TB) int {
	t.Helper()
	return s.control(t, http.MethodGet, "requests")
}

// Refusal returns why the server refused the last request that it did refuse. It
// tells no client.
func (s *OAuthServer) Refusal(t testing.TB) string {
	t.Helper()
	return s.ask(t, http.MethodGet, "requests").Refusal
}

// Active asks the server about a token (RFC 7662).
func (s *OAuthServer) Active(t testing.TB, token string) bool {
	t.Helper()
	form := url.Values{"token": {token}}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.TokenURL+"/introspection", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.SetBasicAuth(s.ClientID, s.ClientSecret)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var said struct{ Active *bool }
	if err := json.NewDecoder(resp.Body).Decode(&said); err != nil || said.Active == nil {
		t.Fatalf("ask the OAuth server about a token: %s, %v", resp.Status, err)
	}
	return *said.Active
}

// Stop ends the server, so that connections to it are refused.
func (s *OAuthServer) Stop() {
	s.proc.stop()
}

// RefreshToken returns a new refresh token of the client, as if a user had agreed
// in a browser.
func (s *OAuthServer) RefreshToken(t testing.TB) string {
	t.Helper()
	return s.ask(t, http.MethodPost, "grant").RefreshToken
}

// UserToken returns a new refresh token of the client, by which it may ask
// UserinfoURL who the user is: alice.
func (s *OAuthServer) UserToken(t testing.TB) string {
	t.Helper()
	return s.UserTokenOf(t, s.ClientID)
}

// UserTokenOf is UserToken for another client.
func (s *OAuthServer) UserTokenOf(t testing.TB, client string) string {
	t.Helper()
	return s.ask(t, http.MethodPost, "grant?for=user&client="+url.QueryEscape(client)).RefreshToken
}

// UserinfoURL is where the server is itself a resource (OpenID Connect Core, section
// 5.3), for tokens that are bound to a key too.
func (s *OAuthServer) UserinfoURL() string { return s.base + "/me" }

func (s *OAuthServer) control(t testing.TB, method, action string) int {
	t.Helper()
	return s.ask(t, method, action).Requests
}

type controlAnswer struct {
	Requests     int    `json:"requests"`
	Refusal      string `json:"refusal"`
	RefreshToken string `json:"refresh_token"`
}

func (s *OAuthServer) ask(t testing.TB, method, action string) controlAnswer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.base+"/control/"+action, nil)
	if err != nil {
		t.Fatalf("control OAuth server: %v", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatalf("control OAuth server: %v", err)
	}
	defer resp.Body.Close()
	var answer controlAnswer
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		t.Fatalf("control OAuth server: %s: %v", resp.Status, err)
	}
	return answer
}
