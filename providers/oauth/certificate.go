package oauth

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"net/http"

	"mintmark/internal/fault"
	"mintmark/providers"
)

// maxCertificate bounds the file of a client certificate.
const maxCertificate = 64 << 10

// metadataClient reads metadata and, of a client without a certificate, tokens. Where
// a server asks for a certificate everywhere, it is shown the one of then.
func (a account) metadataClient(roots *x509.CertPool, env providers.Env) *http.Client {
	settings := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	if a.style == styleMTLS {
		settings.GetClientCertificate = func(info *tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return a.ownCertificate(info.Context(), env)
		}
	}
	return providers.TLSClient(settings)
}

// showing returns a client for the exchange of l: on connections that show its
// certificate and no other, so that it is known to what a token is bound.
func (a *authority) showing(l login) *http.Client {
	if l.certificate == nil {
		return a.client
	}
	return providers.TLSClient(&tls.Config{
		RootCAs: a.roots, MinVersion: tls.VersionTLS12,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return l.certificate, nil },
	})
}

// ownCertificate returns what mtls shows: as it is now, so that files or an SVID that
// were replaced are used. Its errors are explained.
func (a account) ownCertificate(ctx context.Context, env providers.Env) (*tls.Certificate, error) {
	if a.certificate == "" {
		own, err := providers.OwnCertificate(ctx, env.Self)
		if err != nil {
			return nil, providers.Unreachable(server, err)
		}
		return own, nil
	}
	chain, err := a.certificate.Read(maxCertificate)
	if err != nil {
		return nil, ownFile(err)
	}
	key, err := a.key.Resolve()
	if err != nil {
		return nil, ownSecret(err)
	}
	pair, err := tls.X509KeyPair(chain, []byte(key))
	if err != nil { // its text may quote a line of the key's file
		return nil, ownFile(errors.New("expected a PEM chain in certificate, and in key the PEM private key of its first one, got something else"))
	}
	return &pair, nil
}

func ownFile(err error) error {
	return fault.Wrap("lease", fault.Internal, "the broker cannot use its own certificate for the credential provider", err)
}

// shown returns, for an error, what was shown: there are as many reasons to refuse a
// certificate as there are certificates, and the server tells none.
func (l login) shown() string {
	if l.certificate == nil {
		return ""
	}
	return "; it was shown the certificate with x5t#S256 " + thumbprint(l.certificate)
}

// thumbprint names a certificate as RFC 8705, section 3.1, does.
func thumbprint(c *tls.Certificate) string {
	sum := sha256.Sum256(c.Certificate[0])
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
