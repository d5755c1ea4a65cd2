package providers

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
)

var errNoSVID = errors.New("no valid X.509-SVID of the broker")

// OwnCertificate returns the broker's X.509-SVID as it is now, for a handshake. Its
// error is one that Unreachable explains.
func OwnCertificate(ctx context.Context, self IdentitySource) (*tls.Certificate, error) {
	if self == nil {
		return nil, errNoSVID
	}
	chain, key, err := self.X509SVID(ctx)
	if err != nil {
		return nil, errors.Join(errNoSVID, err)
	}
	if len(chain) == 0 || key == nil { // TLS would show none
		return nil, errNoSVID
	}
	return &tls.Certificate{Certificate: chain, PrivateKey: key}, nil
}

// HTTPClientAs returns an HTTPClient that shows the broker's X.509-SVID to servers
// that ask for a client certificate.
func HTTPClientAs(roots *x509.CertPool, self IdentitySource) *http.Client {
	return TLSClient(&tls.Config{RootCAs: roots, GetClientCertificate: func(asked *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		return OwnCertificate(asked.Context(), self)
	}})
}
