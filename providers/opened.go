package providers

import (
	"crypto"
	"fmt"
	"sync"
	"sync/atomic"
)

// Parts are what an answer is searched for of a credential, in the clear: all but private
// keys and certificates. No scheme takes them: a request is made with an Opened alone, and
// so against a receipt. They redact themselves like a Secret.
type Parts struct{ m Material }

// Opened is a credential's material in the clear, for the one request it was
// recorded for. It redacts itself like a Secret.
type Opened struct {
	Parts
	once *once // of the lease
}

// once holds what was derived from a lease's material.
type once struct {
	mu    sync.Mutex
	done  atomic.Bool
	value any // set before done
}

func (k *once) derive(p Parts, derive func(Parts) any) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.done.Load() {
		k.value = derive(p)
		k.done.Store(true)
	}
}

// Once returns what derive made of o for this lease the first time: it spares the
// caller deriving the same from the material for each call. The value lives and
// dies with the lease; derive must not depend on anything else.
func (o Opened) Once(derive func(Parts) any) any {
	if o.once == nil {
		return derive(o.Parts)
	}
	if !o.once.done.Load() {
		o.once.derive(o.Parts, derive)
	}
	return o.once.value
}

// Username returns the user name of a Password, or the access key id of an AWS
// credential.
func (p Parts) Username() string {
	if p.m.AccessKeyID != "" {
		return p.m.AccessKeyID
	}
	return p.m.Username
}

// Token returns the value of a Token.
func (p Parts) Token() string { return open(p.m.Token) }

// Password returns the password of a Password.
func (p Parts) Password() string { return open(p.m.Password) }

// Pair returns the user name and the password, with a colon between (RFC 7617, section
// 2), for the caller to overwrite; nil where there is no password.
func (p Parts) Pair() []byte { return p.m.pair() }

// SecretAccessKey returns the signing key of an AWS credential.
func (p Parts) SecretAccessKey() string { return open(p.m.SecretAccessKey) }

// SessionToken returns the session token of an AWS credential, or "".
func (p Parts) SessionToken() string { return open(p.m.SessionToken) }

// Key returns the private key of an X509, or the one that a Token is bound to; nil
// where there is none.
func (o Opened) Key() crypto.Signer { return o.m.Key.reveal() }

// Chain returns the certificates of an X509 in DER, leaf first. It is shared: the
// caller does not write to it.
func (o Opened) Chain() [][]byte { return o.m.Chain }

// Format writes the redaction, whatever the verb.
func (Parts) Format(f fmt.State, verb rune) { Secret{}.Format(f, verb) }

// MarshalText returns the redaction, so that no encoder shows the parts.
func (Parts) MarshalText() ([]byte, error) { return Secret{}.MarshalText() }

// Format writes the redaction, whatever the verb.
func (Opened) Format(f fmt.State, verb rune) { Secret{}.Format(f, verb) }

// MarshalText returns the redaction, so that no encoder shows the parts.
func (Opened) MarshalText() ([]byte, error) { return Secret{}.MarshalText() }
