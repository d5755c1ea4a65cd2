package main

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"

	"mintmark/internal/trustdomain"
)

// nginxListener is one server block of nginx.conf.
type nginxListener struct {
	Address  string
	TLS      bool
	ClientCA string
}

// openNginx starts nginx, and returns its endpoints: plaintext, TLS, mTLS.
func (w *world) openNginx(ctx context.Context, path string) ([]endpoint, error) {
	var addresses [3]string
	for i := range addresses {
		var err error
		if addresses[i], err = freePort(); err != nil {
			return nil, err
		}
	}
	if err := w.writeNginx(addresses); err != nil {
		return nil, err
	}
	p, err := w.children.start("nginx", nil, path, "-p", w.path("nginx"), "-e", "stderr", "-c", w.path("nginx", "nginx.conf"))
	if err != nil {
		return nil, err
	}
	if err := p.ready(ctx, addresses[:]...); err != nil {
		return nil, err
	}
	client, mutual, err := w.clientTLS()
	return []endpoint{
		{name: nginx, address: addresses[0], path: "/mcp"},
		{name: nginx + "-tls", address: addresses[1], path: "/mcp", tls: client},
		{name: nginx + "-mtls", address: addresses[2], path: "/mcp", tls: mutual, noToken: true},
	}, err
}

func (w *world) writeNginx(addresses [3]string) error {
	svid, err := w.domain.X509SVID(w.domain.ID("nginx"), trustdomain.X509Request{Hosts: []string{"127.0.0.1"}})
	if err != nil {
		return err
	}
	chain, key, err := svid.Marshal()
	if err != nil {
		return err
	}
	return errors.Join(
		os.MkdirAll(w.path("nginx", "temp"), 0o700),
		os.WriteFile(w.path("nginx", "server.pem"), chain, 0o600),
		os.WriteFile(w.path("nginx", "server.key"), key, 0o600),
		os.WriteFile(w.path("nginx", "ca.pem"), encode(w.domain.Bundle().X509Authorities()), 0o600),
		w.fill("nginx", "nginx.conf", map[string]any{
			"Root": os.Geteuid() == 0, "Upstream": w.upstream, "Bearer": w.bearer,
			"Listeners": []nginxListener{
				{Address: addresses[0]},
				{Address: addresses[1], TLS: true},
				{Address: addresses[2], TLS: true, ClientCA: "ca.pem"},
			},
		}),
	)
}

func encode(certs []*x509.Certificate) []byte {
	var out []byte
	for _, c := range certs {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return out
}
