package vault

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"time"

	"mintmark/internal/fault"
	"mintmark/providers"
	"mintmark/providers/internal/pemkey"
)

// x509 reads a certificate, its key and, where f names one, its chain.
func (f Fields) x509(data map[string]any) (providers.Material, error) {
	leaf, err := fill(f.Certificate, data)
	if err != nil {
		return providers.Material{}, err
	}
	private, err := fill(f.Key, data)
	if err != nil {
		return providers.Material{}, err
	}
	above := ""
	if f.Chain != "" {
		if above, err = fill(f.Chain, data); err != nil {
			return providers.Material{}, err
		}
	}
	chain, key, err := pair(leaf+"\n"+above, private)
	if err != nil {
		return providers.Material{}, fault.Wrap("lease", fault.Internal, "vault gave no usable certificate", err)
	}
	return providers.Material{Chain: chain, Key: providers.NewPrivateKey(key)}, nil
}

// pair reads PEM certificates, leaf first, and the key of the leaf. Its errors
// quote nothing.
func pair(certificates, private string) (chain [][]byte, key crypto.Signer, err error) {
	rest := []byte(certificates)
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type == "CERTIFICATE" {
			chain = append(chain, block.Bytes)
		}
	}
	if len(chain) == 0 {
		return nil, nil, errors.New("read certificate: got no PEM certificate, want one")
	}
	leaf, err := x509.ParseCertificate(chain[0])
	if err != nil {
		return nil, nil, errors.New("read certificate: got one that does not parse, want an X.509 certificate")
	}
	if key, _, err = pemkey.Parse([]byte(private)); err != nil {
		return nil, nil, err
	}
	public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !public.Equal(leaf.PublicKey) {
		return nil, nil, errors.New("read key: got another certificate's, want the leaf's")
	}
	return chain, key, nil
}

// ends returns when the first certificate of a chain that was read by pair ends.
func ends(chain [][]byte) time.Time {
	leaf, err := x509.ParseCertificate(chain[0])
	if err != nil {
		return time.Time{}
	}
	return leaf.NotAfter
}
