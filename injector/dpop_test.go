package injector

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"mintmark/broker/bundle"
	"mintmark/internal/dpop"
	"mintmark/internal/fault"
	"mintmark/providers"
)

func boundToken(t *testing.T) (providers.Opened, crypto.PublicKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return opened(t, providers.Token, providers.Material{Token: providers.NewSecret("tok-0123456789"), Key: providers.NewPrivateKey(key)}), key.Public()
}

// proofs is a server of a resource that demands a nonce of its own in each proof,
// or none when nonce is "".
type proofs struct {
	t      *testing.T
	key    crypto.PublicKey
	status int // of a proof without the nonce
	mu     sync.Mutex
	nonce  string
	next   string // given with an answer of 200
	seen   map[string]bool
	bodies []string
	calls  int
}

// ServeHTTP implements http.Handler.
func (p *proofs) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls++
	body := make([]byte, r.ContentLength)
	_, _ = r.Body.Read(body)
	p.bodies = append(p.bodies, string(body))
	claims, err := p.read(r)
	if err != nil {
		p.t.Errorf("proof: %v", err)
		w.WriteHeader(http.StatusTeapot)
		return
	}
	if claims["nonce"] != p.nonce && (claims["nonce"] != nil || p.nonce != "") {
		w.Header()["WWW-Authenticate"] = []string{`DPoP error="use_dpop_nonce", error_description="Resource server requires nonce in DPoP proof"`}
		w.Header().Set("DPoP-Nonce", p.nonce)
		w.WriteHeader(p.status)
		return
	}
	if p.next != "" {
		w.Header().Set("DPoP-Nonce", p.next)
		p.nonce = p.next
	}
}

func (p *proofs) read(r *http.Request) (claims map[string]any, err error) {
	if got := r.Header.Get("Authorization"); got != "DPoP tok-0123456789" || len(r.Header["Authorization"]) != 1 {
		return nil, errors.New("Authorization is " + got)
	}
	signed, err := jose.ParseSignedCompact(r.Header.Get("DPoP"), []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		return nil, err
	}
	payload, err := signed.Verify(p.key)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(payload, &claims); err != nil {
		return nil, err
	}
	id, _ := claims["jti"].(string)
	if claims["htm"] != r.Method || claims["htu"] != "http://"+r.Host+r.URL.Path || claims["ath"] != dpop.TokenHash("tok-0123456789") || p.seen[id] {
		return nil, errors.New("it is for another request, or a second time")
	}
	p.seen[id] = true
	return claims, nil
}

func newProofs(t *testing.T, key crypto.PublicKey) (*proofs, *Upstream) {
	t.Helper()
	p := &proofs{t: t, key: key, status: http.StatusUnauthorized, seen: map[string]bool{}}
	s := httptest.NewServer(p)
	t.Cleanup(s.Close)
	target, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	up, err := OpenUpstream(bundle.Upstream{URL: bundle.URL{URL: target}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(up.Close)
	return p, up
}

// sendBound makes a call with a bound token, and returns its answer's status and how
// often it was asked about right before it was written.
func sendBound(t *testing.T, up *Upstream, s Scheme, token providers.Opened) (status, rechecks int) {
	t.Helper()
	out := &Outgoing{Method: http.MethodPost, URL: up.URL("/orders", "/orders", "q=1"), Header: http.Header{}, Body: []byte("the body")}
	if err := s.Inject(out, token); err != nil {
		t.Fatal(err)
	}
	answer, err := up.Send(t.Context(), out, func() error { rechecks++; return nil })
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	return answer.StatusCode, rechecks
}

func TestDPoPWithoutANonce(t *testing.T) {
	token, key := boundToken(t)
	server, up := newProofs(t, key)
	s := openScheme(t, bundle.Injection{Scheme: "dpop"})
	for range 3 {
		if status, _ := sendBound(t, up, s, token); status != http.StatusOK {
			t.Errorf("got %d, want 200", status)
		}
	}
	if server.calls != 3 {
		t.Errorf("got %d calls, want 3", server.calls)
	}
}

// A nonce that is asked for is given in a second call of the same bytes; after
// that each answer's is given at once.
func TestDPoPGivesTheNonceThatIsAskedFor(t *testing.T) {
	token, key := boundToken(t)
	server, up := newProofs(t, key)
	server.nonce = "first"
	s := openScheme(t, bundle.Injection{Scheme: "dpop"})
	if status, rechecks := sendBound(t, up, s, token); status != http.StatusOK || server.calls != 2 || rechecks != 2 {
		t.Errorf("got %d after %d calls and %d checks, want 200 after two of each", status, server.calls, rechecks)
	}
	if server.bodies[0] != "the body" || server.bodies[1] != "the body" {
		t.Errorf("got bodies %q, want the same twice", server.bodies)
	}
	server.next = "second"
	for range 2 {
		if status, _ := sendBound(t, up, s, token); status != http.StatusOK {
			t.Errorf("got %d, want 200", status)
		}
	}
	if server.calls != 4 {
		t.Errorf("got %d calls, want 4: a nonce that is known is given at once", server.calls)
	}
}

// A server that is never content gets a call twice, and no more; so does none that
// asks with another status, or without a nonce.
func TestDPoPTriesOnce(t *testing.T) {
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		calls  int
	}{
		"never content": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("WWW-Authenticate", `DPoP error="use_dpop_nonce"`)
			w.Header().Set("DPoP-Nonce", rand.Text())
			w.WriteHeader(http.StatusUnauthorized)
		}, 2},
		"another status": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("WWW-Authenticate", `DPoP error="use_dpop_nonce"`)
			w.Header().Set("DPoP-Nonce", "n")
			w.WriteHeader(http.StatusForbidden)
		}, 1},
		"no nonce": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("WWW-Authenticate", `DPoP error="use_dpop_nonce"`)
			w.WriteHeader(http.StatusUnauthorized)
		}, 1},
		"another error": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("WWW-Authenticate", `DPoP error="invalid_token"`)
			w.Header().Set("DPoP-Nonce", "n")
			w.WriteHeader(http.StatusUnauthorized)
		}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			calls := 0
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { calls++; c.answer(w, r) }))
			defer server.Close()
			target, err := url.Parse(server.URL)
			if err != nil {
				t.Fatal(err)
			}
			up, err := OpenUpstream(bundle.Upstream{URL: bundle.URL{URL: target}})
			if err != nil {
				t.Fatal(err)
			}
			defer up.Close()
			token, _ := boundToken(t)
			if status, _ := sendBound(t, up, openScheme(t, bundle.Injection{Scheme: "dpop"}), token); status < 400 || calls != c.calls {
				t.Errorf("got %d after %d calls, want a refusal after %d", status, calls, c.calls)
			}
		})
	}
}

// What the call stands on is asked about before the second time as before the first.
func TestDPoPIsRecheckedBeforeTheSecondTime(t *testing.T) {
	token, key := boundToken(t)
	server, up := newProofs(t, key)
	server.nonce = "first"
	out := &Outgoing{Method: http.MethodGet, URL: up.URL("/orders", "/orders", ""), Header: http.Header{}}
	if err := openScheme(t, bundle.Injection{Scheme: "dpop"}).Inject(out, token); err != nil {
		t.Fatal(err)
	}
	rechecks, ended := 0, fault.New("lease", fault.Unavailable, "the credential ended")
	answer, err := up.Send(t.Context(), out, func() error {
		if rechecks++; rechecks > 1 {
			return ended
		}
		return nil
	})
	if err == nil {
		_ = answer.Body.Close()
	}
	if !errors.Is(err, ended) || server.calls != 1 {
		t.Errorf("got %v after %d calls, want the refusal after one", err, server.calls)
	}
}

func TestDPoPNeedsAKey(t *testing.T) {
	out := outgoing(nil)
	err := openScheme(t, bundle.Injection{Scheme: "dpop"}).Inject(out, tokenOf(t, "tok-0123456789"))
	if err == nil || !strings.Contains(err.Error(), "bound to a key") || len(out.Header) != 0 {
		t.Errorf("got %v, %v, want an error: without its key the token would be one that anybody can use", out.Header, err)
	}
}
