package providers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dgraph-io/ristretto/v2"

	"mintmark/broker/audit"
	"mintmark/internal/fault"
)

const (
	defaultLeases  = 1 << 16
	minKey         = 16 // bytes of FingerprintKey
	defaultMaxAge  = 5 * time.Minute
	defaultMint    = 10 * time.Second
	defaultClosing = 10 * time.Second
	defaultRest    = 30 * time.Second
)

// Entry is one registered provider.
type Entry struct {
	Provider Provider
	// PerAgent keeps one credential for each agent. A provider that is
	// AgentBound has it set in any case.
	PerAgent bool
	// MaxAge bounds how long one credential is used, whatever its own expiry.
	// Zero sets no bound, but for credentials without an expiry: five minutes.
	MaxAge time.Duration
	// Digest is the digest of the registration: part of every key, so that no
	// credential outlives the registration it was made for.
	Digest string
}

// PoolOptions is what a Pool works with.
type PoolOptions struct {
	// Log receives the record of each issuance. Required.
	Log *audit.Log
	// FingerprintKey keys the fingerprints: at least 16 bytes. Required.
	FingerprintKey []byte
	// Clock tells the time; nil means time.Now.
	Clock func() time.Time
	// Logger receives what nobody waits for: failed renewals and revocations.
	Logger *slog.Logger
	// Bundle returns the digest of the bundle in force, for the records. Nil:
	// they name none.
	Bundle func() string
	// MintTimeout bounds one mint. Default 10 s.
	MintTimeout time.Duration
	// RestFor is how long a lease may rest before it is given up. Default 30 s.
	RestFor time.Duration
	// MaxLeases is how many leases are held; past it the least used are given
	// up. Default 65,536.
	MaxLeases int
	// Owe keeps, for the Pool of the next start to Adopt, what the log did not take:
	// the record of a credential. What it returns erases that, once the credential
	// is revoked. Nil: it is only logged.
	Owe func(audit.Record) (erase func(), err error)
	// Escrow keeps, for the Pool of the next start to Adopt, what its system ends only
	// where it is shown the secret. Nil: after a crash that ends by itself.
	Escrow Escrow
	// Derive is what every caller gives to Opened.Once. With it the Pool has that made
	// while the record of a mint is brought to the disk. Nil: the first call does it.
	Derive func(Parts) any
	// Late counts what is owed to a system by a Pool that has ended, so that Owed does
	// not tell of it: what came too late to be revoked by then. Pools may share it. Nil:
	// nobody asks.
	Late *atomic.Int64
	// Siblings are the Pools of the process that may lease of the same systems, as one
	// does that takes another's place. Nil: there are none.
	Siblings *Siblings
	// Revoked is called when a system has ended a credential, or a login, before its
	// end: whoever keeps something of it may let it go. Nil: nobody does.
	Revoked func()
}

// Pool leases credentials. It keeps the ones it holds in memory, mints one
// where none is usable (one mint for each key, however many wait for it),
// replaces them ahead of their expiry while they are in use, and revokes what
// it no longer needs. It is safe for concurrent use.
//
// Locks are taken in this order: mu, closing, the siblings', the ledger's or the logins', telling, the debts'.
type Pool struct {
	registrations map[string]*registration
	log           *audit.Log
	logger        *slog.Logger
	clock         func() time.Time
	key           []byte
	bundle        func() string
	mintTimeout   time.Duration
	restFor       time.Duration
	owe           func(audit.Record) (erase func(), err error)
	escrow        Escrow // nil: none
	revoked       func()
	derive        func(Parts) any // nil: callers do
	late          *atomic.Int64
	siblings      *Siblings

	ctx    context.Context // of all mints: a caller's cancellation ends no mint that others wait for
	cancel context.CancelFunc
	work   sync.WaitGroup

	ceased atomic.Bool // it mints no more; set before its leases end

	mu       sync.Mutex
	flights  map[key]*flight
	failures failures

	closing sync.RWMutex // keeps the cache open while it is used
	closed  bool
	cache   *ristretto.Cache[uint64, *lease]

	ledger   ledger
	givenUp  restraint
	refused  restraint
	logins   logins
	debts    debts
	after    debts        // what comes when debts is closed: see payAfter
	telling  sync.RWMutex // held for writing while something is put on record again
	reminder *time.Timer
	reminded time.Time // the last time
	close    func(context.Context) error
}

// NewPool returns a Pool of the given providers, by registered name. It mints
// nothing yet. The caller closes it, before the log.
func NewPool(entries map[string]Entry, o PoolOptions) (*Pool, error) {
	if o.Log == nil {
		return nil, errors.New("open pool: got no log, want one: a mint that is not recorded is refused")
	}
	if len(o.FingerprintKey) < minKey {
		return nil, fmt.Errorf("open pool: got a fingerprint key of %d bytes, want at least %d", len(o.FingerprintKey), minKey)
	}
	registrations, err := register(entries)
	if err != nil {
		return nil, err
	}
	p := &Pool{
		registrations: registrations,
		log:           o.Log,
		logger:        o.Logger,
		clock:         o.Clock,
		key:           append([]byte(nil), o.FingerprintKey...),
		bundle:        o.Bundle,
		mintTimeout:   o.MintTimeout,
		restFor:       o.RestFor,
		owe:           o.Owe,
		escrow:        o.Escrow,
		revoked:       o.Revoked,
		derive:        o.Derive,
		late:          o.Late,
		siblings:      o.Siblings,
		flights:       make(map[key]*flight),
		failures:      make(failures),
		givenUp:       restraint{burst: giveUpBurst},
		refused:       restraint{burst: refusedBurst},
	}
	p.setDefaults()
	if err := p.open(o.MaxLeases); err != nil {
		return nil, err
	}
	return p, nil
}

func (p *Pool) setDefaults() {
	if p.clock == nil {
		p.clock = time.Now
	}
	if p.bundle == nil {
		p.bundle = func() string { return "" }
	}
	if p.revoked == nil {
		p.revoked = func() {}
	}
	if p.siblings == nil {
		p.siblings = new(Siblings)
	}
	if p.logger == nil {
		p.logger = slog.New(slog.DiscardHandler)
	}
	if p.restFor <= 0 {
		p.restFor = defaultRest
	}
	if p.mintTimeout <= 0 {
		p.mintTimeout = defaultMint
	}
}

func (p *Pool) open(leases int) error {
	if leases <= 0 {
		leases = defaultLeases
	}
	cache, err := ristretto.NewCache(&ristretto.Config[uint64, *lease]{
		NumCounters:        10 * int64(leases),
		MaxCost:            int64(leases),
		BufferItems:        64,
		IgnoreInternalCost: true,
		// However a lease leaves the cache (replaced, evicted, rejected,
		// deleted), it leaves through here.
		OnExit: p.retire,
	})
	if err != nil {
		return fmt.Errorf("open lease cache: %w", err)
	}
	p.cache = cache
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.debts.open(p.pay)
	p.after.open(p.pay)
	p.reminded = p.clock()
	p.reminder = time.AfterFunc(time.Hour, p.remindDue)
	p.reminder.Reset(lookEvery) // once it can be reset again
	p.close = p.closeOnce()
	p.siblings.add(p)
	for _, reg := range p.registrations {
		p.listen(reg)
	}
	return nil
}

// Cached returns a credential of the named provider that is held already, and false where
// Lease is to be asked, which may take a while.
func (p *Pool) Cached(provider string, req Request) (Credential, bool) {
	reg, ok := p.registrations[provider]
	if !ok {
		return Credential{}, false
	}
	t, err := reg.ticket(req)
	if err != nil {
		return Credential{}, false
	}
	l := p.held(t)
	if l == nil {
		return Credential{}, false
	}
	return l.credential, true
}

// Lease returns a credential of the named provider, and whether it was already
// held. An error is a *fault.Error whose Hint is safe for the agent.
func (p *Pool) Lease(ctx context.Context, provider string, req Request) (c Credential, cached bool, err error) {
	reg, ok := p.registrations[provider]
	if !ok {
		return Credential{}, false, fault.Wrap("lease", fault.Internal, "the broker has no such credential provider", fmt.Errorf("got %q, want one that is registered", provider))
	}
	t, err := reg.ticket(req)
	if err != nil {
		return Credential{}, false, err
	}
	if l := p.held(t); l != nil {
		return l.credential, true, nil
	}
	c, err = p.await(ctx, t)
	return c, false, err
}

// held returns the usable lease that the cache holds for t, or nil.
func (p *Pool) held(t ticket) *lease {
	p.closing.RLock()
	defer p.closing.RUnlock()
	if p.closed {
		return nil
	}
	l, ok := p.cache.Get(t.slot)
	// Slots are hashes: the key decides whose lease this is.
	if !ok || l.key != t.key || !l.usableAt(p.clock()) {
		return nil
	}
	l.touch()
	return l
}

// Valid reports whether c may still be used: neither revoked nor past its end.
// It is asked right before c is written to the upstream.
func (p *Pool) Valid(c Credential) bool {
	return !c.IsZero() && !c.lease.ended.Load() && p.clock().Before(c.NotAfter())
}
