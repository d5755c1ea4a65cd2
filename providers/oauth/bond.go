package oauth

import (
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"golang.org/x/oauth2"

	"mintmark/internal/dpop"
	"mintmark/internal/fault"
	"mintmark/providers"
)

// bind returns the token with what it is bound to, and an error with it where that is
// something else than was registered: whatever is called with it would refuse it, or
// nobody would look.
func (p *provider) bind(token *oauth2.Token, b bond) (providers.Material, error) {
	material := providers.Material{Token: providers.NewSecret(token.AccessToken)}
	says, known := confirmationOf(token.AccessToken)
	switch {
	case b.key == nil && !strings.EqualFold(token.TokenType, "Bearer"): // a bound token, such as DPoP's, is no use as a bearer
		return material, fault.New("lease", fault.Internal, server+" issued a token that is not a bearer token")
	case b.key != nil && !strings.EqualFold(token.TokenType, "DPoP"): // nobody would check the proofs
		return material, fault.New("lease", fault.Internal, server+" issued a token that is not bound to the broker's key")
	case b.key != nil:
		material.Key = providers.NewPrivateKey(b.key)
		return material, says.ofKey(b.key)
	case p.config.CertificateBound && b.certificate == nil:
		return material, fault.New("lease", fault.Internal, "the broker showed no certificate that a token could be bound to")
	case p.config.CertificateBound && known && says.Certificate != thumbprint(b.certificate):
		return material, fault.Wrap("lease", fault.Internal, server+" issued a token that is not bound to the broker's certificate",
			fmt.Errorf("expected cnf with x5t#S256 %s, got another or none", thumbprint(b.certificate)))
	case p.config.CertificateBound:
		return certified(material, b)
	case says.Certificate != "":
		return material, fault.Wrap("lease", fault.Internal, server+" issued a token that is bound to a certificate",
			errors.New("upstreams refuse it without: set certificate_bound"))
	}
	return material, nil
}

// certified returns m with the certificate of b and its key, or an error and m.
func certified(m providers.Material, b bond) (providers.Material, error) {
	key, ok := b.certificate.PrivateKey.(crypto.Signer)
	if !ok {
		return m, ownFile(fmt.Errorf("expected a key that signs, got %T", b.certificate.PrivateKey))
	}
	m.Key, m.Chain = providers.NewPrivateKey(key), b.certificate.Certificate
	return m, nil
}

// confirmation is what a token is bound to, by thumbprints: a certificate (RFC 8705, section
// 3.1) or a key (RFC 9449, section 6.1).
type confirmation struct {
	Certificate string `json:"x5t#S256"`
	Key         string `json:"jkt"`
}

// confirmationOf returns what a token says of that, and whether it can: one that is no JWT
// cannot. It is read for what the server that gave it says, so its signature is not asked.
func confirmationOf(token string) (says confirmation, known bool) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return confirmation{}, false
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return confirmation{}, false
	}
	var claims struct {
		Confirmation confirmation `json:"cnf"`
	}
	if json.Unmarshal(payload, &claims) != nil {
		return confirmation{}, false
	}
	return claims.Confirmation, true
}

// ofKey refuses a token that names another key than own. One that names none may be known to
// be bound by introspection.
func (c confirmation) ofKey(own crypto.Signer) error {
	if c.Key == "" {
		return nil
	}
	want, err := dpop.Thumbprint(own.Public())
	if err != nil || c.Key != want {
		return fault.Wrap("lease", fault.Internal, server+" issued a token that is not bound to the broker's key",
			fmt.Errorf("expected cnf with jkt %s, got another", want))
	}
	return nil
}

// end returns the earlier one of a token's end and that of the certificate that has
// to be shown with it.
func (p *provider) end(token time.Time, b bond) (time.Time, error) {
	if !p.config.CertificateBound {
		return token, nil
	}
	leaf, err := x509.ParseCertificate(b.certificate.Certificate[0])
	if err != nil {
		return token, ownFile(errors.New("expected a certificate that parses, got another"))
	}
	if leaf.NotAfter.Before(token) {
		return leaf.NotAfter, nil
	}
	return token, nil
}
