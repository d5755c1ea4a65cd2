package oauth_test

import (
	"crypto"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"mintmark/broker/bundle"
	"mintmark/internal/dpop"
	"mintmark/internal/fault"
	"mintmark/providers"
	"mintmark/providers/internal/providertest"
	"mintmark/providers/oauth"
)

func TestExchangeRequest(t *testing.T) {
	form, _ := asked(t, providers.Env{}, func(c *oauth.Config) {
		c.Scopes, c.Resource, c.Audience = []string{"read"}, "https://mcp.example.org/", "aud"
		c.TokenExchange = &oauth.TokenExchange{
			Subject: oauth.Source{Token: providertest.Ref(t, "subject-token"), Type: "id_token"},
			Actor:   &oauth.Source{Token: providertest.Ref(t, "actor-token"), Type: "urn:example:mine"},
		}
	})
	for name, want := range map[string]string{
		"grant_type":           "urn:ietf:params:oauth:grant-type:token-exchange",
		"requested_token_type": "urn:ietf:params:oauth:token-type:access_token",
		"subject_token":        "subject-token",
		"subject_token_type":   "urn:ietf:params:oauth:token-type:id_token",
		"actor_token":          "actor-token",
		"actor_token_type":     "urn:example:mine",
		"scope":                "read",
		"resource":             "https://mcp.example.org/",
		"audience":             "aud",
	} {
		if got := form.Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

func TestAgentIsNamedOrNoTokenIs(t *testing.T) {
	c := serve(t, ok(bearer))
	c.JWTBearer = &oauth.JWTBearer{Assertion: oauth.Source{Signed: &oauth.Signed{Key: newKey(t).ref, Issuer: "https://mintmark.example.org", Subject: "agent:{subject_path}"}}}
	p := open(t, c, providers.Env{})
	if bound, ok := p.(providers.AgentBound); !ok || !bound.PerAgent() {
		t.Error("per agent: got no, want a token for each agent")
	}
	if got, err := p.Mint(t.Context(), providers.Request{}); fault.KindOf(err) != fault.Internal || got.Kind() != "" {
		t.Errorf("nobody: got %v, %v, want no token", got, err)
	}
	if _, err := p.Mint(t.Context(), providertest.Agent(t, shopID)); err != nil {
		t.Errorf("an agent: got %v", err)
	}
	c.JWTBearer.Assertion.Signed.Subject = "mintmark"
	if bound, ok := open(t, c, providers.Env{}).(providers.AgentBound); !ok || bound.PerAgent() {
		t.Error("per agent: got yes, want one token for all")
	}
}

// identity assertion grants: what the two servers are shown, and what the identity
// provider may not answer.
func TestIdentityAssertion(t *testing.T) {
	const grant = `{"access_token":"the-grant","token_type":"N_A","issued_token_type":"urn:ietf:params:oauth:token-type:id-jag"}`
	for name, tt := range map[string]struct{ answer, hint string }{
		"as it should":    {grant, ""},
		"an access one":   {`{"access_token":"x","token_type":"Bearer","issued_token_type":"urn:ietf:params:oauth:token-type:access_token"}`, "the identity provider issued something else than an identity assertion grant"},
		"of no type":      {`{"access_token":"x","token_type":"N_A"}`, "the identity provider issued something else than an identity assertion grant"},
		"none":            {`{"token_type":"N_A"}`, "the authorization server gave no usable answer"},
		"type not a text": {`{"access_token":"x","token_type":"N_A","issued_token_type":["urn:ietf:params:oauth:token-type:id-jag"]}`, "the identity provider issued something else than an identity assertion grant"},
	} {
		t.Run(name, func(t *testing.T) {
			var first, second url.Values
			idp := serve(t, func(w http.ResponseWriter, r *http.Request) {
				_ = r.ParseForm()
				first = r.PostForm
				ok(tt.answer)(w, r)
			})
			c := serve(t, func(w http.ResponseWriter, r *http.Request) {
				_ = r.ParseForm()
				second = r.PostForm
				ok(bearer)(w, r)
			})
			c.Resource = "https://mcp.example.org/mcp"
			c.IDJAG = &oauth.IDJAG{
				IDP:     oauth.IDP{TokenURL: idp.TokenURL, ClientID: "at-the-idp", AuthStyle: "none"},
				Subject: oauth.Source{Token: providertest.Ref(t, "id-token")},
			}
			_, err := open(t, c, providers.Env{}).Mint(t.Context(), providers.Request{})
			if fault.HintOf(err) != tt.hint {
				t.Fatalf("got %v, want %q", err, tt.hint)
			}
			if first.Get("requested_token_type") != "urn:ietf:params:oauth:token-type:id-jag" || first.Get("subject_token_type") != "urn:ietf:params:oauth:token-type:id_token" ||
				first.Get("audience") != c.TokenURL.String() || first.Get("resource") != c.Resource || first.Get("client_id") != "at-the-idp" || first.Has("client_secret") {
				t.Errorf("identity provider: got %v", first)
			}
			if (second.Get("assertion") == "the-grant") != (tt.hint == "") {
				t.Errorf("resource's server: got %v", second)
			}
		})
	}
}

func TestTokenThatIsNotBound(t *testing.T) {
	for name, body := range map[string]string{
		"a bearer":  bearer,
		"no type":   `{"access_token":"t","expires_in":60}`,
		"another's": `{"access_token":"e30.` + base64.RawURLEncoding.EncodeToString([]byte(`{"cnf":{"jkt":"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}}`)) + `.s","token_type":"DPoP","expires_in":60}`,
	} {
		c := serve(t, ok(body))
		c.DPoP = true
		_, err := open(t, c, providers.Env{}).Mint(t.Context(), providers.Request{})
		if fault.HintOf(err) != "the authorization server issued a token that is not bound to the broker's key" {
			t.Errorf("%s: got %v, want it refused", name, err)
		}
	}
}

func TestTokenThatIsBoundToTheKeyOfItsProof(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		proof, err := jose.ParseSignedCompact(r.Header.Get(dpop.Header), []jose.SignatureAlgorithm{jose.ES256})
		if err != nil {
			t.Errorf("proof: %v", err)
			return
		}
		thumbprint, err := proof.Signatures[0].Header.JSONWebKey.Thumbprint(crypto.SHA256)
		if err != nil {
			t.Errorf("proof: %v", err)
		}
		claims := `{"cnf":{"jkt":"` + base64.RawURLEncoding.EncodeToString(thumbprint) + `"}}`
		ok(`{"access_token":"e30.`+base64.RawURLEncoding.EncodeToString([]byte(claims))+`.s","token_type":"DPoP","expires_in":60}`)(w, r)
	})
	c.DPoP = true
	if _, err := open(t, c, providers.Env{}).Mint(t.Context(), providers.Request{}); err != nil {
		t.Errorf("got %v, want a token", err)
	}
}

// A server that is never content with the nonce is asked twice, with two proofs and
// two assertions.
func TestNonceIsTakenOnce(t *testing.T) {
	var proofs, assertions []string
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		proofs, assertions = append(proofs, r.Header.Get(dpop.Header)), append(assertions, r.PostForm.Get("client_assertion"))
		w.Header().Set(dpop.NonceHeader, "another")
		answer(400, "application/json", `{"error":"use_dpop_nonce"}`)(w, r)
	})
	c.DPoP, c.AuthStyle, c.ClientSecret, c.Key = true, "private_key_jwt", bundle.Ref{}, newKey(t).ref
	_, err := open(t, c, providers.Env{}).Mint(t.Context(), providers.Request{})
	if fault.KindOf(err) != fault.Internal || !strings.Contains(err.Error(), "use_dpop_nonce") {
		t.Errorf("got %v, want it refused", err)
	}
	if len(proofs) != 2 || proofs[0] == "" || proofs[0] == proofs[1] || assertions[0] == assertions[1] {
		t.Errorf("got %d requests, want two that have nothing in common", len(proofs))
	}
}

func TestRevocationFailures(t *testing.T) {
	for name, tt := range map[string]struct {
		status int
		body   string
		kind   fault.Kind
	}{
		"forbidden":   {403, canary, fault.Internal},
		"broken":      {500, canary, fault.Unavailable},
		"limited":     {429, `{"error":"` + canary + `"}`, fault.Unavailable},
		"no content":  {204, "", fault.Internal},
		"no success":  {200, `{"error":"invalid_client","error_description":"` + canary + `"}`, fault.Internal},
		"unsupported": {400, `{"error":"unsupported_token_type","error_description":"` + canary + `"}`, fault.Internal},
	} {
		t.Run(name, func(t *testing.T) {
			refusing := true
			c := serve(t, func(w http.ResponseWriter, r *http.Request) {
				switch {
				case r.URL.Path == "/token":
					ok(`{"access_token":"`+canary+`-token","token_type":"Bearer","expires_in":60}`)(w, r)
				case refusing:
					answer(tt.status, "application/json", tt.body)(w, r)
				default:
					w.WriteHeader(http.StatusOK)
				}
			})
			c.RevocationURL = providertest.URL(t, strings.Replace(c.TokenURL.String(), "/token", "/revoke", 1))
			p := open(t, c, providers.Env{})
			r := providertest.One(t, p, canary)
			defer r.Stop(t)
			leased, _ := r.Must(t, providers.Request{})
			err := p.(providers.Revoker).Revoke(t.Context(), providers.Held{Opened: r.Reveal(t, leased)})
			if fault.KindOf(err) != tt.kind || fault.HintOf(err) == "" {
				t.Errorf("got %v, want kind %v", err, tt.kind)
			}
			r.Clean(t, "an error", err.Error())
			if err := p.(providers.Revoker).Revoke(t.Context(), providers.Held{}); fault.KindOf(err) != fault.Internal {
				t.Errorf("without the token: got %v, want an error", err)
			}
			refusing = false
		})
	}
}

// By Issuer it is decided who is shown a token after a crash: another revocation endpoint
// is another one to show it.
func TestTheIssuerIsWhoIsShownATokenToRevokeIt(t *testing.T) {
	const as = "https://as.example.org"
	url := func(s string) bundle.URL { return providertest.URL(t, s) }
	seen := map[string]string{}
	for name, change := range map[string]func(*oauth.Config){
		"issuer":                     func(c *oauth.Config) { c.Issuer = url(as) },
		"token endpoint":             func(c *oauth.Config) { c.TokenURL, c.RevocationURL = url(as), url(as+"/revoke") },
		"other revocation endpoint":  func(c *oauth.Config) { c.TokenURL, c.RevocationURL = url(as), url("https://b.example.org/revoke") },
		"another's token endpoint":   func(c *oauth.Config) { c.TokenURL, c.RevocationURL = url("https://b.example.org"), url(as+"/revoke") },
		"a resource's, whoever's is": func(c *oauth.Config) { c.Discover, c.Resource = true, "https://api.example.org/mcp" },
	} {
		c := oauth.Config{ClientID: "broker", ClientSecret: providertest.Ref(t, canary)}
		change(&c)
		p, err := oauth.Open(c, providers.Env{})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		issuer := p.(providers.Issuing).Issuer()
		if other, taken := seen[issuer]; taken || issuer == "" {
			t.Errorf("%s: got %q as for %q, want one of its own", name, issuer, other)
		}
		seen[issuer] = name
	}
}

// Not all servers that give an access token call it by the name of RFC 8693.
func TestWhatServersCallAnAccessToken(t *testing.T) {
	for name, issued := range map[string]string{
		"as in the standard": `"urn:ietf:params:oauth:token-type:access_token"`,
		"by its form":        `"urn:ietf:params:oauth:token-type:jwt"`,
		"Kanidm 1.10":        `"AccessToken"`,
		"Box":                `"bearer"`,
		"TokenSmith":         `"urn:ietf:params:oauth:token-type:access-token"`,
		"nothing":            `""`,
		"null":               `null`,
	} {
		c := serve(t, ok(`{"access_token":"t","token_type":"Bearer","expires_in":60,"issued_token_type":`+issued+`}`))
		exchanging(t)(&c)
		if _, err := open(t, c, providers.Env{}).Mint(t.Context(), providers.Request{}); err != nil {
			t.Errorf("%s: got %v, want a token", name, err)
		}
	}
}
