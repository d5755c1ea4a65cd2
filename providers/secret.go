package providers

import (
	"crypto"
	"crypto/x509"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
)

const redacted = "[redacted]"

// Secret is a value that redacts itself: no verb, encoder or logger shows it.
// It hides behind a closure because reflection-based printers reach through
// struct fields, pointers and maps, and none of them can look inside a func.
// The Pool overwrites it when the credential that it is of has ended. What was
// read of it before is a Go string, which nothing can overwrite.
type Secret struct {
	access func(wipe bool, before string) string
}

// NewSecret hides a copy of value.
func NewSecret(value string) Secret {
	h := &hidden{bytes: []byte(value)}
	return Secret{access: h.access}
}

// secretOf hides a copy of value, of which no string is made.
func secretOf(value []byte) Secret {
	h := &hidden{bytes: slices.Clone(value)}
	return Secret{access: h.access}
}

// hidden is the bytes of one Secret. Whoever reads gets all of them or none.
type hidden struct {
	mu    sync.RWMutex
	bytes []byte
}

// access returns the value, if there is one, after what is to stand before it, or
// overwrites it.
func (h *hidden) access(wipe bool, before string) string {
	if wipe {
		h.mu.Lock()
		defer h.mu.Unlock()
		clear(h.bytes)
		h.bytes = nil
		return ""
	}
	h.mu.RLock()
	defer h.mu.RUnlock()
	if len(h.bytes) == 0 {
		return ""
	}
	return before + string(h.bytes)
}

// open returns the value, or "" for none and for one that was wiped.
func open(s Secret) string {
	if s.access == nil {
		return ""
	}
	return s.access(false, "")
}

func (s Secret) wipe() {
	if s.access != nil {
		s.access(true, "")
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
