package providers

import (
	"crypto"
	"crypto/x509"
	"fmt"
	"io"
)

const redacted = "[redacted]"

// Secret is a value that redacts itself: no verb, encoder or logger shows it.
// It hides behind a closure because reflection-based printers reach through
// struct fields, pointers and maps, and none of them can look inside a func.
type Secret struct{ reveal func() string }

// NewSecret hides value.
func NewSecret(value string) Secret { return Secret{reveal: func() string { return value }} }

// Format writes the redaction, whatever the verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// MarshalText returns the redaction, so that no encoder shows the value.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// IsZero reports whether s hides nothing.
func (s Secret) IsZero() bool { return s.reveal == nil }

// PrivateKey is a signing key that redacts itself as a Secret does. It never leaves
// the process: what it signs does.
type PrivateKey struct{ reveal func() crypto.Signer }

// NewPrivateKey hides key.
func NewPrivateKey(key crypto.Signer) PrivateKey {
	return PrivateKey{reveal: func() crypto.Signer { return key }}
}

// Format writes the redaction, whatever the verb.
func (PrivateKey) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// MarshalText returns the redaction, so that no encoder shows the key.
func (PrivateKey) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// IsZero reports whether k hides nothing.
func (k PrivateKey) IsZero() bool { return k.reveal == nil }

// public returns the public half in DER (RFC 5280, SubjectPublicKeyInfo), by which
// a fingerprint knows the key, or nothing.
func (k PrivateKey) public() string {
	if k.reveal == nil {
		return ""
	}
	der, err := x509.MarshalPKIXPublicKey(k.reveal().Public())
	if err != nil { // no key that crypto/x509 doesn't know gets here
		return ""
	}
	return string(der)
}
