// Package svidcert gives out the broker's own X.509-SVID as a client certificate,
// for upstreams that know workloads by their SPIFFE ID.
package svidcert

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"mintmark/internal/fault"
	"mintmark/providers"
)

// Config has no fields: who the broker is, its platform says.
type Config struct{}

type provider struct{ env providers.Env }

// Open returns the provider. It asks for no certificate yet.
func Open(_ Config, env providers.Env) (providers.Provider, error) {
	if env.Self == nil {
		return nil, errors.New("open x509-svid provider: it needs an identity of the broker's own: set trust.workload_api")
	}
	return &provider{env: env}, nil
}

// Mint returns the certificate of now, which ends when its leaf does.
func (p *provider) Mint(ctx context.Context, _ providers.Request) (providers.Credential, error) {
	chain, key, err := p.env.Self.X509SVID(ctx)
	if err != nil {
		return providers.Credential{}, fault.Wrap("lease", fault.Unavailable, "the broker has no certificate of its own", err)
	}
	leaf, err := parse(chain)
	if err != nil || key == nil {
		return providers.Credential{}, fault.Wrap("lease", fault.Internal, "the broker's own certificate is of no use", err)
	}
	if now := p.env.Now(); !now.Before(leaf.NotAfter) {
		return providers.Credential{}, fault.Wrap("lease", fault.Unavailable, "the broker has no certificate of its own",
			fmt.Errorf("it ended at %s", leaf.NotAfter.UTC().Format(time.RFC3339)))
	}
	var ids []string
	for _, id := range leaf.URIs {
		ids = append(ids, id.String())
	}
	return providers.Seal(providers.X509, providers.Material{Chain: chain, Key: providers.NewPrivateKey(key)}, providers.Terms{
		Scopes:   ids,
		NotAfter: leaf.NotAfter,
	}), nil
}

func parse(chain [][]byte) (*x509.Certificate, error) {
	if len(chain) == 0 {
		return nil, errors.New("got no certificate, want a chain")
	}
	leaf, err := x509.ParseCertificate(chain[0])
	if err != nil {
		return nil, errors.New("got a leaf that does not parse, want a certificate")
	}
	return leaf, nil
}

// Mints says what the provider makes; see bundle.Minter.
func (Config) Mints() string { return string(providers.X509) }
