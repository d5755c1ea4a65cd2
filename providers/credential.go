package providers

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"time"

	"mintmark/broker/audit"
	"mintmark/internal/fault"
)

// Kind is the shape of a credential's material, which decides the schemes that
// can inject it.
type Kind string

// The kinds of material.
const (
	Token    Kind = "token"    // one opaque value: Material.Token, bound to Material.Key, or to Material.Chain with it
	Password Kind = "password" // Material.Username and Material.Password
	AWS      Kind = "aws"      // Material.AccessKeyID, SecretAccessKey, SessionToken
	X509     Kind = "x509"     // Material.Chain, leaf first, and Material.Key
)

// Material is what a credential is made of. It exists in the clear only
// between a provider's answer and Seal, and between Reveal and the upstream
// request.
type Material struct {
	Token                         Secret
	Username                      string // part of a Password, not secret by itself
	Password                      Secret
	AccessKeyID                   string
	SecretAccessKey, SessionToken Secret
	Key                           PrivateKey
	Chain                         [][]byte // certificates in DER, leaf first; not secret
}

// Format writes the redaction, whatever the verb.
func (Material) Format(f fmt.State, verb rune) { Secret{}.Format(f, verb) }

// MarshalText returns the redaction, so that no encoder shows the parts.
func (Material) MarshalText() ([]byte, error) { return Secret{}.MarshalText() }

// selfContained reports whether m says itself until when it is good, as a JWT does, and
// what AWS lends: servers take it without asking the system that made it.
func (m Material) selfContained() bool {
	return open(m.SessionToken) != "" || isJWT(open(m.Token)) || isJWT(open(m.Password))
}

// isJWT reports whether token is signed or encrypted (RFC 7515, RFC 7516): its head is an object,
// which may have blanks and lines in it.
func isJWT(token string) bool {
	head, rest, _ := strings.Cut(token, ".")
	object, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(head, "="))
	return err == nil && strings.Contains(rest, ".") && bytes.HasPrefix(bytes.TrimLeft(object, " \t\r\n"), []byte("{"))
}

// pair returns the user name and the password, with a colon between (RFC 7617), for the
// caller to overwrite; nil where there is no password.
func (m Material) pair() []byte {
	password := open(m.Password) // once: it is dropped when the credential ends
	if password == "" {
		return nil
	}
	b := make([]byte, 0, len(m.Username)+1+len(password)) // at once: what append moves stays where it was
	return append(append(append(b, m.Username...), ':'), password...)
}

// secrets returns every part that must never be shown, empty ones left out.
func (m Material) secrets() []string {
	var s []string
	for _, part := range []Secret{m.Token, m.Password, m.SecretAccessKey, m.SessionToken} {
		if v := open(part); v != "" {
			s = append(s, v)
		}
	}
	return s
}

// complete reports whether m holds everything that a credential of kind k needs.
func (m Material) complete(k Kind) bool {
	switch k {
	case Token:
		return open(m.Token) != ""
	case Password:
		return m.Username != "" && open(m.Password) != ""
	case AWS:
		return m.AccessKeyID != "" && open(m.SecretAccessKey) != ""
	case X509:
		return len(m.Chain) > 0 && !m.Key.IsZero()
	}
	return false
}

// Terms is what the issuing system said about a credential, safe to record.
type Terms struct {
	Scopes   []string
	NotAfter time.Time // zero: the issuing system set no end (a static secret); the Pool sets one
	Lease    string    // the issuing system's handle for renewal and revocation, or ""
	// Revocable says that the system ends the credential where it is shown the
	// secret itself, as in RFC 7009; a handle is then not needed. A Token is kept in
	// escrow for that: see PoolOptions and Issuing.
	Revocable bool
	// Fixed says that the system does not prolong this credential, though it prolongs
	// others: its Renewer is not asked.
	Fixed bool

	systemEnd time.Time // what NotAfter was, before the Pool set an earlier one
}

// Credential is a leased credential. Its secret is revealed only against the
// receipt of its use. It is cheap to copy and safe for concurrent use, and all
// copies see a later end once the Pool has had it prolonged; the zero Credential
// is none.
type Credential struct{ lease *sealed }

// sealed is what a Credential points at. Once a Pool has handed the Credential
// out, only ended and revoked change, and terms where the system prolongs it.
type sealed struct {
	id          string
	provider    string
	kind        Kind
	fingerprint string
	agreed      atomic.Pointer[Terms]
	material    Material
	stored      bool                 // see Keeper
	outlives    bool                 // see selfContained
	ended       atomic.Bool          // the Pool hands it out no longer
	revoked     atomic.Bool          // its system takes it no longer
	once        atomic.Pointer[once] // nil: wiped
}

// terms returns what holds now. The caller does not write to it.
func (s *sealed) terms() *Terms {
	if t := s.agreed.Load(); t != nil {
		return t
	}
	return &Terms{}
}

func (c Credential) sealed() *sealed {
	if c.lease == nil {
		return new(sealed)
	}
	return c.lease
}

// Seal makes the credential that a provider returns. The Pool completes it
// with its id, provider and fingerprint, and wipes m when it has ended: m is of
// this credential alone.
func Seal(kind Kind, m Material, t Terms) Credential {
	s := &sealed{kind: kind, material: m}
	s.agreed.Store(&t)
	s.once.Store(new(once))
	return Credential{lease: s}
}

// issued reports whether c is what a provider made, however little there is of it.
func (c Credential) issued() bool { return c.lease != nil }

// ID returns the lease's id: random, not secret.
func (c Credential) ID() string { return c.sealed().id }

// Provider returns the registered name of the provider that minted c.
func (c Credential) Provider() string { return c.sealed().provider }

// Kind returns the shape of c's material.
func (c Credential) Kind() Kind { return c.sealed().kind }

// Fingerprint returns a keyed hash of the secret: equal for equal secrets
// under one key, and useless for guessing them without it.
func (c Credential) Fingerprint() string { return c.sealed().fingerprint }

// Scopes returns what the credential may do, in the issuing system's words.
// The slice is shared: the caller does not write to it.
func (c Credential) Scopes() []string { return c.sealed().terms().Scopes }

// NotAfter returns the instant after which c must not be used.
func (c Credential) NotAfter() time.Time { return c.sealed().terms().NotAfter }

// GoodUntil returns the instant after which nobody can use c: when its system ends it
// by itself, or NotAfter where the system set no end: see Endless.
func (c Credential) GoodUntil() time.Time {
	if end := c.sealed().terms().systemEnd; !end.IsZero() {
		return end
	}
	return c.NotAfter()
}

// Endless reports whether nothing ends c at its system, as a stored key: it may be good
// there long after NotAfter.
func (c Credential) Endless() bool {
	s := c.sealed()
	return s.stored || s.id != "" && s.terms().systemEnd.IsZero()
}

// Stored reports whether c was minted by nobody: somebody stored it, and another one is
// there only once somebody has stored that. See Keeper.
func (c Credential) Stored() bool { return c.sealed().stored }

// Revoked reports whether the issuing system has ended c when the Pool asked it to,
// so that nobody can use it any more. What the Pool no longer hands out may still
// be good there. What is self-contained is never revoked so: whoever does not ask that
// system takes it to its end.
func (c Credential) Revoked() bool { return c.sealed().revoked.Load() && !c.sealed().outlives }

// Lease returns the issuing system's handle, or "".
func (c Credential) Lease() string { return c.sealed().terms().Lease }

// Revocable reports whether p's system can be told to end c.
func (c Credential) Revocable(p Provider) bool {
	_, revokes := p.(Revoker)
	return revokes && c.known()
}

// Renewable reports whether p's system can be asked to prolong c.
func (c Credential) Renewable(p Provider) bool {
	_, renews := p.(Renewer)
	return renews && c.known() && !c.sealed().terms().Fixed
}

func (c Credential) known() bool {
	terms := c.sealed().terms()
	return terms.Lease != "" || terms.Revocable
}

// IsZero reports whether c is no credential, or one that no Pool has completed.
func (c Credential) IsZero() bool { return c.sealed().id == "" }

// Ended reports whether c serves no call any more at now: it was revoked, dropped
// or replaced, or its time is over.
func (c Credential) Ended(now time.Time) bool {
	return c.sealed().ended.Load() || !c.NotAfter().IsZero() && !now.Before(c.NotAfter())
}

// Format writes which credential c is, whatever the verb, and nothing of what
// it is made of.
func (c Credential) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.label()) }

// MarshalText returns what Format writes, so that no encoder shows more.
func (c Credential) MarshalText() ([]byte, error) { return []byte(c.label()), nil }

func (c Credential) label() string {
	if c.IsZero() {
		return "no credential"
	}
	return c.Provider() + "/" + c.ID()
}

// Reveal returns c's material against the receipt of its use, which it spends.
// It returns an error wrapping audit.ErrNoReceipt, and no material, otherwise;
// and a *fault.Error of a credential that has ended so long ago that it is wiped.
func (c Credential) Reveal(r audit.Receipt) (Opened, error) {
	if err := r.Spend(c.ID()); err != nil {
		return Opened{}, err
	}
	kept := c.sealed().once.Load()
	if kept == nil {
		return Opened{}, fault.New("inject", fault.Unavailable, "the credential has ended; call again")
	}
	return Opened{Parts: Parts{c.sealed().material}, once: kept}, nil
}

// Wiped reports whether c has ended so long ago that what it is made of is dropped, or
// is just being. What was read of an Opened before this was false is all there was.
func (c Credential) Wiped() bool { return c.sealed().once.Load() == nil }

// wipe drops what c is made of, once it is said to be: see Wiped and Secret.
func (s *sealed) wipe() {
	s.once.Store(nil)
	for _, part := range []Secret{s.material.Token, s.material.Password, s.material.SecretAccessKey, s.material.SessionToken} {
		part.drop()
	}
	s.material.Key.drop()
}
