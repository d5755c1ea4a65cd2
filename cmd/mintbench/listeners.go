package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"

	"mintmark/internal/trustdomain"
)

// listeners are the addresses at which a target takes calls: in plaintext, over
// TLS, and over mTLS.
type listeners [3]string

// The files of the proxies' one certificate, in the directory of certificates.
const (
	serverChain = "server.pem"
	serverKey   = "server.key"
	clientRoots = "ca.pem"
)

func (w *world) freeListeners() (at listeners, err error) {
	for i := range at {
		if at[i], err = w.freePort(); err != nil {
			return listeners{}, err
		}
	}
	return at, nil
}

// endpoints returns how a target is called: in plaintext and over TLS with the
// agents' tokens, over mTLS with the first agent's X.509-SVID.
func (w *world) endpoints(name, path string, at listeners) ([]endpoint, error) {
	plain := endpoint{name: name, address: at[0], path: path}
	if !w.o.tls || w.o.briefly(name) {
		return []endpoint{plain}, nil
	}
	client, mutual, err := w.clientTLS()
	return []endpoint{
		plain,
		{name: name + "-tls", address: at[1], path: path, tls: client},
		{name: name + "-mtls", address: at[2], path: path, tls: mutual, noToken: true},
	}, err
}

// clientTLS returns the client's side of TLS, and of mTLS as the first agent.
func (w *world) clientTLS() (plain, mutual *tls.Config, err error) {
	svid, err := w.domain.X509SVID(w.domain.ID("agent", "0"), trustdomain.X509Request{})
	if err != nil {
		return nil, nil, err
	}
	bundle, member := w.domain.Bundle(), tlsconfig.AuthorizeMemberOf(w.domain.TrustDomain())
	return tlsconfig.TLSClientConfig(bundle, member), tlsconfig.MTLSClientConfig(svid, bundle, member), nil
}

func (w *world) certificates() string { return w.path("certificates") }

// writeCertificates writes what the proxies show to clients, an SVID like
// Mintmark's, and by what they know them.
func (w *world) writeCertificates() error {
	svid, err := w.domain.X509SVID(w.domain.ID("proxy"), trustdomain.X509Request{Hosts: []string{"127.0.0.1"}})
	if err != nil {
		return err
	}
	chain, key, err := svid.Marshal()
	if err != nil {
		return err
	}
	dir := w.certificates()
	return errors.Join(
		os.Mkdir(dir, 0o700),
		os.WriteFile(filepath.Join(dir, serverChain), chain, 0o600),
		os.WriteFile(filepath.Join(dir, serverKey), key, 0o600),
		os.WriteFile(filepath.Join(dir, clientRoots), encode(w.domain.Bundle().X509Authorities()), 0o600),
	)
}

func encode(certs []*x509.Certificate) []byte {
	var out []byte
	for _, c := range certs {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return out
}

// serverTLS returns the server's side of TLS and of mTLS, with the files of a
// directory of certificates. Go picks TLS_AES_128_GCM_SHA256 by itself.
func serverTLS(dir string) (plain, mutual *tls.Config, err error) {
	certificate, err := tls.LoadX509KeyPair(filepath.Join(dir, serverChain), filepath.Join(dir, serverKey))
	if err != nil {
		return nil, nil, err
	}
	roots, err := os.ReadFile(filepath.Join(dir, clientRoots)) //nolint:gosec // G703: a directory that mintbench made
	if err != nil {
		return nil, nil, err
	}
	plain = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS13}
	mutual = plain.Clone()
	mutual.ClientAuth, mutual.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
	if !mutual.ClientCAs.AppendCertsFromPEM(roots) {
		return nil, nil, fmt.Errorf("read %s: got no certificate, want those of the trust domain", clientRoots)
	}
	return plain, mutual, nil
}
