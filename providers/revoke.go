package providers

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"mintmark/broker/audit"
	"mintmark/internal/fault"
)

const (
	revokeAttempts = 3 // of one round
	revokeTimeout  = 5 * time.Second
	firstRound     = 10 * time.Second // between the first round that failed and the second
	longRound      = 10 * time.Minute
)

// debt is what has ended here and not yet at its system: a credential, or a
// login with all that was made under it.
type debt struct {
	reg    *registration
	record audit.Record // of the event "revoke" or "logout", without how it went
	held   Held
	end    time.Time     // when the system ends it by itself; zero: never
	pause  time.Duration // before the last round; zero: before there was one
	first  bool          // logins wait for its first round
	paid   func()        // called when nobody will try again; may be nil
	erase  func()        // called when its system has ended it; may be nil

	elsewhere string // where it was made, if its provider is registered for another system now
	withdraw  func() // erases its secret from escrow; nil: it is not there

	credential Credential // that it is the end of; none for a login or an orphan
	left       bool       // nobody tries again; guarded by the mu of its queue
	over       bool       // its end is on record; guarded by the Pool's telling
}

// traceable reports whether the next start could have d ended.
func (d *debt) traceable() bool { return d.record.Lease != "" || d.record.Escrow }

// revoked notes that the system has ended what d is of.
func (d *debt) revoked() {
	if d.credential.lease != nil {
		d.credential.lease.revoked.Store(true)
	}
	if d.erase != nil {
		d.erase()
	}
}

// lives reports whether paying d changes anything at now.
func (d *debt) lives(now time.Time) bool { return d.end.IsZero() || now.Before(d.end) }

// debt is what the end of l owes to its system.
func (p *Pool) debt(l *lease) *debt {
	return &debt{reg: l.reg, record: *p.entry("revoke", l, time.Time{}), held: l.held(), end: l.lastEnd(), credential: l.credential, withdraw: l.erase, paid: func() { p.forgetLater(l) }}
}

// held is l as its system knows it.
func (l *lease) held() Held {
	return Held{Lease: l.credential.Lease(), Opened: Opened{Parts: Parts{l.credential.lease.material}}}
}

// pay ends d at its system in one round of attempts, records how that went, and
// reports whether nothing is owed any more. Of what a system gave out more than once,
// as one does that repeats a token until its end, the last lease ends it: it would be
// taken from those who still have it, such as another agent.
func (p *Pool) pay(ctx context.Context, d *debt) bool {
	if d.record.Event != eventLogout && p.siblings.have(&d.record) {
		return true
	}
	start := p.clock()
	err := p.attempt(ctx, d)
	if err == nil && d.elsewhere != "" {
		p.unsure(ctx, d)
		p.debts.giveUp(d)
		return true
	}
	r := d.record
	r.Bundle, r.Duration = p.bundle(), p.clock().Sub(start)
	if err == nil {
		if d.record.Event != eventLogout {
			p.siblings.expire(&d.record)
		}
		d.revoked()
		p.revoked()
		if failed := p.tell(&r, func() { d.over = true }); failed != nil {
			p.logger.LogAttrs(ctx, slog.LevelError, "revocation not recorded", slog.String("credential", r.Credential), slog.Any("error", failed))
		}
		p.leaveEscrow(d) // after its record: or the next start would look for it in vain
		return true
	}
	p.logger.LogAttrs(ctx, slog.LevelError, "lease not revoked", slog.String("event", r.Event), slog.String("provider", r.Provider), slog.String("credential", r.Credential), slog.Any("error", err))
	failed := d.failed()
	failed.Bundle, failed.Duration = r.Bundle, r.Duration
	_ = p.recordCause(failed, err)
	if d.lives(p.clock()) {
		return false
	}
	p.leaveEscrow(d)
	return true
}

// unsure puts on record that another system than the one which made it says that d has
// ended: it may of what it does not know. A start that still reads that asks again,
// whichever is registered then.
func (p *Pool) unsure(ctx context.Context, d *debt) {
	now := "another system"
	if issuer := d.reg.issuer(); issuer != "" {
		now = strconv.Quote(issuer)
	}
	err := fault.New(d.record.Event, fault.Internal, fmt.Sprintf("it was made at %q, and %s, for which the provider is registered now, says that it has ended, as it may of what it does not know: %s",
		d.elsewhere, now, d.byItself()))
	p.logger.LogAttrs(ctx, slog.LevelWarn, "a lease may live on at its system", slog.String("event", d.record.Event), slog.String("provider", d.record.Provider),
		slog.String("credential", d.record.Credential), slog.Any("error", err))
	failed := d.failed()
	failed.Bundle = p.bundle()
	_ = p.recordCause(failed, err)
}

// leaveEscrow erases what is kept of what has ended, unless a lease is of the same.
func (p *Pool) leaveEscrow(d *debt) {
	if d.withdraw != nil && !p.siblings.have(&d.record) {
		d.withdraw()
	}
}

// attempt tries a few times, as long as it matters.
func (p *Pool) attempt(ctx context.Context, d *debt) (err error) {
	pause := firstDelay
	for try := 1; ; try++ {
		if err = p.askEnd(ctx, d); err == nil || try == revokeAttempts || ctx.Err() != nil || !d.lives(p.clock()) {
			return err
		}
		select {
		case <-time.After(pause):
			pause *= 4
		case <-ctx.Done():
			return err
		}
	}
}

// askEnd has the provider end d.
func (p *Pool) askEnd(ctx context.Context, d *debt) error {
	ctx, cancel := context.WithTimeout(ctx, revokeTimeout)
	defer cancel()
	return p.consult(ctx, d.reg, d.record.Event, func() error {
		if d.record.Event == eventLogout {
			return d.reg.logins.Logout(ctx, d.held.Lease)
		}
		defer p.logOutAfter(d.reg) // a logout that takes a login would never be the last
		return d.reg.revoker.Revoke(ctx, d.held)
	})
}

// notRevoked says that n debts are left.
func notRevoked(n int) error {
	if n == 0 {
		return nil
	}
	return fmt.Errorf("close pool: got %d leases not revoked, want none: the next start tries again, or revoke them by hand with the lease in the record", n)
}
