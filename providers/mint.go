package providers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"mintmark/broker/audit"
	"mintmark/internal/fault"
)

// flight is one mint under way. Its results are read once done is closed.
type flight struct {
	done       chan struct{}
	credential Credential
	err        error
	awaited    bool // somebody waits for it; guarded by the Pool's mu
	left       bool // its agent needs none any more, unless somebody waits for it; guarded by the Pool's mu
	rests      bool // its agent has ended a session; guarded by the Pool's mu
}

// await returns what the one mint for t gives, which may be under way already.
// It leaves when ctx ends; the mint goes on for the others.
func (p *Pool) await(ctx context.Context, t ticket) (Credential, error) {
	f, err := p.join(t)
	if err != nil {
		return Credential{}, err
	}
	select {
	case <-f.done:
		return f.credential, f.err
	case <-ctx.Done():
		return Credential{}, fault.Wrap("lease", fault.Unavailable, "the call ended before its credential was ready", ctx.Err())
	}
}

func (p *Pool) join(t ticket) (*flight, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if f := p.flights[t.key]; f != nil {
		f.awaited = true
		return f, nil
	}
	// A flight may have landed since the cache was asked.
	if l := p.held(t); l != nil {
		f := &flight{done: make(chan struct{}), credential: l.credential}
		close(f.done)
		return f, nil
	}
	if err := p.ended(); err != nil {
		return nil, err
	}
	if _, err := p.failures.refuse(t.key, p.clock()); err != nil {
		return nil, err
	}
	f := p.depart(t, nil)
	f.awaited = true
	return f, nil
}

// depart starts the one mint for t, to replace old if that is not nil. The
// caller holds mu.
func (p *Pool) depart(t ticket, old *lease) *flight {
	f := &flight{done: make(chan struct{})}
	p.flights[t.key] = f
	p.failures.probe(t.key, p.clock().Add(p.mintTimeout))
	p.work.Go(func() { p.fly(f, t, old) })
	return f
}

// fly does the mint and lands. The flight stays registered until the cache
// serves the lease, so that no caller in between starts another.
func (p *Pool) fly(f *flight, t ticket, old *lease) {
	l, err := p.issue(t, old)
	if err == nil {
		f.credential = l.credential
	}
	f.err = err
	p.mu.Lock()
	delete(p.flights, t.key)
	delay := p.failures.note(t.key, err, p.clock())
	awaited, left, rests := f.awaited, f.left, f.rests
	p.mu.Unlock()
	if err == nil && awaited {
		l.touch()
	}
	if err == nil && rests {
		p.rest(l)
	}
	close(f.done)
	switch {
	case err != nil && old != nil:
		p.postpone(old, delay, err)
	case err != nil || awaited || l.used.Load():
	case old != nil && old.givenUp.Load(): // nobody needs what was to take its place
		p.end(l)
	case left:
		p.letGo(l)
	}
}

// issue mints, records and holds a credential, in this order. An old one that
// its system prolongs needs no successor.
func (p *Pool) issue(t ticket, old *lease) (*lease, error) {
	if old != nil && p.prolong(old) {
		return old, nil
	}
	if err := p.ended(); err != nil { // while its system was asked to prolong it
		return nil, err
	}
	generation, start := t.reg.generation.Load(), p.clock()
	minted, refusal := p.mint(t)
	if refusal != nil && !minted.issued() {
		_, _ = p.recordFailure(t, nil, start, refusal) // the caller gets nothing in any case
		return nil, refusal
	}
	l, unfit := p.newLease(t, minted, start)
	unkept := p.deposit(l) // what may not be used lives on all the same
	for _, err := range []error{refusal, unfit, unkept} {
		if err != nil {
			p.refuse(l, start, err)
			return nil, err
		}
	}
	l.used.Store(false) // until someone asks, or it lands and someone waited
	p.deriveAhead(l)
	p.ledger.add(l)
	r := p.entry("mint", l, start)
	if err := p.record(r); err != nil {
		p.endOwing(l, func() (erase func()) { return p.writeDown(r, err) })
		return nil, t.reg.named(fault.Wrap("lease", fault.Unavailable, "the broker cannot record the new credential", err), "")
	}
	if err := p.ended(); err != nil { // who ended it may have looked for leases before there was this one
		p.end(l)
		return nil, err
	}
	if t.reg.generation.Load() != generation {
		p.end(l)
		return nil, t.reg.named(fault.New("lease", fault.Unavailable, "the credential was revoked while it was being made"), "")
	}
	p.hold(l)
	return l, nil
}

// refuse ends what was made and may not be used, with cause on its record.
func (p *Pool) refuse(l *lease, start time.Time, cause error) {
	r, unrecorded := p.recordFailure(l.ticket, l, start, l.livesOn(p.clock(), cause))
	p.endOwing(l, func() (erase func()) {
		if unrecorded == nil {
			return nil
		}
		return p.writeDown(r, unrecorded)
	})
}

// mint asks the provider, for at most mintTimeout. What a provider that ignores
// its context delivers later is recorded and revoked.
func (p *Pool) mint(t ticket) (Credential, error) {
	ctx, brief, cancel := p.within()
	defer cancel()
	type answer struct {
		credential Credential
		err        error
	}
	answers := make(chan answer)
	start := p.clock()
	p.work.Go(func() { // so that Close waits a little for what comes late
		defer p.logOutAfter(t.reg)
		c, err := p.ask(brief, t)
		select {
		case answers <- answer{c, err}:
		case <-ctx.Done():
			p.discard(t, c, start, err)
		}
	})
	select {
	case a := <-answers:
		return a.credential, a.err
	case <-ctx.Done():
		if p.ctx.Err() != nil {
			return Credential{}, errClosing()
		}
		return Credential{}, silent(t.reg, "mint", ctx.Err())
	}
}

// within returns the context that bounds what a provider is waited for, and the one that
// it is given: that ends a little sooner, as its own error says what was asked and where.
func (p *Pool) within() (ctx, brief context.Context, cancel context.CancelFunc) {
	ctx, end := context.WithTimeout(p.ctx, p.mintTimeout)
	brief, endBrief := context.WithTimeout(ctx, p.mintTimeout-p.mintTimeout/10)
	return ctx, brief, func() { endBrief(); end() }
}

// silent is the fault of a provider that has not answered in time, and does not say itself
// what it waits for.
func silent(reg *registration, what string, cause error) error {
	return fault.Wrap("lease", fault.Unavailable, "the credential provider did not answer in time",
		fmt.Errorf("%s of provider %s: %w; does its system answer? see: mintmark provider test", what, reg.name, cause))
}

// ask has the provider mint. With an error comes what the system issued all the same.
func (p *Pool) ask(ctx context.Context, t ticket) (c Credential, err error) {
	err = p.consult(ctx, t.reg, "mint", func() (err error) {
		c, err = t.reg.Provider.Mint(ctx, t.req)
		return err
	})
	return c, err
}

// consult calls a provider and holds it to its contract: a panic is a failure,
// and an error that nobody classified may hold anything, so that only its type
// is kept.
func (p *Pool) consult(ctx context.Context, reg *registration, what string, call func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			p.logger.LogAttrs(ctx, slog.LevelError, "provider panicked", slog.String("provider", reg.name), slog.String("stack", string(debug.Stack())))
			err = fault.Wrap("lease", fault.Internal, "the credential provider failed", fmt.Errorf("%s of provider %s: panic of type %T", what, reg.name, v))
		}
	}()
	err = call()
	// The outermost error alone: what wraps a fault may hold anything.
	if _, ok := err.(*fault.Error); err != nil && !ok { //nolint:errorlint // as said above
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return silent(reg, what, ctx.Err())
		}
		return fault.Wrap("lease", fault.Internal, "the credential provider failed", fmt.Errorf("%s of provider %s: unclassified error of type %T", what, reg.name, err))
	}
	return err
}

// deriveAhead has made what the first call needs of l, beside the wait for the disk.
func (p *Pool) deriveAhead(l *lease) {
	if p.derive == nil {
		return
	}
	s := l.credential.lease
	kept := s.once.Load()
	p.work.Go(func() {
		defer func() { _ = recover() }() // the call that needs it panics too, and says so
		kept.derive(Parts{s.material}, p.derive)
	})
}

// record appends r to the log. Appending is not cut short by the end of the
// Pool: what happened is recorded.
func (p *Pool) record(r *audit.Record) error {
	_, err := p.log.Append(context.WithoutCancel(p.ctx), r)
	return err
}

func (p *Pool) entry(event string, l *lease, start time.Time) *audit.Record {
	c, issuer := l.credential, ""
	if c.Lease() != "" {
		issuer = l.reg.issuer()
	}
	return &audit.Record{
		Kind:        audit.Issuance,
		Event:       event,
		Bundle:      p.bundle(),
		Agent:       l.key.agent,
		Provider:    l.reg.name,
		Credential:  c.ID(),
		Fingerprint: c.Fingerprint(),
		Scopes:      c.Scopes(),
		NotAfter:    c.NotAfter(),
		SystemEnd:   l.systemEnd(),
		Lease:       c.Lease(),
		Issuer:      issuer,
		Escrow:      l.escrowed,
		Duration:    p.clock().Sub(start),
	}
}

// recordFailure records that a mint failed; l is what it made nevertheless, or nil. It
// returns the record, and why that can't be written.
func (p *Pool) recordFailure(t ticket, l *lease, start time.Time, cause error) (*audit.Record, error) {
	r := &audit.Record{Kind: audit.Issuance, Event: "mint_failed", Bundle: p.bundle(), Agent: t.key.agent, Provider: t.reg.name, Duration: p.clock().Sub(start)}
	if l != nil {
		r = p.entry("mint_failed", l, start)
	}
	return r, p.recordCause(r, cause)
}

// recordCause records r, which failed because of cause. That it can't is logged, and
// counted by the log, and nothing is handed out after it: it is for the caller to know
// what is then on no record.
func (p *Pool) recordCause(r *audit.Record, cause error) error {
	r.Fault, r.Reason = fault.KindOf(cause).String(), cause.Error()
	err := p.record(r)
	if err != nil {
		p.logger.LogAttrs(p.ctx, slog.LevelError, "failure not recorded", slog.String("event", r.Event), slog.String("provider", r.Provider), slog.Any("cause", cause), slog.Any("error", err))
	}
	return err
}
