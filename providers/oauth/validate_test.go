package oauth_test

import (
	"slices"
	"testing"

	"mintmark/broker/bundle"
	"mintmark/providers/internal/providertest"
	"mintmark/providers/oauth"
)

func TestConfigRules(t *testing.T) {
	secret := providertest.Ref(t, canary)
	ref := oauth.Source{Token: secret}
	signed := func(subject string) oauth.Source {
		return oauth.Source{Signed: &oauth.Signed{Key: secret, Issuer: "i", Subject: subject}}
	}
	url := func(text string) bundle.URL { return providertest.URL(t, text) }
	nothing := func(c *oauth.Config) { *c = oauth.Config{} }
	alone := func(c *oauth.Config) { // found by the resource, and proven by a key
		*c = oauth.Config{Discover: true, Resource: "https://mcp.example.org/mcp", ClientID: "id", AuthStyle: "private_key_jwt", Key: secret}
	}
	tests := map[string]struct {
		change []func(*oauth.Config)
		want   []string
	}{
		"as it is":                    {nil, nil},
		"plaintext beyond loopback":   {list(func(c *oauth.Config) { c.TokenURL = url("http://as.example.org/token") }), list("token_url")},
		"unknown style":               {list(func(c *oauth.Config) { c.AuthStyle = "jwt" }), list("auth_style")},
		"two scopes in one":           {list(func(c *oauth.Config) { c.Scopes = list("a", "b c") }), list("scopes[1]")},
		"relative resource":           {list(func(c *oauth.Config) { c.Resource = "/mcp" }), list("resource")},
		"resource with a fragment":    {list(func(c *oauth.Config) { c.Resource = "https://mcp.example.org/#a" }), list("resource")},
		"resource that is just right": {list(func(c *oauth.Config) { c.Resource = "urn:mcp:orders" }), nil},

		"nothing":                 {list(nothing), list("issuer", "client_id", "client_secret")},
		"two servers":             {list(func(c *oauth.Config) { c.Issuer = url("https://as.example.org") }), list("issuer")},
		"a plaintext issuer":      {list(func(c *oauth.Config) { c.TokenURL, c.Issuer = bundle.URL{}, url("http://as.example.org") }), list("issuer")},
		"revocation of an issuer": {list(alone, func(c *oauth.Config) { c.RevocationURL = url("https://as.example.org/r") }), list("revocation_url")},

		"found by the resource":            {list(alone), nil},
		"found by a name":                  {list(alone, func(c *oauth.Config) { c.Resource = "urn:mcp:orders" }), list("resource")},
		"found in plaintext":               {list(alone, func(c *oauth.Config) { c.Resource = "http://mcp.example.org/mcp" }), list("resource")},
		"found and named":                  {list(alone, func(c *oauth.Config) { c.TokenURL = url("https://as.example.org/token") }), list("discover")},
		"a secret for who is found":        {list(alone, func(c *oauth.Config) { c.AuthStyle, c.Key, c.ClientSecret = "", bundle.Ref{}, secret }), list("issuer")},
		"a token for who is found":         {list(alone, func(c *oauth.Config) { c.JWTBearer = &oauth.JWTBearer{Assertion: ref} }), list("issuer")},
		"a subject for who is found":       {list(alone, func(c *oauth.Config) { c.TokenExchange = &oauth.TokenExchange{Subject: ref} }), list("issuer")},
		"an actor for who is found":        {list(alone, func(c *oauth.Config) { c.TokenExchange = &oauth.TokenExchange{Subject: signed("a"), Actor: &ref} }), list("issuer")},
		"a refresh token for who is found": {list(alone, func(c *oauth.Config) { c.RefreshToken = &oauth.RefreshToken{Token: secret, State: "s"} }), list("issuer")},
		"an assertion for who is found":    {list(alone, func(c *oauth.Config) { c.JWTBearer = &oauth.JWTBearer{Assertion: signed("{agent}")} }), nil},

		"another's assertion for who is found": {list(alone, func(c *oauth.Config) { c.AssertionAudience = "https://as.example.org" }), list("issuer")},
		"another's SVID for who is found": {list(alone, func(c *oauth.Config) {
			c.JWTBearer = &oauth.JWTBearer{Assertion: oauth.Source{SVID: "https://as.example.org"}}
		}), list("issuer")},
		"an assertion to another for who is found": {list(alone, func(c *oauth.Config) {
			to := signed("{agent}")
			to.Signed.Audience = "https://as.example.org"
			c.JWTBearer = &oauth.JWTBearer{Assertion: to}
		}), list("issuer")},
		"an SVID for who is found": {list(alone, func(c *oauth.Config) { c.JWTBearer = &oauth.JWTBearer{Assertion: oauth.Source{SVID: "issuer"}} }), nil},

		"no secret":             {list(func(c *oauth.Config) { c.ClientSecret = bundle.Ref{} }), list("client_secret")},
		"a secret beside a key": {list(func(c *oauth.Config) { c.AuthStyle, c.Key = "private_key_jwt", secret }), list("client_secret")},
		"a key beside a secret": {list(func(c *oauth.Config) { c.Key = secret }), list("key")},
		"no key":                {list(func(c *oauth.Config) { c.AuthStyle, c.ClientSecret = "private_key_jwt", bundle.Ref{} }), list("key")},
		"a certificate, no key": {list(func(c *oauth.Config) { c.AuthStyle, c.ClientSecret, c.Certificate = "mtls", bundle.Ref{}, "c" }), list("key")},
		"a key, no certificate": {list(func(c *oauth.Config) { c.AuthStyle, c.ClientSecret, c.Key = "mtls", bundle.Ref{}, secret }), list("key")},
		"own certificate":       {list(func(c *oauth.Config) { c.AuthStyle, c.ClientSecret = "mtls", bundle.Ref{} }), nil},
		"bound to its own":      {list(func(c *oauth.Config) { c.AuthStyle, c.ClientSecret, c.CertificateBound = "mtls", bundle.Ref{}, true }), nil},
		"a certificate that nobody sees": {list(func(c *oauth.Config) {
			c.AuthStyle, c.ClientSecret = "mtls", bundle.Ref{}
			c.TokenURL, c.RevocationURL = url("http://127.0.0.1/token"), url("http://127.0.0.1/revoke")
		}), list("token_url", "revocation_url")},
		"a certificate in plaintext": {list(func(c *oauth.Config) {
			c.AuthStyle, c.ClientSecret, c.TokenURL = "mtls", bundle.Ref{}, url("http://as.example.org/token")
		}), list("token_url")},
		"bound to none": {list(func(c *oauth.Config) { c.CertificateBound = true }), list("certificate_bound")},
		"bound twice": {list(func(c *oauth.Config) {
			c.AuthStyle, c.ClientSecret, c.CertificateBound, c.DPoP = "mtls", bundle.Ref{}, true, true
		}), list("certificate_bound")},
		"a stray certificate": {list(func(c *oauth.Config) { c.Certificate = "c" }), list("certificate")},
		"own SVID":            {list(func(c *oauth.Config) { c.AuthStyle, c.ClientSecret, c.ClientID = "jwt_svid", bundle.Ref{}, "" }), nil},
		"a stray type":        {list(func(c *oauth.Config) { c.AssertionType = "jwt-bearer" }), list("assertion_type")},
		"an unknown type":     {list(func(c *oauth.Config) { c.AuthStyle, c.ClientSecret, c.AssertionType = "jwt_svid", bundle.Ref{}, "saml" }), list("assertion_type")},
		"nobody":              {list(func(c *oauth.Config) { c.AuthStyle, c.ClientSecret = "none", bundle.Ref{} }), list("auth_style")},
		"a public client's grant": {list(func(c *oauth.Config) {
			c.AuthStyle, c.ClientSecret, c.ClientID = "none", bundle.Ref{}, ""
			c.RefreshToken = &oauth.RefreshToken{Token: secret, State: "s"}
		}), list("client_id")},

		"two grants": {list(func(c *oauth.Config) {
			c.JWTBearer, c.TokenExchange = &oauth.JWTBearer{Assertion: ref}, &oauth.TokenExchange{Subject: ref}
		}), list("jwt_bearer")},
		"no source": {list(func(c *oauth.Config) { c.JWTBearer = &oauth.JWTBearer{} }), list("jwt_bearer.assertion")},
		"two sources": {list(func(c *oauth.Config) {
			c.JWTBearer = &oauth.JWTBearer{Assertion: oauth.Source{Token: secret, SVID: "a"}}
		}), list("jwt_bearer.assertion")},
		"unknown placeholder": {list(func(c *oauth.Config) { c.JWTBearer = &oauth.JWTBearer{Assertion: signed("{nobody}")} }), list("jwt_bearer.assertion.signed.subject")},
		"a type with a space": {list(func(c *oauth.Config) {
			c.TokenExchange = &oauth.TokenExchange{Subject: ref, Actor: &oauth.Source{Token: secret, Type: "a b"}}
		}), list("token_exchange.actor.type")},
		"no identity provider": {list(func(c *oauth.Config) { c.IDJAG = &oauth.IDJAG{Subject: ref, IDP: oauth.IDP{AuthStyle: "none"}} }), list("id_jag.idp")},
		"its SVID": {list(func(c *oauth.Config) {
			c.IDJAG = &oauth.IDJAG{Subject: ref, IDP: oauth.IDP{Issuer: url("https://idp.example.org"), AuthStyle: "jwt_svid"}}
		}), list("id_jag.idp.auth_style")},
		"its secret": {list(func(c *oauth.Config) {
			c.IDJAG = &oauth.IDJAG{Subject: ref, IDP: oauth.IDP{Issuer: url("https://idp.example.org"), ClientID: "id"}}
		}), list("id_jag.idp.client_secret")},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := oauth.Config{TokenURL: url("https://as.example.org/token"), ClientID: "id", ClientSecret: secret}
			for _, change := range tt.change {
				change(&c)
			}
			if got := providertest.Faults(c); !slices.Equal(got, tt.want) {
				t.Errorf("faults: got %v, want %v", got, tt.want)
			}
		})
	}
}

func list[T any](all ...T) []T { return all }

// Two grants in one file would end each other: the bundle refuses them by this.
func TestAGrantSaysWhereItIsKept(t *testing.T) {
	token, code := providertest.Ref(t, "token"), providertest.Ref(t, "code")
	for name, tt := range map[string]struct {
		config oauth.Config
		state  bundle.Path
		began  bundle.Ref
	}{
		"a refresh token": {oauth.Config{RefreshToken: &oauth.RefreshToken{Token: token, State: "/a"}}, "/a", token},
		"a code":          {oauth.Config{AuthorizationCode: &oauth.AuthorizationCode{Code: code, State: "/b"}}, "/b", code},
		"no such grant":   {oauth.Config{}, "", bundle.Ref{}},
	} {
		var holder bundle.Holder = tt.config
		if state, began := holder.Holds(); state != tt.state || began != tt.began {
			t.Errorf("%s: got %q and %v, want %q and %v", name, state, began, tt.state, tt.began)
		}
	}
}
