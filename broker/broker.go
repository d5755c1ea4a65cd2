// Package broker joins the steps of a call: it receives, attests, decides,
// leases, records, injects, forwards and scrubs, in that order.
package broker

import (
	"cmp"
	"context"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"mintmark/attest/trust"
	"mintmark/broker/audit"
	"mintmark/broker/bundle"
	"mintmark/broker/pins"
	"mintmark/injector/mcp"
	"mintmark/internal/owned"
	"mintmark/providers"
)

// Options is what a Broker is made of.
type Options struct {
	Bundle *bundle.Bundle // required
	Kinds  Kinds          // required
	Logger *slog.Logger   // nil: nothing is logged
	Clock  func() time.Time

	mintTimeout time.Duration // of one mint; 0: the pool's own
	restFor     time.Duration // of a lease whose agent ended a session; 0: the pool's own
	settling    time.Duration // of calls that were cut; 0: 2 s
	inputTime   time.Duration // of an agent's answer to what an upstream asks; 0: inputWithin
	places      []string      // where an escrow may be that nobody named; nil: escrow.Places
}

// bufferSize is how much of an answer is read at once.
const bufferSize = 16 << 10

// identityWait is how long a broker waits at its start for its identity. A SPIRE
// agent that is told of a new entry has it after five seconds, and later where the
// machine is busy.
const identityWait = 30 * time.Second

// Broker serves agents. It is made by Open, runs in Run and is ended by Close.
type Broker struct {
	kinds     Kinds
	logger    *slog.Logger
	clock     func() time.Time
	limits    bundle.Limits
	mintTime  time.Duration
	restTime  time.Duration
	settling  time.Duration // how long calls that were cut may take to say how they ended
	inputTime time.Duration // how long an agent's client may take to answer
	log       *audit.Log
	orphans   []audit.Record // what the process before this one left behind
	owing     owing
	escrow    providers.Escrow // nil: none
	late      atomic.Int64     // credentials of pools that have ended, which these still revoke
	siblings  providers.Siblings
	pins      *pins.Pins
	approver  string // as whom an operator approves tools
	trust     *trust.Trust
	reader    *mcp.Reader
	sessions  *sessions
	parking   *parking
	inUse     *inUse
	metrics   *metrics
	strangers *strangers

	fingerprintKey []byte
	escrowKey      []byte
	closeEscrow    func() error
	slots          chan struct{} // one for each call under way
	bodies         lender        // of memory for requests
	buffers        sync.Pool     // of *[bufferSize]byte, for answers under way
	listeners      []*listener
	admin          net.Listener // nil: none

	streams  streams
	flights  flights
	waiting  waiting
	draining atomic.Bool // no longer ready

	// entering is held for writing while the snapshot changes, so that no call
	// begins with a snapshot that is being retired, and none after the last.
	entering sync.RWMutex
	ended    bool
	current  atomic.Pointer[snapshot]

	applying sync.Mutex     // one bundle at a time
	changing sync.Mutex     // held while a bundle is recorded and put in force, which none is once calls may no longer begin
	before   chan struct{}  // closed when the snapshot before the current one has retired
	retiring sync.WaitGroup // bundles that were replaced, each until its last call ends
	started  bool           // its start is on record
	closed   sync.Once
}

// Open opens everything a bundle asks for, the log first and the sockets last.
// On error nothing is left open. The program that calls it sees to the standard
// logger, by which net/http prints what an upstream sends out of turn: see
// internal/stdlog.
func Open(ctx context.Context, o Options) (_ *Broker, err error) {
	b := &Broker{kinds: o.Kinds, logger: o.Logger, clock: o.Clock, limits: o.Bundle.Config.Limits,
		mintTime: o.mintTimeout, restTime: o.restFor, settling: cmp.Or(o.settling, 2*time.Second), inputTime: cmp.Or(o.inputTime, inputWithin)}
	b.setDefaults()
	defer func() {
		if err != nil {
			_ = b.Close(ctx)
		}
	}()
	if err := b.openLog(ctx, o.Bundle.Config); err != nil {
		return nil, err
	}
	if err := b.openEscrow(ctx, o); err != nil {
		return nil, err
	}
	if err := b.openPins(o.Bundle.Config); err != nil {
		return nil, err
	}
	if b.trust, err = trust.Open(ctx, o.Bundle.Config.Trust, o.Bundle.Config.TrustDomain, trust.Options{Logger: b.logger, Clock: b.clock, Wait: identityWait}); err != nil {
		return nil, err
	}
	if b.sessions, err = newSessions(); err != nil {
		return nil, err
	}
	if b.parking, err = newParking(); err != nil {
		return nil, err
	}
	snap, err := b.build(ctx, o.Bundle, nil)
	if err != nil {
		return nil, err
	}
	b.current.Store(snap)
	if err := b.listen(ctx, o.Bundle.Config); err != nil {
		return nil, err
	}
	if err := b.recordBundle(ctx, "start", o.Bundle, ""); err != nil {
		return nil, err
	}
	b.started = true
	if err := b.registerTools(o.Bundle.Config); err != nil {
		return nil, err
	}
	b.warn(ctx, snap)
	snap.pool.Adopt(ctx, b.orphans)
	b.orphans = nil
	return b, nil
}

func (b *Broker) setDefaults() {
	if b.logger == nil {
		b.logger = slog.New(slog.DiscardHandler)
	}
	if b.clock == nil {
		b.clock = time.Now
	}
	b.closeEscrow = func() error { return nil }
	b.reader = mcp.NewReader(b.limits.Depth)
	b.strangers = newStrangers()
	b.inUse = newInUse()
	b.approver = approver(owned.Me())
	b.buffers.New = func() any { return new([bufferSize]byte) }
	b.slots = make(chan struct{}, b.limits.Concurrent)
	b.metrics = newMetrics(func() float64 { return float64(b.log.Stats().Records) }, func() float64 { return float64(b.log.Stats().Refused) },
		func() float64 { return float64(b.owed()) })
}

func (b *Broker) openLog(ctx context.Context, c bundle.Config) error {
	a := c.Audit
	if err := audit.MakeDirectory(string(a.Directory)); err != nil {
		return err
	}
	key, created, err := audit.LoadOrCreateKey(string(a.SigningKey))
	if err != nil {
		return err
	}
	if created {
		b.logger.WarnContext(ctx, "made a new signing key for the audit log; keep its public half apart from the log", slog.String("file", string(a.SigningKey)))
	}
	if b.fingerprintKey, err = hkdf.Key(sha256.New, key.Seed(), nil, "mintmark fingerprint v1", 32); err != nil {
		return fmt.Errorf("derive the fingerprint key: %w", err)
	}
	if b.escrowKey, err = hkdf.Key(sha256.New, key.Seed(), nil, "mintmark escrow key v1", 32); err != nil {
		return fmt.Errorf("derive the key of the escrow: %w", err)
	}
	b.owing = owing{dir: filepath.Join(string(c.State), "owed"), logger: b.logger}
	var written []owed
	b.log, err = audit.Open(audit.Options{
		Directory: string(a.Directory), SigningKey: key, SegmentSize: int64(a.SegmentSize),
		SyncAlways: a.Sync == "always", Clock: b.clock, Logger: b.logger,
		// Not sooner: a process that is about to be killed would go on to mint.
		Before: func() {
			written = b.owing.all()
			recent := audit.Recent(string(a.Directory), providers.OrphanWindow, audit.Filter{Kind: audit.Issuance})
			b.orphans = providers.Orphans(before(written, recent), b.clock(), b.logger)
		},
	})
	if err != nil || len(b.orphans)+len(written) == 0 {
		return err
	}
	for i := range b.orphans { // first, so that the next start finds them too
		b.log.Note(&b.orphans[i])
	}
	if err := b.log.Flush(ctx); err != nil {
		return err
	}
	for _, w := range written { // it is on record by now, or has ended
		b.owing.erase(w.name)
	}
	return nil
}

// Close ends the broker: no new calls, the calls under way get their time, the
// leases are revoked, and the log is closed last, so that all of it is on
// record. It is safe to call more than once.
func (b *Broker) Close(ctx context.Context) (err error) {
	b.closed.Do(func() { err = b.close(ctx) })
	return err
}

func (b *Broker) close(ctx context.Context) error {
	var errs []error
	errs = append(errs, b.shutdown(ctx))
	b.leave()
	if snap := b.current.Load(); snap != nil {
		b.settle(ctx, snap.calls.Wait)
		b.settle(ctx, b.retiring.Wait)
		b.siblings.Close(ctx) // of bundles that were replaced too, whatever their calls and systems take
		snap.retire(ctx, nil)
	}
	if b.trust != nil {
		errs = append(errs, b.trust.Close())
	}
	if b.log != nil {
		if skipped := b.strangers.count(); skipped != nil {
			b.log.Note(skipped)
		}
		// The log last: whoever has it next finds that the escrow is free.
		errs = append(errs, b.closePins(), b.recordStop(ctx), b.closeEscrow(), b.log.Close())
	}
	return errors.Join(errs...)
}

// recordStop puts the end of a broker that has begun on record, even when the
// calls under way took all of ctx's time.
func (b *Broker) recordStop(ctx context.Context) error {
	if !b.started {
		return nil
	}
	_, err := b.log.Append(context.WithoutCancel(ctx), &audit.Record{Kind: audit.Admin, Event: "stop"})
	return err
}

// settle gives calls that were cut a moment to say how they ended.
func (b *Broker) settle(ctx context.Context, wait func()) {
	ctx, cancel := context.WithTimeout(ctx, b.settling)
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		wait()
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// newID returns the id of a call: 32 hex characters.
func newID() string {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails: it ends the process instead
	var text [32]byte
	hex.Encode(text[:], id[:])
	return string(text[:])
}

// Flush returns when every record so far is on disk.
func (b *Broker) Flush(ctx context.Context) error { return b.log.Flush(ctx) }
