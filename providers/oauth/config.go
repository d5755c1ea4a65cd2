package oauth

import (
	"mintmark/broker/bundle"
	"mintmark/providers"
)

// Config is the registration of one client of one authorization server, and how
// it gets its tokens: by client_credentials, unless one of the grants at the end is
// given.
type Config struct {
	// TokenURL is the server's token endpoint, for a server without metadata.
	TokenURL bundle.URL `yaml:"token_url"`
	// RevocationURL is its revocation endpoint (RFC 7009), where TokenURL is given.
	RevocationURL bundle.URL `yaml:"revocation_url"`
	// NoRevocation leaves tokens to their end, for a server that has a revocation
	// endpoint and does not revoke tokens of this kind.
	NoRevocation bool `yaml:"no_revocation"`
	// Issuer is the server's issuer identifier, by which its endpoints are found
	// (RFC 8414).
	Issuer bundle.URL `yaml:"issuer"`
	// Discover finds the issuer in the metadata of Resource (RFC 9728). Where Issuer
	// is given too, the resource must name it.
	Discover bool `yaml:"discover"`
	// CA is a PEM file of the only roots to trust instead of the system's.
	CA bundle.Path `yaml:"ca"`

	// ClientID is who the broker is to the server.
	ClientID string `yaml:"client_id"`
	// ClientSecret is read anew for each mint.
	ClientSecret bundle.Ref `yaml:"client_secret"`
	// AuthStyle is how the client authenticates: "basic" (default), "post",
	// "private_key_jwt", "jwt_svid", "mtls" or "none".
	AuthStyle string `yaml:"auth_style"`
	// Key is a PEM private key: of private_key_jwt, or of mtls with Certificate.
	Key bundle.Ref `yaml:"key"`
	// KeyID is the kid of private_key_jwt, where the server wants one.
	KeyID string `yaml:"key_id"`
	// Certificate is the PEM chain of mtls. Without one, it is the broker's own X.509-SVID.
	Certificate bundle.Path `yaml:"certificate"`
	// AssertionType is the client_assertion_type of jwt_svid: "jwt-spiffe" (default)
	// or "jwt-bearer".
	AssertionType string `yaml:"assertion_type"`
	// AssertionAudience is the aud of a client assertion, instead of the issuer.
	AssertionAudience string `yaml:"assertion_audience"`

	// Scopes are what to ask for. Empty: what the server gives by itself.
	Scopes []string `yaml:"scopes"`
	// Resource is the resource indicator to ask for (RFC 8707).
	Resource string `yaml:"resource"`
	// Audience is sent as the audience parameter that some servers want instead.
	Audience string `yaml:"audience"`
	// DPoP asks for a token that is bound to a key of the lease (RFC 9449).
	DPoP bool `yaml:"dpop"`
	// CertificateBound says that the server binds the client's tokens to the
	// certificate that mtls shows (RFC 8705, section 3): upstreams are shown it too.
	CertificateBound bool `yaml:"certificate_bound"`

	// TokenExchange is RFC 8693.
	TokenExchange *TokenExchange `yaml:"token_exchange"`
	// JWTBearer is RFC 7523, section 2.1: workload identity federation.
	JWTBearer *JWTBearer `yaml:"jwt_bearer"`
	// IDJAG gets an identity assertion grant of an identity provider first.
	IDJAG *IDJAG `yaml:"id_jag"`
	// RefreshToken begins with a refresh token that an operator got.
	RefreshToken *RefreshToken `yaml:"refresh_token"`
	// AuthorizationCode begins with a code that an operator got.
	AuthorizationCode *AuthorizationCode `yaml:"authorization_code"`
}

// TokenExchange trades one token for another (RFC 8693).
type TokenExchange struct {
	// Subject is on whose behalf.
	Subject Source `yaml:"subject" check:"required"`
	// Actor is who acts: the broker.
	Actor *Source `yaml:"actor"`
}

// JWTBearer shows an assertion (RFC 7523).
type JWTBearer struct {
	// Assertion is what the server trusts.
	Assertion Source `yaml:"assertion" check:"required"`
}

// IDJAG is the identity assertion authorization grant: an identity provider
// exchanges a token about a user or workload for an assertion to the resource's
// authorization server, which exchanges that for an access token.
type IDJAG struct {
	// IDP is the identity provider.
	IDP IDP `yaml:"idp" check:"required"`
	// Subject is on whose behalf. Its type is id_token unless it says otherwise.
	Subject Source `yaml:"subject" check:"required"`
}

// IDP is an identity provider and who the broker is to it. The fields mean what
// those of Config do; AuthStyle may be "basic", "post", "private_key_jwt" or "none".
type IDP struct {
	Issuer       bundle.URL `yaml:"issuer"`
	TokenURL     bundle.URL `yaml:"token_url"`
	ClientID     string     `yaml:"client_id"`
	ClientSecret bundle.Ref `yaml:"client_secret"`
	AuthStyle    string     `yaml:"auth_style"`
	Key          bundle.Ref `yaml:"key"`
	KeyID        string     `yaml:"key_id"`
}

// RefreshToken is a grant that an operator brought about, and its rotation.
type RefreshToken struct {
	// Token is the refresh token to begin with. Another one there begins anew.
	Token bundle.Ref `yaml:"token" check:"required"`
	// State is the file that the broker keeps the present one in.
	State bundle.Path `yaml:"state" check:"required"`
}

// AuthorizationCode is the answer to an authorization request that an operator
// made in a browser (RFC 6749, section 4.1, with RFC 7636).
type AuthorizationCode struct {
	// Code is the code, used once. Another one there begins anew.
	Code bundle.Ref `yaml:"code" check:"required"`
	// Verifier is the PKCE code verifier of the request.
	Verifier bundle.Ref `yaml:"verifier" check:"required"`
	// RedirectURI is that of the request.
	RedirectURI string `yaml:"redirect_uri" check:"required"`
	// State is the file that the broker keeps the refresh token in.
	State bundle.Path `yaml:"state" check:"required"`
}

// account is who the broker is to one authorization server.
type account struct {
	id, style, keyID                 string
	secret, key                      bundle.Ref
	certificate                      bundle.Path
	assertionType, assertionAudience string
}

func (c Config) account() account {
	return account{
		id: c.ClientID, style: c.AuthStyle, keyID: c.KeyID, secret: c.ClientSecret, key: c.Key,
		certificate: c.Certificate, assertionType: c.AssertionType, assertionAudience: c.AssertionAudience,
	}
}

func (i IDP) account() account {
	return account{id: i.ClientID, style: i.AuthStyle, keyID: i.KeyID, secret: i.ClientSecret, key: i.Key}
}

// Holds says where the provider keeps its grant; see bundle.Holder.
func (c Config) Holds() (state bundle.Path, began bundle.Ref) {
	switch {
	case c.RefreshToken != nil:
		return c.RefreshToken.State, c.RefreshToken.Token
	case c.AuthorizationCode != nil:
		return c.AuthorizationCode.State, c.AuthorizationCode.Code
	}
	return "", bundle.Ref{}
}

// Mints says what the provider makes; see bundle.Minter.
func (c Config) Mints() string {
	switch {
	case c.DPoP:
		return bundle.BoundToken
	case c.CertificateBound:
		return bundle.CertificateBoundToken
	}
	return string(providers.Token)
}
