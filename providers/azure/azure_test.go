package azure_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"mintmark/broker/bundle"
	"mintmark/providers"
	"mintmark/providers/azure"
	"mintmark/providers/internal/providertest"
)

func config(t testing.TB, authority http.Handler) azure.Config {
	return azure.Config{
		Authority: providertest.URL(t, providertest.Serve(t, authority)), TenantID: "contoso.example", ClientID: "0000-client",
		Scope: "https://graph.microsoft.com/.default",
	}
}

func open(t testing.TB, c azure.Config, env providers.Env) providers.Provider {
	t.Helper()
	if got := providertest.Faults(c); len(got) > 0 {
		t.Fatalf("config: got faults %v, want none", got)
	}
	p, err := azure.Open(c, env)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestTokensAreForTheBrokersOwnIdentity(t *testing.T) {
	for audience, want := range map[string]string{"": "svid-for-api://AzureADTokenExchange", "api://AzureADTokenExchangeUSGov": "svid-for-api://AzureADTokenExchangeUSGov"} {
		var form url.Values
		c := config(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err := r.ParseForm(); err != nil || r.URL.Path != "/contoso.example/oauth2/v2.0/token" {
				t.Errorf("request: got %s, %v", r.URL.Path, err)
			}
			form = r.PostForm
			providertest.Answer(200, "application/json; charset=utf-8", `{"token_type":"Bearer","expires_in":3599,"ext_expires_in":3599,"access_token":"`+providertest.Canary+`"}`)(w, r)
		}))
		c.Audience = audience
		r := providertest.One(t, open(t, c, providers.Env{Self: providertest.Self{}}), providertest.Canary)
		leased, _ := r.Must(t, providers.Request{})
		if got := r.Reveal(t, leased).Token(); got != providertest.Canary {
			t.Errorf("token: got %q", got)
		}
		wanted := url.Values{
			"grant_type": {"client_credentials"}, "client_id": {"0000-client"}, "scope": {"https://graph.microsoft.com/.default"},
			"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}, "client_assertion": {want},
		}
		if form.Encode() != wanted.Encode() {
			t.Errorf("form: got %v, want %v", form, wanted)
		}
		if life := time.Until(leased.NotAfter()); life < 3500*time.Second || life > 3599*time.Second || !slices.Equal(leased.Scopes(), []string{c.Scope}) {
			t.Errorf("terms: got a life of %v for %v", life, leased.Scopes())
		}
		r.Stop(t)
	}
}

// mints returns an azure whose authority is system.
func mints(t *testing.T, system http.Handler) providers.Provider {
	return open(t, config(t, system), providers.Env{Self: providertest.Self{}})
}

func TestRefusals(t *testing.T) { providertest.Refusals(t, "azure", mints) }

func TestWhatMicrosoftNumbers(t *testing.T) {
	providertest.Reasons(t, mints, map[string]string{
		`{"error":"invalid_request","error_description":"AADSTS700213: ` + providertest.Canary + `","error_codes":[700213]}`: "status 400: invalid_request: AADSTS700213: no federated credential fits",
		`{"error":"unauthorized_client","error_codes":[700016]}`:                                                             "AADSTS700016: no such application",
		`{"error":"invalid_client","error_codes":[1]}`:                                                                       "status 400: invalid_client",
		`{"error":"` + providertest.Canary + `","error_codes":["` + providertest.Canary + `"]}`:                              "status 400",
	})
}

func TestIdentityRules(t *testing.T) {
	providertest.IdentityRules(t, "azure", func(t *testing.T, system http.Handler, ca string, env providers.Env) (providers.Provider, error) {
		c := config(t, system)
		c.CA = bundle.Path(ca)
		return azure.Open(c, env)
	})
}

func TestConfigRules(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*azure.Config)
		want   []string
	}{
		"as it is":          {func(*azure.Config) {}, nil},
		"plaintext":         {func(c *azure.Config) { c.Authority = providertest.URL(t, "http://login.example.org") }, []string{"authority"}},
		"any directory":     {func(c *azure.Config) { c.TenantID = "common" }, []string{"tenant_id"}},
		"a path":            {func(c *azure.Config) { c.TenantID = "a/b" }, []string{"tenant_id"}},
		"dots":              {func(c *azure.Config) { c.TenantID = ".." }, []string{"tenant_id"}},
		"a delegated scope": {func(c *azure.Config) { c.Scope = "User.Read" }, []string{"scope"}},
		"two scopes":        {func(c *azure.Config) { c.Scope = "a/.default b/.default" }, []string{"scope"}},
	} {
		c := azure.Config{TenantID: "t", ClientID: "c", Scope: "https://vault.azure.net/.default"}
		tt.change(&c)
		if got := providertest.Faults(c); !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %v, want %v", name, got, tt.want)
		}
	}
}

// A token that Entra ID issued and the broker refuses is good there: it is on record.
func TestRefusedTokensAreOnRecord(t *testing.T) {
	for answer, reason := range map[string]string{
		`{"access_token":"TOKEN","token_type":"Bearer","expires_in":"soon"}`: "without a usable lifetime",
		`{"access_token":"TOKEN","token_type":"pop"}`:                        "not a bearer token",
		`{"token_type":7,"access_token":"TOKEN"}`:                            "not a bearer token",
		`{"access_token":"TOKEN","token_type":"Bearer"`:                      "no usable answer",
	} {
		answer = strings.ReplaceAll(answer, "TOKEN", providertest.Canary)
		p := open(t, config(t, providertest.Answer(200, "application/json", answer)), providers.Env{Self: providertest.Self{}})
		providertest.StaysKnown(t, p, reason, providertest.UntilUnknown, providertest.Canary)
	}
	p := open(t, config(t, providertest.Answer(200, "application/json", `{"token_type":"Bearer"}`)), providers.Env{Self: providertest.Self{}})
	providertest.StaysKnown(t, p, "no usable answer", "")
}
