// Package pemkey reads private keys in PEM.
package pemkey

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
)

// Parse returns the private key in the first PEM block of text, PKCS #8, PKCS #1 for
// RSA or SEC 1 for EC, and what follows that block. Its errors quote nothing.
func Parse(text []byte) (key crypto.Signer, rest []byte, err error) {
	block, rest := pem.Decode(text)
	if block == nil {
		return nil, nil, errors.New("read key: got no PEM block, want a private key")
	}
	var parsed any
	switch block.Type {
	case "PRIVATE KEY":
		parsed, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		parsed, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		parsed, err = x509.ParseECPrivateKey(block.Bytes)
	default:
		return nil, nil, errors.New(`read key: got another kind of PEM block, want "PRIVATE KEY", "RSA PRIVATE KEY" or "EC PRIVATE KEY"`)
	}
	if err != nil {
		return nil, nil, errors.New("read key: got a block that is no private key, want PKCS #8, PKCS #1 for RSA, or SEC 1 for EC")
	}
	key, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, nil, errors.New("read key: got a key that does not sign, want RSA, EC or Ed25519")
	}
	return key, rest, nil
}
