package providers

import (
	"crypto"
	"crypto/x509"
	"fmt"
	"io"
	"sync/atomic"

	"mintmark/internal/wiped"
)

const redacted = "[redacted]"

// Secret is a value that redacts itself: no verb, encoder or logger shows it.
// It hides behind a closure because reflection-based printers reach through
// struct fields, pointers and maps, and none of them can look inside a func.
// The Pool drops it when the credential that it is of has ended, and its memory is
// overwritten once no call has what was read of it, see package wiped.
type Secret struct{ access func(drop bool) string }

// NewSecret hides a copy of value.
func NewSecret(value string) Secret { return hide(wiped.Clone(value)) }

// secretOf hides a copy of value, of which no other is made.
func secretOf(value []byte) Secret {
	return hide(wiped.String(append(wiped.Room(len(value)), value...)))
}

func hide(value string) Secret {
	kept := new(atomic.Pointer[string])
	kept.Store(&value)
	return Secret{access: func(drop bool) string {
		if drop {
			kept.Store(nil)
		}
		if value := kept.Load(); value != nil {
			return *value
		}
		return ""
	}}
}

// open returns the value, or "" for none and for one that was dropped.
func open(s Secret) string {
	if s.access == nil {
		return ""
	}
	return s.access(false)
}

func (s Secret) drop() {
	if s.access != nil {
		s.access(true)
	}
}

// Format writes the redaction, whatever the verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// MarshalText returns the redaction, so that no encoder shows the value.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// IsZero reports whether s hides nothing.
func (s Secret) IsZero() bool { return s.access == nil }

// PrivateKey is a signing key that redacts itself as a Secret does. It never leaves
// the process: what it signs does. The Pool drops it when its credential has ended.
type PrivateKey struct{ access func(drop bool) crypto.Signer }

// NewPrivateKey hides key.
func NewPrivateKey(key crypto.Signer) PrivateKey {
	kept := new(atomic.Pointer[crypto.Signer])
	kept.Store(&key)
	return PrivateKey{access: func(drop bool) crypto.Signer {
		if drop {
			kept.Store(nil)
		}
		if key := kept.Load(); key != nil {
			return *key
		}
		return nil
	}}
}

// reveal returns the key, or nil for none and for one that was dropped.
func (k PrivateKey) reveal() crypto.Signer {
	if k.access == nil {
		return nil
	}
	return k.access(false)
}

func (k PrivateKey) drop() {
	if k.access != nil {
		k.access(true)
	}
}

// Format writes the redaction, whatever the verb.
func (PrivateKey) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// MarshalText returns the redaction, so that no encoder shows the key.
func (PrivateKey) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// IsZero reports whether k hides nothing.
func (k PrivateKey) IsZero() bool { return k.access == nil }

// public returns the public half in DER (RFC 5280, SubjectPublicKeyInfo), by which
// a fingerprint knows the key, or nothing.
func (k PrivateKey) public() string {
	key := k.reveal()
	if key == nil {
		return ""
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil { // no key that crypto/x509 doesn't know gets here
		return ""
	}
	return string(der)
}
