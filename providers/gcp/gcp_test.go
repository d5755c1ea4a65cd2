package gcp_test

import (
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"mintmark/broker/bundle"
	"mintmark/internal/fault"
	"mintmark/providers"
	"mintmark/providers/gcp"
	"mintmark/providers/internal/providertest"
)

const (
	pool      = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/mintmark"
	account   = "bot@project.iam.gserviceaccount.com"
	federated = "canary-5f1d7c-federated"
)

var exchanged = providertest.Answer(200, "application/json; charset=UTF-8",
	`{"access_token":"`+federated+`","issued_token_type":"urn:ietf:params:oauth:token-type:access_token","token_type":"Bearer","expires_in":3600}`)

func mux(sts, iam http.Handler) http.Handler {
	m := http.NewServeMux()
	m.Handle("POST /v1/token", sts)
	m.Handle("POST /v1/projects/-/serviceAccounts/"+account+":generateAccessToken", iam)
	return m
}

func config(t testing.TB, google http.Handler) gcp.Config {
	address := providertest.Serve(t, google)
	return gcp.Config{Audience: pool, TokenURL: providertest.URL(t, address+"/v1/token"), IAMURL: providertest.URL(t, address)}
}

func open(t testing.TB, c gcp.Config) providers.Provider {
	t.Helper()
	return openAs(t, c, providertest.Self{})
}

func openAs(t testing.TB, c gcp.Config, self providers.IdentitySource) providers.Provider {
	t.Helper()
	if got := providertest.Faults(c); len(got) > 0 {
		t.Fatalf("config: got faults %v, want none", got)
	}
	p, err := gcp.Open(c, providers.Env{Self: self})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestExchange(t *testing.T) {
	var form url.Values
	c := config(t, mux(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			t.Errorf("form: %v", err)
		}
		form = r.PostForm
		exchanged(w, r)
	}), http.NotFoundHandler()))
	c.Scopes = []string{"https://www.googleapis.com/auth/devstorage.read_only", "openid"}
	r := providertest.One(t, open(t, c), federated)
	leased, _ := r.Must(t, providers.Request{})
	if got := r.Reveal(t, leased).Token(); got != federated {
		t.Errorf("token: got %q", got)
	}
	want := url.Values{
		"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "audience": {pool},
		"scope":                {"https://www.googleapis.com/auth/devstorage.read_only openid"},
		"requested_token_type": {"urn:ietf:params:oauth:token-type:access_token"},
		"subject_token":        {"svid-for-https:" + pool}, "subject_token_type": {"urn:ietf:params:oauth:token-type:jwt"},
	}
	if form.Encode() != want.Encode() {
		t.Errorf("form: got %v, want %v", form, want)
	}
	if life := time.Until(leased.NotAfter()); life < 3500*time.Second || life > time.Hour || !slices.Equal(leased.Scopes(), c.Scopes) {
		t.Errorf("terms: got a life of %v for %v", life, leased.Scopes())
	}
	r.Stop(t)
}

func TestImpersonation(t *testing.T) {
	end := time.Now().Add(30 * time.Minute).UTC().Truncate(time.Second)
	var scope, audience, body, auth string
	c := config(t, mux(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		scope, audience = r.FormValue("scope"), r.FormValue("subject_token")
		exchanged(w, r)
	}), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		content, _ := io.ReadAll(r.Body)
		body, auth = string(content), r.Header.Get("Authorization")
		providertest.Answer(200, "application/json", `{"accessToken":"`+providertest.Canary+`","expireTime":"`+end.Format(time.RFC3339)+`"}`)(w, r)
	})))
	c.SubjectAudience, c.Scopes = "mine", []string{"a"}
	c.Impersonate = &gcp.Impersonate{ServiceAccount: account, Delegates: []string{"between@p.iam.gserviceaccount.com"}}
	c.Impersonate.Lifetime.Duration = 30 * time.Minute
	r := providertest.One(t, open(t, c), federated, providertest.Canary)
	leased, _ := r.Must(t, providers.Request{})
	if got := r.Reveal(t, leased).Token(); got != providertest.Canary || auth != "Bearer "+federated {
		t.Errorf("got token %q bought with %q", got, auth)
	}
	if scope != "https://www.googleapis.com/auth/cloud-platform" || audience != "svid-for-mine" {
		t.Errorf("exchange: got scope %q and subject %q", scope, audience)
	}
	if body != `{"delegates":["projects/-/serviceAccounts/between@p.iam.gserviceaccount.com"],"scope":["a"],"lifetime":"1800s"}` {
		t.Errorf("request: got %s", body)
	}
	if !leased.NotAfter().Equal(end) || !slices.Equal(leased.Scopes(), []string{"a"}) {
		t.Errorf("terms: got %v until %v, want until %v", leased.Scopes(), leased.NotAfter(), end)
	}
	r.Stop(t)
}

// mints returns a gcp whose token endpoint is system.
func mints(t *testing.T, system http.Handler) providers.Provider { return open(t, config(t, system)) }

func TestRefusals(t *testing.T) {
	t.Run("of the exchange", func(t *testing.T) {
		providertest.Refusals(t, "google sts", mints)
	})
	t.Run("of the impersonation", func(t *testing.T) {
		providertest.Refusals(t, "google iam", func(t *testing.T, system http.Handler) providers.Provider {
			c := config(t, mux(exchanged, system))
			c.Impersonate = &gcp.Impersonate{ServiceAccount: account}
			return open(t, c)
		})
	})
}

func TestReasons(t *testing.T) {
	providertest.Reasons(t, mints, map[string]string{
		`{"error":"invalid_grant","error_description":"` + providertest.Canary + `"}`: "invalid_grant: the pool's provider does not take",
		`{"error":"invalid_target"}`: "invalid_target: compare audience",
	})
	for answer, want := range map[string]string{
		`{"expireTime":"2030-01-01T00:00:00Z"}`: "google iam issued a credential without a token",
		`{"accessToken":"a"}`:                   "google iam issued a credential without an end",
	} {
		c := config(t, mux(exchanged, providertest.Answer(200, "application/json", answer)))
		c.Impersonate = &gcp.Impersonate{ServiceAccount: account}
		if _, err := open(t, c).Mint(t.Context(), providers.Request{}); fault.HintOf(err) != want {
			t.Errorf("%s: got %v, want %q", answer, err, want)
		}
	}
}

func TestIdentityRules(t *testing.T) {
	providertest.IdentityRules(t, "google sts", func(t *testing.T, system http.Handler, ca string, env providers.Env) (providers.Provider, error) {
		c := config(t, system)
		c.CA = bundle.Path(ca)
		return gcp.Open(c, env)
	})
}

func TestConfigRules(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*gcp.Config)
		want   []string
	}{
		"as it is":         {func(*gcp.Config) {}, nil},
		"plaintext":        {func(c *gcp.Config) { c.IAMURL = providertest.URL(t, "http://iam.example.org") }, []string{"iam_url"}},
		"a short audience": {func(c *gcp.Config) { c.Audience = "mintmark" }, []string{"audience"}},
		"two scopes":       {func(c *gcp.Config) { c.Scopes = []string{"a b"} }, []string{"scopes[0]"}},
		"a universe apart": {func(c *gcp.Config) { c.Universe = "example.org/x" }, []string{"universe"}},
		"no account":       {func(c *gcp.Config) { c.Impersonate = &gcp.Impersonate{ServiceAccount: "a/b@c"} }, []string{"impersonate.service_account"}},
		"a delegate": {func(c *gcp.Config) {
			c.Impersonate = &gcp.Impersonate{ServiceAccount: account, Delegates: []string{"x"}}
		}, []string{"impersonate.delegates[0]"}},
		"too long": {func(c *gcp.Config) {
			c.Impersonate = &gcp.Impersonate{ServiceAccount: account}
			c.Impersonate.Lifetime.Duration = 13 * time.Hour
		}, []string{"impersonate.lifetime"}},
	} {
		c := gcp.Config{Audience: pool}
		tt.change(&c)
		if got := providertest.Faults(c); !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %v, want %v", name, got, tt.want)
		}
	}
}

func FuzzImpersonation(f *testing.F) {
	f.Add(200, []byte(`{"accessToken":"a","expireTime":"2030-01-01T00:00:00.123456789Z"}`))
	f.Add(403, []byte(`{"error":{"code":403,"message":"m","status":"PERMISSION_DENIED"}}`))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		if status < 200 || status > 599 {
			return
		}
		c := config(t, mux(exchanged, providertest.Answer(status, "application/json", string(body))))
		c.Impersonate = &gcp.Impersonate{ServiceAccount: account}
		minted, err := open(t, c).Mint(t.Context(), providers.Request{})
		if err == nil && minted.NotAfter().IsZero() {
			t.Error("got a token without an end")
		}
		hidden := ""
		if len(body) > 16 {
			hidden = string(body)
		}
		providertest.CheckAnswer(t, minted, err, hidden)
	})
}

// A token that Google issued and the broker refuses is good there: it is on record, of the exchange and of
// the account.
func TestRefusedTokensAreOnRecord(t *testing.T) {
	for answer, reason := range map[string]string{
		`{"access_token":"TOKEN","token_type":"Bearer","expires_in":0}`: "google sts issued a token without a usable lifetime",
		`{"expires_in":{},"token_type":"DPoP","access_token":"TOKEN"}`:  "google sts issued a token that is not a bearer token",
	} {
		for _, as := range []*gcp.Impersonate{nil, {ServiceAccount: account}} {
			c := config(t, mux(providertest.Answer(200, "application/json", strings.ReplaceAll(answer, "TOKEN", federated)), http.NotFoundHandler()))
			c.Impersonate = as
			providertest.StaysKnown(t, open(t, c), reason, providertest.UntilUnknown, federated)
		}
	}
	end := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	for answer, tt := range map[string][2]string{
		`{"accessToken":"TOKEN"}`:                                                    {"google iam issued a credential without an end", providertest.UntilUnknown},
		`{"expireTime":7,"accessToken":"TOKEN"}`:                                     {"google iam issued a credential without an end", providertest.UntilUnknown},
		`{"accessToken":"TOKEN","expireTime":"` + end.Format(time.RFC3339) + `"} {}`: {"google iam gave no usable answer", providertest.Until(end)},
		`{"expireTime":"` + end.Format(time.RFC3339) + `"}`:                          {"google iam issued a credential without a token", ""},
	} {
		c := config(t, mux(exchanged, providertest.Answer(200, "application/json", strings.ReplaceAll(answer, "TOKEN", providertest.Canary))))
		c.Impersonate = &gcp.Impersonate{ServiceAccount: account}
		providertest.StaysKnown(t, open(t, c), tt[0], tt[1], federated, providertest.Canary)
	}
}
