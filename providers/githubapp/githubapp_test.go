package githubapp_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"mintmark/broker/bundle"
	"mintmark/internal/fault"
	"mintmark/providers"
	"mintmark/providers/githubapp"
	"mintmark/providers/internal/providertest"
)

const token = "ghs_canary5f1d7cinstallation"

// appKey is a key as GitHub hands it out, in PKCS #1.
func appKey(t testing.TB) (bundle.Ref, *rsa.PrivateKey) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return providertest.Ref(t, string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}))), key
}

func open(t testing.TB, c githubapp.Config) providers.Provider {
	t.Helper()
	if got := providertest.Faults(c); len(got) > 0 {
		t.Fatalf("config: got faults %v, want none", got)
	}
	p, err := githubapp.Open(c, providers.Env{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func config(t testing.TB, key bundle.Ref, github http.Handler) githubapp.Config {
	return githubapp.Config{URL: providertest.URL(t, providertest.Serve(t, github)+"/api/v3"), AppID: "Iv1.app", InstallationID: 42, PrivateKey: key}
}

// github is a double with the endpoints that are called.
type github struct {
	t       *testing.T
	key     *rsa.PrivateKey
	body    string
	expires time.Time
	ended   []string
	end     int // the status of an end
}

func (g *github) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/v3/app/installations/42/access_tokens", g.issue)
	mux.HandleFunc("DELETE /api/v3/installation/token", func(w http.ResponseWriter, r *http.Request) {
		g.ended = append(g.ended, r.Header.Get("Authorization"))
		w.WriteHeader(g.end)
	})
	return mux
}

func (g *github) issue(w http.ResponseWriter, r *http.Request) {
	parsed, err := jwt.ParseSigned(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		g.t.Errorf("app JWT: %v", err)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	var claims jwt.Claims
	if err := parsed.Claims(g.key.Public(), &claims); err != nil || claims.Issuer != "Iv1.app" {
		g.t.Errorf("app JWT: got %+v, %v", claims, err)
	}
	if life := claims.Expiry.Time().Sub(claims.IssuedAt.Time()); life > 10*time.Minute || time.Since(claims.IssuedAt.Time()) < 55*time.Second {
		g.t.Errorf("app JWT: got a life of %v from %v on, want at most 10m from a minute ago", life, claims.IssuedAt.Time())
	}
	if r.Header.Get("X-GitHub-Api-Version") != "2022-11-28" || r.Header.Get("Accept") != "application/vnd.github+json" {
		g.t.Errorf("headers: got %v", r.Header)
	}
	body, _ := io.ReadAll(r.Body)
	g.body = string(body)
	providertest.Answer(201, "application/json; charset=utf-8", `{"token":"`+token+`","expires_at":"`+g.expires.UTC().Format(time.RFC3339)+
		`","permissions":{"metadata":"read","contents":"read","<b>":"read","issues":"`+token+`"},"repository_selection":"selected","repositories":[{"id":1}]}`)(w, r)
}

func newGitHub(t *testing.T) (*github, githubapp.Config) {
	ref, key := appKey(t)
	g := &github{t: t, key: key, expires: time.Now().Add(time.Hour).Truncate(time.Second), end: http.StatusNoContent}
	return g, config(t, ref, g.handler())
}

func TestTokensAreNarrowedAndEnded(t *testing.T) {
	g, c := newGitHub(t)
	c.Repositories, c.Permissions = []string{"orders", "site.github.io"}, map[string]string{"contents": "read"}
	r := providertest.One(t, open(t, c), token)
	leased, _ := r.Must(t, providers.Request{})
	if got := r.Reveal(t, leased).Token(); got != token {
		t.Errorf("token: got %q", got)
	}
	if g.body != `{"repositories":["orders","site.github.io"],"permissions":{"contents":"read"}}` {
		t.Errorf("request: got %s", g.body)
	}
	if !leased.NotAfter().Equal(g.expires) || !slices.Equal(leased.Scopes(), []string{"contents:read", "metadata:read"}) {
		t.Errorf("terms: got %v until %v, want what was granted until %v", leased.Scopes(), leased.NotAfter(), g.expires)
	}
	r.Stop(t)
	if !slices.Equal(g.ended, []string{"Bearer " + token}) {
		t.Errorf("ends: got %d, want the token's", len(g.ended))
	}
	if events := r.Events(t); events != "mint revoke" {
		t.Errorf("events: got %q", events)
	}
}

func TestWithoutNarrowingAllIsAskedFor(t *testing.T) {
	g, c := newGitHub(t)
	if _, err := open(t, c).Mint(t.Context(), providers.Request{}); err != nil || g.body != "{}" {
		t.Errorf("got %q, %v, want an empty object", g.body, err)
	}
}

func TestEndsThatFail(t *testing.T) {
	for status, want := range map[int]string{401: "", 200: "github gave no usable answer", 404: "the credential provider refused the broker", 500: "github could not serve the broker"} {
		g, c := newGitHub(t)
		g.end = status
		p := open(t, c)
		r := providertest.One(t, p, token)
		leased, _ := r.Must(t, providers.Request{})
		err := p.(providers.Revoker).Revoke(t.Context(), providers.Held{Opened: r.Reveal(t, leased)})
		if fault.HintOf(err) != want || len(g.ended) != 1 {
			t.Errorf("%d: got %v, want %q", status, err, want)
		}
		g.end = http.StatusNoContent
		r.Stop(t)
	}
	_, c := newGitHub(t)
	err := open(t, c).(providers.Revoker).Revoke(t.Context(), providers.Held{})
	if err == nil || fault.HintOf(err) == "" {
		t.Errorf("without the token: got %v, want an error", err)
	}
}

func TestRefusals(t *testing.T) {
	ref, _ := appKey(t)
	providertest.Refusals(t, "github", func(t *testing.T, system http.Handler) providers.Provider {
		return open(t, config(t, ref, system))
	})
	for body, want := range map[string]string{
		`{"expires_at":"2030-01-01T00:00:00Z"}`:         "github issued a credential without a token",
		`{"token":"` + token + `"}`:                     "github issued a credential without an end",
		`{"token":"` + token + `","expires_at":"soon"}`: "github issued a credential without an end",
	} {
		c, err := open(t, config(t, ref, providertest.Answer(201, "application/json", body))).Mint(t.Context(), providers.Request{})
		providertest.CheckAnswer(t, c, err, token)
		if fault.HintOf(err) != want {
			t.Errorf("%s: got %v, want %q", body, err, want)
		}
	}
}

func TestKeysThatAreOfNoUse(t *testing.T) {
	for name, ref := range map[string]bundle.Ref{"none": providertest.Ref(t, token), "not RSA": providertest.Ref(t, ecKey(t))} {
		c := config(t, ref, http.NotFoundHandler())
		got, err := open(t, c).Mint(t.Context(), providers.Request{})
		providertest.CheckAnswer(t, got, err, token)
		if fault.KindOf(err) != fault.Internal || strings.Contains(err.Error(), "404") {
			t.Errorf("%s: got %v, want a fault of our own before any request", name, err)
		}
	}
}

func TestConfigRules(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*githubapp.Config)
		want   []string
	}{
		"as it is":             {func(*githubapp.Config) {}, nil},
		"plaintext":            {func(c *githubapp.Config) { c.URL = providertest.URL(t, "http://github.example.org/api/v3") }, []string{"url"}},
		"an owner":             {func(c *githubapp.Config) { c.Repositories = []string{"me/orders"} }, []string{"repositories[0]"}},
		"too many":             {func(c *githubapp.Config) { c.Repositories = slices.Repeat([]string{"a"}, 501) }, []string{"repositories"}},
		"another level":        {func(c *githubapp.Config) { c.Permissions = map[string]string{"contents": "all"} }, []string{"permissions"}},
		"another name":         {func(c *githubapp.Config) { c.Permissions = map[string]string{"con tents": "read"} }, []string{"permissions"}},
		"a number below zero":  {func(c *githubapp.Config) { c.InstallationID = -1 }, []string{"installation_id"}},
		"permission that is":   {func(c *githubapp.Config) { c.Permissions = map[string]string{"pull_requests": "write"} }, nil},
		"repository with dots": {func(c *githubapp.Config) { c.Repositories = []string{"a.b_c-d"} }, nil},
	} {
		c := githubapp.Config{AppID: "1", InstallationID: 1}
		tt.change(&c)
		if got := providertest.Faults(c); !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %v, want %v", name, got, tt.want)
		}
	}
	if p, err := githubapp.Open(githubapp.Config{CA: "/nonexistent"}, providers.Env{}); err == nil || p != nil {
		t.Errorf("no roots: got %v, %v", p, err)
	}
}

func FuzzAnswer(f *testing.F) {
	ref, _ := appKey(f)
	f.Add(201, []byte(`{"token":"a","expires_at":"2030-01-01T00:00:00Z","permissions":{"a":"read"}}`))
	f.Add(201, []byte(`{"token":"a","expires_at":"2030-01-01T00:00:00Z","permissions":{"`+token+`":"read"}}`))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		if status < 200 || status > 599 {
			return
		}
		c, err := open(t, config(t, ref, providertest.Answer(status, "application/json", string(body)))).Mint(t.Context(), providers.Request{})
		if err == nil && c.NotAfter().IsZero() {
			t.Error("got a token without an end")
		}
		hidden := ""
		if len(body) > 16 {
			hidden = string(body)
		}
		providertest.CheckAnswer(t, c, err, hidden)
	})
}
