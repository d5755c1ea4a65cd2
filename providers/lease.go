package providers

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/maphash"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"mintmark/broker/audit"
	"mintmark/internal/fault"
)

// key says who may use a lease: two callers share one only if all of it is equal.
// The digest is of everything that the registration says. An agent is its issuer
// and its subject: two issuers may name one subject and mean two workloads.
type key struct{ provider, digest, issuer, agent string }

// wide is the key of what concerns every agent of k's registration.
func (k key) wide() key { return key{provider: k.provider, digest: k.digest} }

// registration is an Entry with what was asserted of it.
type registration struct {
	Entry
	name       string
	revoker    Revoker    // nil: its system cannot end a credential early
	renewer    Renewer    // nil: its system cannot prolong a credential
	logins     LoginBound // nil: what it mints is not bound to a login
	stored     bool       // it mints nothing: see Keeper
	seed       maphash.Seed
	generation atomic.Uint64 // counts Drops, so that a mint under way notices one
}

func register(entries map[string]Entry) (map[string]*registration, error) {
	registrations := make(map[string]*registration, len(entries))
	for name, e := range entries {
		if e.Provider == nil {
			return nil, fmt.Errorf("open pool: provider %q: got none, want one", name)
		}
		if e.MaxAge < 0 {
			return nil, fmt.Errorf("open pool: provider %q: got max age %v, want none below zero", name, e.MaxAge)
		}
		if bound, ok := e.Provider.(AgentBound); ok && bound.PerAgent() {
			e.PerAgent = true
		}
		reg := &registration{Entry: e, name: name, seed: maphash.MakeSeed()}
		keeper, keeps := e.Provider.(Keeper)
		reg.stored = keeps && keeper.Kept()
		reg.revoker, _ = e.Provider.(Revoker)
		reg.renewer, _ = e.Provider.(Renewer)
		reg.logins, _ = e.Provider.(LoginBound)
		registrations[name] = reg
	}
	return registrations, nil
}

// ticket is one demand for a credential.
type ticket struct {
	reg  *registration
	key  key
	slot uint64 // where the cache keeps it: a hash of key
	req  Request
}

func (reg *registration) ticket(req Request) (ticket, error) {
	k := key{provider: reg.name, digest: reg.Digest}
	if !reg.PerAgent {
		return ticket{reg: reg, key: k, slot: reg.slot(k)}, nil
	}
	if req.Agent.IsZero() {
		return ticket{}, reg.named(fault.New("lease", fault.Unauthenticated, "this credential is kept per agent, and the call has no proven agent"), "")
	}
	k.issuer, k.agent = req.Agent.Issuer(), req.Agent.Subject()
	return ticket{reg: reg, key: k, slot: reg.slot(k), req: req}, nil
}

// slot hashes what tells the agents of one registration apart.
func (reg *registration) slot(k key) uint64 {
	var h maphash.Hash
	h.SetSeed(reg.seed)
	_, _ = h.WriteString(k.issuer) // never fails
	_ = h.WriteByte(0)             // never fails
	_, _ = h.WriteString(k.agent)
	return h.Sum64()
}

// lease is a credential that the Pool answers for until it has ended.
type lease struct {
	ticket
	credential  Credential
	born        time.Time
	life        time.Duration // that it was first given
	span        atomic.Pointer[span]
	used        atomic.Bool // in this life
	resting     atomic.Bool // since its agent has ended a session
	givenUp     atomic.Bool // its agent has ended the last one
	retired     atomic.Bool
	fixed       atomic.Bool               // its system does not prolong it
	ifProlonged atomic.Pointer[time.Time] // when its system ends it, if that has prolonged it and did not come to say so; nil: it has not
	escrowed    bool                      // its secret is kept for the next start; set, with erase, before others see the lease
	erase       func()                    // erases that; nil: nothing is kept
	refresh     *time.Timer
	expiry      *time.Timer
}

// span is the time of a lease. Another takes its place when the system prolongs it.
type span struct {
	since     time.Time     // of these terms
	systemEnd time.Time     // when the issuing system ends it by itself; zero: never
	until     time.Time     // no longer handed out from here on
	margin    time.Duration // between until and the end; also the grace after a swap
}

// newLease completes what a provider minted at start. It returns the lease with
// the error too, so that a credential that may not be used is still revoked.
func (p *Pool) newLease(t ticket, minted Credential, start time.Time) (*lease, error) {
	l := &lease{ticket: t, born: start, credential: Credential{lease: &sealed{
		id:       rand.Text(),
		provider: t.reg.name,
		kind:     minted.Kind(),
		material: minted.sealed().material,
		stored:   t.reg.stored,
		outlives: minted.sealed().material.selfContained(),
	}}}
	l.credential.lease.once.Store(new(once))
	terms := *minted.sealed().terms()
	terms.Scopes = slices.Clone(terms.Scopes)
	l.fixed.Store(terms.Fixed)
	l.credential.lease.fingerprint = p.fingerprint(l.credential.lease.material)
	l.used.Store(true)
	l.agree(terms, start)
	l.life = l.credential.NotAfter().Sub(start)
	p.arm(l)
	return l, t.reg.named(l.check(p.clock()), t.reg.tryIt())
}

// agree puts terms in force that the system gave at start.
func (l *lease) agree(t Terms, start time.Time) {
	systemEnd := t.NotAfter
	// The end is compared by the wall clock and the timers go by the monotonic
	// one, which stands still while a machine sleeps: whichever is first ends l.
	t.NotAfter, t.systemEnd = l.reg.end(systemEnd, l.born).Round(0), systemEnd.Round(0)
	margin := min(5*time.Second, t.NotAfter.Sub(start)/10)
	l.span.Store(&span{since: start, systemEnd: systemEnd, until: t.NotAfter.Add(-margin), margin: margin})
	l.credential.lease.agreed.Store(&t)
}

// end returns when a credential stops being used that was minted at start and
// that its system ends at systemEnd.
func (reg *registration) end(systemEnd, start time.Time) time.Time {
	age := reg.MaxAge
	if age == 0 && systemEnd.IsZero() {
		age = defaultMaxAge
	}
	if capped := start.Add(age); age > 0 && (systemEnd.IsZero() || capped.Before(systemEnd)) {
		return capped
	}
	return systemEnd
}

func (l *lease) check(now time.Time) error {
	s := l.credential.lease
	if terms := s.terms(); s.leaks(terms) {
		s.agreed.Store(&Terms{NotAfter: terms.NotAfter, Revocable: terms.Revocable})
		return fault.New("lease", fault.Internal, "the credential provider put the secret itself into the credential's terms")
	}
	if err := fits(l.credential.Lease()); err != nil {
		return err
	}
	if !s.material.complete(s.kind) {
		return fault.New("lease", fault.Internal, "the credential provider issued an incomplete credential")
	}
	if err := s.material.searchable(); err != nil {
		return err
	}
	if !now.Before(l.span.Load().until) {
		l.doubt(now)
		return fault.New("lease", fault.Unavailable, "the credential provider issued a credential that has already ended: compare the clocks")
	}
	return nil
}

// fits refuses a handle that the next start could not have revoked by what is on record.
func fits(handle string) error {
	if audit.Fits(handle) {
		return nil
	}
	return fault.New("lease", fault.Internal, "the credential provider's handle for the credential is longer than a record can hold, or no text")
}

// doubtful is for how long what seems to have ended as it was made is worth a revocation.
const doubtful = time.Hour

// doubt sets a later end at the system: one of the clocks is wrong, and what has ended by
// ours may be good by that of the system.
func (l *lease) doubt(now time.Time) {
	s := *l.span.Load()
	if !s.systemEnd.IsZero() {
		s.systemEnd = now.Add(doubtful)
	}
	l.span.Store(&s)
}

// minLeak is the shortest secret searched for: a shorter one is found by chance.
const minLeak = 8

// leaks reports whether the terms, which are recorded, hold a secret.
func (s *sealed) leaks(t *Terms) bool {
	for _, secret := range s.material.secrets() {
		for _, term := range append([]string{t.Lease}, t.Scopes...) {
			if len(secret) >= minLeak && strings.Contains(term, secret) {
				return true
			}
		}
	}
	return false
}

func (l *lease) usableAt(now time.Time) bool {
	return now.Before(l.span.Load().until) && !l.credential.lease.ended.Load()
}

func (l *lease) touch() {
	if !l.used.Load() { // a store would make every core wait for this one
		l.used.Store(true)
	}
}

// fingerprint hashes the secret parts, each with its length, so that no two
// sets of parts are the same bytes. The user name is one of a password: what is sent of
// two users with one password is not the same, and one is not searched for in place of
// the other.
func (p *Pool) fingerprint(m Material) string {
	h := hmac.New(sha256.New, p.key)
	parts := []string{open(m.Token), open(m.Password), open(m.SecretAccessKey), open(m.SessionToken)}
	if !m.Key.IsZero() {
		parts = append(parts, m.Key.public())
	}
	if !m.Password.IsZero() {
		parts = append(parts, m.Username)
	}
	for _, v := range parts {
		_ = binary.Write(h, binary.BigEndian, uint64(len(v)))
		b := []byte(v)
		h.Write(b)
		clear(b)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}
