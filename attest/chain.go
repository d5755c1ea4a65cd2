package attest

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"mintmark/internal/fault"
)

// Chain asks attestors in order and keeps what they proved. It is safe for
// concurrent use, Close excepted.
type Chain struct {
	members    []member
	clock      func() time.Time
	generation func() uint64
	cache      *cache
	failed     failed
}

// member is an attestor with its optional abilities, asserted once.
type member struct {
	Attestor
	number    uint64    // tells the members apart in the cache
	digester  Digester  // nil: what it proves is never kept
	describer Describer // nil: it has no words for what it accepts
	turns     turns
	logger    *slog.Logger
}

// ChainOptions are the parts of a Chain that have a sensible default.
type ChainOptions struct {
	// Clock tells the time. Default time.Now.
	Clock func() time.Time
	// Generation counts the changes of the trust bundles: what was proven
	// under another one is verified again. Default: they never change.
	Generation func() uint64
	// MaxCacheAge bounds how long verified evidence is believed without
	// verifying it again, whatever its own expiry. Default 5m.
	MaxCacheAge time.Duration
	// Logger hears of an attestor that panics when no call waits for it any more.
	// Default: nothing is logged.
	Logger *slog.Logger
}

// NewChain returns the Chain of attestors, which are asked in the given order.
func NewChain(attestors []Attestor, o ChainOptions) (*Chain, error) {
	if len(attestors) == 0 {
		return nil, errors.New("make attestor chain: got no attestors, want at least one")
	}
	c := &Chain{clock: o.Clock, generation: o.Generation}
	if c.clock == nil {
		c.clock = time.Now
	}
	if c.generation == nil {
		c.generation = func() uint64 { return 0 }
	}
	if o.MaxCacheAge == 0 {
		o.MaxCacheAge = 5 * time.Minute
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	var number uint64
	for _, a := range attestors {
		m := member{Attestor: a, number: number, turns: newTurns(), logger: o.Logger}
		number++
		m.digester, _ = a.(Digester)
		m.describer, _ = a.(Describer)
		c.members = append(c.members, m)
	}
	var err error
	c.cache, err = newCache(o.MaxCacheAge)
	return c, err
}

// Close gives up what c keeps in the background. No Attest may be under way or
// follow. A second Close does nothing.
func (c *Chain) Close() { c.cache.close() }

// Attest returns the identity that e proves. Attestors are asked in order;
// evidence of two kinds must prove the same workload. Evidence that proves
// nothing beside evidence that does is the agent's own affair (a client library
// that sends a token of its own over mTLS): it is stripped like any other.
// Every refusal is a *fault.Error whose hint names what was expected and what
// came.
func (c *Chain) Attest(ctx context.Context, e Evidence) (Identity, error) {
	if n := len(e.Header["Authorization"]); n > 1 {
		return Identity{}, refuse(errAuthorizations(n))
	}
	now := c.clock()
	var proven Identity
	var first [sha256.Size]byte
	var bad error // of the first evidence that proves nothing
	for i := range c.members {
		digest, known := c.members[i].digest(e)
		if known && !proven.IsZero() && digest == first {
			continue // the very evidence that is proven already
		}
		id, err := c.ask(ctx, i, e, digest, known, now)
		switch {
		case errors.Is(err, ErrNoEvidence):
			continue
		case err != nil:
			bad = cmp.Or(bad, err)
		case proven.IsZero():
			proven, first = id, digest
		case id.Subject() != proven.Subject() || id.Issuer() != proven.Issuer():
			return Identity{}, refuse(errTwo(proven, id))
		}
	}
	if proven.IsZero() && bad != nil {
		return Identity{}, refuse(bad)
	}
	if proven.IsZero() {
		return Identity{}, fault.New(op, fault.Unauthenticated, "expected "+c.accepts()+", got no evidence"+instead(e.Header))
	}
	if err := c.Check(proven); err != nil {
		return Identity{}, err
	}
	return proven, nil
}

// errTwo says that evidence proves two workloads, and by whose word where they
// have one name.
func errTwo(a, b Identity) error {
	one, other := a.Subject(), b.Subject()
	if one == other {
		one, other = one+" of "+a.Issuer(), other+" of "+b.Issuer()
	}
	return fmt.Errorf("expected evidence of one workload, got %s by %s and %s by %s", one, a.Attestor(), other, b.Attestor())
}

// Generation counts the changes of the trust bundles: evidence that was proven
// under another one may prove nothing now.
func (c *Chain) Generation() uint64 { return c.generation() }

// Check returns nil when id proves something now: what to ask again right before
// its credential leaves. A refusal is a *fault.Error.
func (c *Chain) Check(id Identity) error {
	switch now := c.clock(); {
	case id.IsZero():
		return refuse(errors.New("expected a proven identity, got none"))
	case !id.ValidAt(now):
		return refuse(fmt.Errorf("expected evidence that is still valid, got one that expired %s ago", now.Sub(id.Expires()).Round(time.Millisecond)))
	}
	return nil
}

// ask returns what attestor i makes of e, from the cache where it can.
func (c *Chain) ask(ctx context.Context, i int, e Evidence, digest [sha256.Size]byte, known bool, now time.Time) (Identity, error) {
	if !known {
		id, err := c.members[i].Attest(ctx, e)
		return stillValid(id, err, now)
	}
	// Read before the evidence is verified: a bundle that changes meanwhile
	// must not be taken for the one it was verified under.
	generation := c.generation()
	if id, err, ok := c.seen(digest, c.members[i].number, generation, now); ok {
		return id, err
	}
	turn, err := c.members[i].turn(ctx)
	if err != nil {
		return Identity{}, err
	}
	defer turn.end()
	// While this waited, the same evidence may have been verified for another call.
	if id, err, ok := c.seen(digest, c.members[i].number, generation, now); ok {
		return id, err
	}
	id, err := turn.verify(e)
	if err != nil {
		if isVerdict(err) {
			c.failed.put(digest, c.members[i].number, generation, err, now)
		}
		return Identity{}, err
	}
	if id, err = stillValid(id, nil, now); err == nil {
		c.cache.put(digest, c.members[i].number, generation, id, now)
	}
	return id, err
}

// stillValid returns what an attestor said, and no identity that has expired at now.
func stillValid(id Identity, err error, now time.Time) (Identity, error) {
	switch {
	case err != nil:
		return Identity{}, err
	case !id.ValidAt(now):
		return Identity{}, errors.New("expected evidence that is still valid, got one that has expired")
	}
	return id, nil
}

// seen returns what is known of a piece of evidence.
func (c *Chain) seen(digest [sha256.Size]byte, member, generation uint64, now time.Time) (id Identity, verdict error, ok bool) {
	if id, ok := c.cache.get(digest, member, generation, now); ok {
		return id, nil, true
	}
	err := c.failed.get(digest, member, generation, now)
	return Identity{}, err, err != nil
}

// isVerdict reports whether err is an attestor's word on the evidence, and not on
// something that it could not do.
func isVerdict(err error) bool {
	_, ours := errors.AsType[*fault.Error](err)
	return !ours && !errors.Is(err, ErrNoEvidence)
}

// accepts says what the attestors accept, for a caller that showed nothing.
func (c *Chain) accepts() string {
	var words []string
	for _, m := range c.members {
		if m.describer != nil {
			words = append(words, m.describer.Accepts())
		}
	}
	if len(words) == 0 {
		return "evidence of the calling workload"
	}
	return strings.Join(words, ", or ")
}

func (m member) digest(e Evidence) (digest [sha256.Size]byte, ok bool) {
	if m.digester == nil {
		return digest, false
	}
	return m.digester.Digest(e)
}

const op = "attest"

// refuse gives an attestor's error to the caller: its text is written for it.
// An error that is a fault already keeps its own kind and hint.
func refuse(err error) error {
	if _, ok := errors.AsType[*fault.Error](err); ok {
		return err
	}
	return fault.New(op, fault.Unauthenticated, err.Error())
}
