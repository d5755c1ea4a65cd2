package oauth

import (
	"net/url"
	"strconv"
	"strings"

	"mintmark/broker/bundle"
	"mintmark/providers"
)

type reporter = func(field, want, got string)

// Validate reports what the fields do not say one by one.
func (c Config) Validate(report func(field, want, got string)) {
	c.validateServer(report)
	c.account().validate(report, "")
	c.validateGrant(report)
	if c.CertificateBound && (c.AuthStyle != styleMTLS || c.DPoP) {
		report("certificate_bound", "it with auth_style mtls, and without dpop", "true")
	}
	for i, scope := range c.Scopes {
		if scope == "" || strings.ContainsFunc(scope, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' }) {
			report("scopes["+strconv.Itoa(i)+"]", "one scope, without spaces or quotes", strconv.Quote(scope))
		}
	}
	if u, err := url.Parse(c.Resource); c.Resource != "" && (err != nil || !u.IsAbs() || u.Fragment != "") {
		report("resource", "an absolute URI without a fragment", strconv.Quote(c.Resource))
	}
}

// validateServer reports a server that is not named once, and one that is named by
// the resource alone although it would be sent a stored secret: the resource
// could then have it sent to any server.
func (c Config) validateServer(report reporter) {
	providers.CheckEndpoint(report, "token_url", c.TokenURL)
	providers.CheckEndpoint(report, "issuer", c.Issuer)
	providers.CheckEndpoint(report, "revocation_url", c.RevocationURL)
	if c.AuthStyle == styleMTLS {
		shown(report, "token_url", c.TokenURL)
		shown(report, "revocation_url", c.RevocationURL)
	}
	named := count(c.TokenURL.URL != nil, c.Issuer.URL != nil)
	if named > 1 || named == 0 && !c.Discover {
		report("issuer", "one of token_url and issuer, or discover", strconv.Itoa(named)+" of them")
	}
	if c.TokenURL.URL == nil && c.RevocationURL.URL != nil {
		report("revocation_url", "none: an issuer's metadata names it", "one")
	}
	if !c.Discover {
		return
	}
	var resource bundle.URL
	if c.TokenURL.URL != nil {
		report("discover", "no token_url with it", "both")
	}
	if err := resource.UnmarshalText([]byte(c.Resource)); err != nil {
		report("resource", "the https URL of the protected resource, for discover", strconv.Quote(c.Resource))
	} else {
		providers.CheckEndpoint(report, "resource", resource)
	}
	if named == 0 && c.showsSecret() {
		report("issuer", "the issuer, since a stored secret is shown to it", "discover alone")
	}
}

// shown reports an endpoint that gets to see no certificate, as there is no TLS.
func shown(report reporter, field string, u bundle.URL) {
	if u.URL != nil && u.Scheme != "https" && u.Loopback() { // what is not loopback is reported already
		report(field, "an https URL, as auth_style mtls shows its certificate in TLS", u.Redacted())
	}
}

// showsSecret reports whether a server gets to see what it could use elsewhere: a
// secret, or an assertion that is not for it alone.
func (c Config) showsSecret() bool {
	for _, s := range c.sources() {
		if s.stored() && c.IDJAG == nil { // an ID-JAG's subject goes to the identity provider, which is named
			return true
		}
	}
	return !c.ClientSecret.IsZero() || c.AssertionAudience != "" || c.RefreshToken != nil || c.AuthorizationCode != nil
}

func (c Config) validateGrant(report reporter) {
	grants := c.grants()
	switch {
	case len(grants) > 1:
		report(grants[1], "one grant at most", strings.Join(grants, " and "))
	case len(grants) == 0 && c.AuthStyle == styleNone:
		report("auth_style", "a way to authenticate, or another grant than client_credentials", `"none"`)
	}
	if c.TokenExchange != nil {
		c.TokenExchange.Subject.validate(report, "token_exchange.subject")
		if c.TokenExchange.Actor != nil {
			c.TokenExchange.Actor.validate(report, "token_exchange.actor")
		}
	}
	if c.JWTBearer != nil {
		c.JWTBearer.Assertion.validate(report, "jwt_bearer.assertion")
	}
	if c.IDJAG != nil {
		c.IDJAG.validate(report)
	}
	if c.AuthStyle == styleNone && c.ClientID == "" && (c.RefreshToken != nil || c.AuthorizationCode != nil) {
		report("client_id", "the client's", "none")
	}
}

// grants returns the names of the grants that are given.
func (c Config) grants() (names []string) {
	if c.TokenExchange != nil {
		names = append(names, "token_exchange")
	}
	if c.JWTBearer != nil {
		names = append(names, "jwt_bearer")
	}
	if c.IDJAG != nil {
		names = append(names, "id_jag")
	}
	if c.RefreshToken != nil {
		names = append(names, "refresh_token")
	}
	if c.AuthorizationCode != nil {
		names = append(names, "authorization_code")
	}
	return names
}

func (g IDJAG) validate(report reporter) {
	g.Subject.validate(report, "id_jag.subject")
	providers.CheckEndpoint(report, "id_jag.idp.issuer", g.IDP.Issuer)
	providers.CheckEndpoint(report, "id_jag.idp.token_url", g.IDP.TokenURL)
	if (g.IDP.Issuer.URL == nil) == (g.IDP.TokenURL.URL == nil) {
		report("id_jag.idp", "exactly one of issuer and token_url", strconv.Itoa(count(g.IDP.Issuer.URL != nil, g.IDP.TokenURL.URL != nil)))
	}
	switch g.IDP.AuthStyle {
	case styleSVID, styleMTLS:
		report("id_jag.idp.auth_style", `"basic", "post", "private_key_jwt" or "none"`, strconv.Quote(g.IDP.AuthStyle))
	default:
		g.IDP.account().validate(report, "id_jag.idp.")
	}
}

// validate reports what a style of authentication wants or has no use for. The
// fields' names begin with prefix.
func (a account) validate(report reporter, prefix string) {
	need := func(field string, has, wanted bool) {
		switch {
		case wanted && !has:
			report(prefix+field, "one, for auth_style "+a.styleName(), "none")
		case has && !wanted:
			report(prefix+field, "none, for auth_style "+a.styleName(), "one")
		}
	}
	secret, key := !a.secret.IsZero(), !a.key.IsZero()
	switch a.styleName() {
	case styleBasic, stylePost:
		need("client_id", a.id != "", true)
		need("client_secret", secret, true)
		need("key", key, false)
	case styleKey:
		need("client_id", a.id != "", true)
		need("client_secret", secret, false)
		need("key", key, true)
	case styleMTLS:
		need("client_id", a.id != "", true)
		need("client_secret", secret, false)
		need("key", key, a.certificate != "")
	case styleSVID, styleNone:
		need("client_secret", secret, false)
		need("key", key, false)
	default:
		report(prefix+"auth_style", `"basic", "post", "private_key_jwt", "jwt_svid", "mtls" or "none"`, strconv.Quote(a.style))
	}
	if a.assertionType != "" && (a.style != styleSVID || a.assertionType != "jwt-spiffe" && a.assertionType != "jwt-bearer") {
		report(prefix+"assertion_type", `"jwt-spiffe" or "jwt-bearer", for auth_style jwt_svid`, strconv.Quote(a.assertionType))
	}
	if a.style != styleMTLS {
		need("certificate", a.certificate != "", false)
	}
}

func count(all ...bool) (n int) {
	for _, yes := range all {
		if yes {
			n++
		}
	}
	return n
}
