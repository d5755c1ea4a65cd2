package providers

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
)

var errNoSVID = errors.New("no valid X.509-SVID of the broker")

// HTTPClientAs returns an HTTPClient that shows the broker's X.509-SVID to servers
// that ask for a client certificate.
func HTTPClientAs(roots *x509.CertPool, self IdentitySource) *http.Client {
	return TLSClient(&tls.Config{RootCAs: roots, GetClientCertificate: func(asked *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		if self == nil {
			return nil, errNoSVID
		}
		chain, key, err := self.X509SVID(asked.Context())
		if err != nil {
			return nil, errors.Join(errNoSVID, err)
		}
		return &tls.Certificate{Certificate: chain, PrivateKey: key}, nil
	}})
}
