package oauth_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"mintmark/internal/fault"
	"mintmark/providers"
	"mintmark/providers/internal/providertest"
	"mintmark/providers/oauth"
)

const canary = "canary-5d2e90ab17"

func serve(t *testing.T, h http.HandlerFunc) oauth.Config {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return oauth.Config{TokenURL: providertest.URL(t, s.URL+"/token"), ClientID: "mintmark", ClientSecret: providertest.Ref(t, canary+"-client")}
}

func answer(status int, kind, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func ok(body string) http.HandlerFunc { return answer(200, "application/json", body) }

func open(t *testing.T, c oauth.Config, env providers.Env) providers.Provider {
	t.Helper()
	if got := providertest.Faults(c); len(got) > 0 {
		t.Fatalf("config: got faults %v, want none", got)
	}
	p, err := oauth.Open(c, env)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return p
}

func TestRefusalsAreExplainedAndNotQuoted(t *testing.T) {
	const (
		refused  = "the credential provider refused the broker"
		unusable = "the authorization server gave no usable answer"
		notJSON  = "the authorization server did not answer with JSON"
		bearer   = "the authorization server issued a token that is not a bearer token"
		lifetime = "the authorization server issued a token without a usable lifetime"
		broken   = "the authorization server could not issue a token"
	)
	fail := func(status int, code string) http.HandlerFunc {
		return answer(status, "application/json", `{"error":"`+code+`","error_description":"`+canary+`","error_uri":"https://x/`+canary+`"}`)
	}
	tests := map[string]struct {
		handler http.HandlerFunc
		kind    fault.Kind
		hint    string
	}{
		"invalid client":      {fail(401, "invalid_client"), fault.Internal, refused},
		"invalid scope":       {fail(400, "invalid_scope"), fault.Internal, refused},
		"code of its own":     {fail(400, canary), fault.Internal, refused},
		"error in a 200":      {fail(200, "invalid_client"), fault.Internal, refused},
		"unavailable":         {fail(400, "temporarily_unavailable"), fault.Unavailable, broken},
		"limited":             {fail(429, "slow_down"), fault.Unavailable, "the authorization server limits how often the broker may ask"},
		"broken":              {answer(500, "text/html", canary), fault.Unavailable, broken},
		"bad gateway":         {answer(502, "text/plain", canary), fault.Unavailable, broken},
		"forbidden page":      {answer(403, "text/html", canary), fault.Internal, refused},
		"html":                {answer(200, "text/html", canary), fault.Unavailable, notJSON},
		"form":                {answer(200, "application/x-www-form-urlencoded", "access_token="+canary+"&token_type=bearer"), fault.Unavailable, notJSON},
		"plain text":          {answer(200, "text/plain", "access_token="+canary+"&token_type=bearer"), fault.Unavailable, notJSON},
		"json in name alone":  {ok(canary), fault.Unavailable, unusable},
		"a list":              {ok(`["` + canary + `"]`), fault.Unavailable, unusable},
		"cut short":           {ok(`{"access_token":"` + canary), fault.Unavailable, unusable},
		"no token":            {ok(`{"token_type":"Bearer","id_token":"` + canary + `"}`), fault.Unavailable, unusable},
		"token not text":      {ok(`{"access_token":12345,"token_type":"Bearer"}`), fault.Unavailable, unusable},
		"too long":            {ok(`{"access_token":"` + strings.Repeat(canary, 1<<17) + `","token_type":"Bearer"}`), fault.Unavailable, unusable},
		"bound token":         {ok(`{"access_token":"` + canary + `","token_type":"DPoP","expires_in":60}`), fault.Internal, bearer},
		"no token type":       {ok(`{"access_token":"` + canary + `","expires_in":60}`), fault.Internal, bearer},
		"no life":             {ok(`{"access_token":"` + canary + `","token_type":"Bearer","expires_in":0}`), fault.Internal, lifetime},
		"negative life":       {ok(`{"access_token":"` + canary + `","token_type":"Bearer","expires_in":-5}`), fault.Internal, lifetime},
		"life not a number":   {ok(`{"access_token":"` + canary + `","token_type":"Bearer","expires_in":{"a":"` + canary + `"}}`), fault.Unavailable, unusable},
		"redirect":            {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "http://127.0.0.1:1/"+canary, 307) }, fault.Unavailable, "the authorization server answered with a redirect, which is not followed"},
		"hangs up":            {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, fault.Unavailable, unusable},
		"token as the scope":  {ok(`{"access_token":"` + canary + `","token_type":"Bearer","scope":"read ` + canary + `"}`), fault.Internal, "the credential provider put the secret itself into the credential's terms"},
		"a refresh token too": {ok(`{"token_type":"Bearer","refresh_token":"` + canary + `"}`), fault.Unavailable, unusable},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := providertest.One(t, open(t, serve(t, tt.handler), providers.Env{}), canary)
			defer r.Stop(t)
			if hint := r.Refused(t, providers.Request{}, tt.kind); hint != tt.hint {
				t.Errorf("hint: got %q, want %q", hint, tt.hint)
			}
			if name != "token as the scope" { // the Pool's finding
				r.Names(t, "asked POST http://127.0.0.1:")
			}
		})
	}
}

func TestServerSaysHowLongToWait(t *testing.T) {
	for said, want := range map[string]time.Duration{"120": 2 * time.Minute, "soon " + canary: 0, "-1": 0} {
		c := serve(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", said)
			answer(503, "application/json", `{"error":"temporarily_unavailable"}`)(w, r)
		})
		_, err := open(t, c, providers.Env{}).Mint(t.Context(), providers.Request{})
		got, _ := errors.AsType[providers.RetryAfter](err)
		if time.Duration(got) != want || fault.KindOf(err) != fault.Unavailable || strings.Contains(err.Error(), canary) {
			t.Errorf("%s: got %v in %v, want %v", said, time.Duration(got), err, want)
		}
	}
}

func TestLifetime(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for name, tt := range map[string]struct {
		member string
		want   time.Duration
	}{
		"seconds":   {`,"expires_in":3600`, time.Hour},
		"as text":   {`,"expires_in":"3600"`, time.Hour},
		"unstated":  {``, time.Minute},
		"null":      {`,"expires_in":null`, time.Minute},
		"very long": {`,"expires_in":1000000000000`, 10 * 365 * 24 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			c := serve(t, ok(`{"access_token":"t","token_type":"bearer"`+tt.member+`}`))
			minted, err := open(t, c, providers.Env{Clock: func() time.Time { return now }}).Mint(t.Context(), providers.Request{})
			if err != nil {
				t.Fatal(err)
			}
			if got := minted.NotAfter().Sub(now); got != tt.want {
				t.Errorf("life: got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestRequest(t *testing.T) {
	for style, want := range map[string]struct{ header, body bool }{"": {true, false}, "basic": {true, false}, "post": {false, true}} {
		t.Run("style "+style, func(t *testing.T) {
			var form url.Values
			var basic bool
			c := serve(t, func(w http.ResponseWriter, r *http.Request) {
				_, password, given := r.BasicAuth()
				basic = given && password == canary+"-client"
				if err := r.ParseForm(); err != nil {
					t.Errorf("read form: %v", err)
				}
				form = r.PostForm
				ok(`{"access_token":"t","token_type":"Bearer","expires_in":60,"scope":"a"}`)(w, r)
			})
			c.AuthStyle, c.Scopes, c.Resource, c.Audience = style, []string{"a", "b"}, "https://mcp.example.org/", "aud"
			minted, err := open(t, c, providers.Env{}).Mint(t.Context(), providers.Request{})
			if err != nil {
				t.Fatal(err)
			}
			if basic != want.header || (form.Get("client_secret") == canary+"-client") != want.body {
				t.Errorf("client secret: got in the header %t, in the body %t, want %+v", basic, form.Has("client_secret"), want)
			}
			if form.Get("grant_type") != "client_credentials" || form.Get("scope") != "a b" || form.Get("resource") != "https://mcp.example.org/" || form.Get("audience") != "aud" {
				t.Errorf("form: got %v", form.Encode())
			}
			if !slices.Equal(minted.Scopes(), []string{"a"}) {
				t.Errorf("scopes: got %v, want those granted", minted.Scopes())
			}
		})
	}
}

func TestScopesAskedForWhereTheServerDoesNotSay(t *testing.T) {
	c := serve(t, ok(`{"access_token":"t","token_type":"Bearer"}`))
	c.Scopes = []string{"a", "b"}
	minted, err := open(t, c, providers.Env{}).Mint(t.Context(), providers.Request{})
	if err != nil || !slices.Equal(minted.Scopes(), c.Scopes) {
		t.Errorf("scopes: got %v, %v, want those asked for", minted.Scopes(), err)
	}
}

// A source that reuses tokens would answer the second mint itself.
func TestEachMintIsARequest(t *testing.T) {
	asked := 0
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked++
		ok(`{"access_token":"t","token_type":"Bearer","expires_in":3600}`)(w, r)
	})
	p := open(t, c, providers.Env{})
	if asked != 0 {
		t.Errorf("open: got %d requests, want none", asked)
	}
	for want := 1; want <= 2; want++ {
		if _, err := p.Mint(t.Context(), providers.Request{}); err != nil || asked != want {
			t.Errorf("mint %d: got %d requests, %v", want, asked, err)
		}
	}
}

func TestSecretThatCannotBeReadIsOurOwnFault(t *testing.T) {
	c := serve(t, ok(`{}`))
	t.Setenv("MINTMARK_TEST_UNSET", "")
	if err := c.ClientSecret.UnmarshalText([]byte("env:MINTMARK_TEST_UNSET")); err != nil {
		t.Fatal(err)
	}
	r := providertest.One(t, open(t, c, providers.Env{}), canary)
	defer r.Stop(t)
	if hint := r.Refused(t, providers.Request{}, fault.Internal); hint != "the broker cannot read its own secret for the credential provider" {
		t.Errorf("hint: got %q", hint)
	}
}

func TestOpenRefuses(t *testing.T) {
	c := oauth.Config{TokenURL: providertest.URL(t, "https://as.example.org/token"), ClientID: "id", AuthStyle: "jwt"}
	if p, err := oauth.Open(c, providers.Env{}); err == nil || p != nil {
		t.Errorf("unknown style: got %v, %v, want no provider and an error", p, err)
	}
	c.AuthStyle, c.CA = "", "/nonexistent/roots.pem"
	if p, err := oauth.Open(c, providers.Env{}); err == nil || p != nil {
		t.Errorf("no roots file: got %v, %v, want no provider and an error", p, err)
	}
}
