package providers

import (
	"cmp"
	"context"
	"iter"
	"log/slog"
	"slices"
	"time"

	"mintmark/broker/audit"
	"mintmark/internal/fault"
)

// OrphanWindow is how far before the newest record of a log everything is on
// record again that had not ended then: a Pool repeats what it holds for longer
// (event "held", or "login" again), so that a start reads no more than this of a log of any size.
const OrphanWindow = 3 * remindEvery

const (
	remindEvery      = time.Hour
	lookEvery        = time.Minute // whether that has passed: a clock that is set, or goes on after a sleep, leaps
	eventHeld        = "held"
	eventOrphan      = "orphan"
	eventOrphanLogin = "orphan_login"
)

// Orphans returns what has not ended at its system at now, according to the
// issuance records of a log that a process left, which come oldest first: the
// credentials that have a handle or are in escrow, and the logins. Each is a record (event
// "orphan" or "orphan_login") for whoever continues the log to begin with, so
// that it is found again. What can't be read is logged and passed over. Of what a system
// gave out more than once the last lease ends all, and there is one record of it.
func Orphans(records iter.Seq2[audit.Record, error], now time.Time, logger *slog.Logger) []audit.Record {
	var t tale
	for r, err := range records {
		if err != nil {
			logger.LogAttrs(context.Background(), slog.LevelError, "a record can't be read: what it tells of is not revoked", slog.Any("error", err))
			continue
		}
		t.hear(&r)
	}
	var orphans []audit.Record
	for _, r := range t.left() {
		if r.SystemEnd.IsZero() || now.Before(r.SystemEnd) {
			orphans = append(orphans, r)
		}
	}
	slices.SortFunc(orphans, func(a, b audit.Record) int { return cmp.Compare(a.Seq, b.Seq) })
	for i, r := range orphans {
		orphans[i] = orphan(r)
	}
	return orphans
}

// orphan returns what is known of an orphan from one of its records.
func orphan(r audit.Record) audit.Record {
	event := eventOrphan
	if isLogin(r.Event) {
		event = eventOrphanLogin
	}
	return audit.Record{
		Kind: audit.Issuance, Event: event, Agent: r.Agent, Provider: r.Provider, Credential: r.Credential,
		Fingerprint: r.Fingerprint, Scopes: r.Scopes, NotAfter: r.NotAfter, SystemEnd: r.SystemEnd, Lease: r.Lease, Issuer: r.Issuer, Escrow: r.Escrow,
	}
}

func isLogin(event string) bool {
	return event == eventLogin || event == eventLogout || event == eventLogout+"_failed" || event == eventOrphanLogin
}

// Adopt has the Pool end what another left behind, by the providers of the same
// names, whatever these are registered to do now: the credentials first, then the
// logins. It returns how many it took on: the rest has ended by itself, or nothing here can
// end it any more, which is on record, and counts as owed until it has. It does not wait.
func (p *Pool) Adopt(ctx context.Context, orphans []audit.Record) int {
	leases, logins := p.owedFor(orphans)
	n := len(leases) + len(logins)
	if n > 0 {
		p.logger.LogAttrs(ctx, slog.LevelWarn, "leases were left behind; revoking them", slog.Int("count", n))
	}
	p.debts.adopt(leases, logins)
	return n
}

// owedFor returns what p can end of orphans, and gives up the rest.
func (p *Pool) owedFor(orphans []audit.Record) (leases, logins []*debt) {
	for _, r := range orphans {
		d := p.orphaned(r)
		switch {
		case !d.lives(p.clock()):
			p.forsake(d)
		case !d.payable():
			_ = p.recordCause(d.failed(), fault.New(d.record.Event, fault.Internal, "no provider is registered by this name that can end it: revoke it by hand"))
			p.debts.giveUp(d)
		case d.record.Event == eventLogout:
			logins = append(logins, d)
		default:
			if err := p.claim(d); err != nil && r.Lease == "" {
				_ = p.recordCause(d.failed(), err)
				p.debts.giveUp(d)
				continue
			}
			leases = append(leases, d)
		}
	}
	return leases, logins
}

// orphaned returns what is owed for an orphan, by the provider of its name.
func (p *Pool) orphaned(r audit.Record) *debt {
	d := &debt{reg: p.registrations[r.Provider], record: r, held: Held{Lease: r.Lease}, end: r.SystemEnd}
	if d.record.Event = "revoke"; isLogin(r.Event) {
		d.record.Event = eventLogout
	}
	if d.reg != nil && r.Issuer != "" && r.Issuer != d.reg.issuer() {
		d.elsewhere = r.Issuer
	}
	return d
}

// payable reports whether d's provider can end it.
func (d *debt) payable() bool {
	if d.record.Event == eventLogout {
		return d.reg != nil && d.reg.logins != nil
	}
	return d.reg != nil && d.reg.revoker != nil
}

// failed returns the record that says that d was not paid.
func (d *debt) failed() *audit.Record {
	r := d.record
	r.Event += "_failed"
	return &r
}

// Owed returns how many leases have ended here and not at their system, but for those
// that PoolOptions.Late counts.
func (p *Pool) Owed() int { return p.debts.owed(p.clock()) }

// Left returns the records of what Close could not revoke, and of the logins that it could
// not end, for the Pool that comes after this one to Adopt.
func (p *Pool) Left() []audit.Record {
	p.debts.mu.Lock()
	defer p.debts.mu.Unlock()
	var records []audit.Record
	for _, d := range p.debts.left {
		r := orphan(d.record)
		if r.SystemEnd.IsZero() { // of what has no handle no record says it
			r.SystemEnd = d.end
		}
		records = append(records, r)
	}
	return records
}

// remindDue has remind done once it is an hour since the last time, by either clock, for as
// long as the Pool is open or something is paid after that.
func (p *Pool) remindDue() {
	if now := p.clock(); passed(p.reminded, now) >= remindEvery {
		p.reminded = now
		p.remind(now)
	}
	if p.ctx.Err() == nil || p.after.owed(p.clock()) > 0 {
		p.reminder.Reset(lookEvery)
	}
}

// passed returns how long it is from one time to another: by the monotonic clock, which
// stands still while a machine sleeps, or by the wall clock, which may be set; whichever
// says more.
func passed(from, to time.Time) time.Duration {
	return max(to.Sub(from), to.Round(0).Sub(from.Round(0)))
}

// remind puts what has been held for long on record again, every login, and what is
// owed and on record by no round.
func (p *Pool) remind(now time.Time) {
	for _, l := range p.ledger.all() {
		p.repeat(func() *audit.Record {
			if !l.traceable() || passed(l.span.Load().since, now) < remindEvery || !l.revocable(now) || l.credential.lease.ended.Load() {
				return nil
			}
			return p.entry(eventHeld, l, now)
		})
	}
	for _, d := range p.after.untold() {
		p.repeat(func() *audit.Record { return d.again(now) })
	}
	for _, d := range p.debts.untold() {
		p.repeat(func() *audit.Record {
			if p.ctx.Err() != nil { // then whoever comes next says so, and may have ended it
				return nil
			}
			return d.again(now)
		})
	}
	p.logins.mu.Lock()
	defer p.logins.mu.Unlock()
	for _, l := range p.logins.all {
		p.repeat(func() *audit.Record {
			r := l.record
			r.Bundle = p.bundle()
			return &r
		})
	}
}

// again returns the record by which the next start finds d; nil: it need not.
func (d *debt) again(now time.Time) *audit.Record {
	if !d.traceable() || d.over || !d.lives(now) {
		return nil
	}
	r := orphan(d.record)
	return &r
}

// repeat puts on record again what is returned, unless that is nil, and reports whether it is
// there. What it tells of neither ends nor changes meanwhile: after the record of its end it
// would be an orphan once more, which the next start has its system end again.
func (p *Pool) repeat(again func() *audit.Record) bool {
	p.telling.Lock()
	defer p.telling.Unlock()
	r := again()
	if r == nil {
		return false
	}
	err := p.record(r)
	if err != nil {
		p.logger.LogAttrs(p.ctx, slog.LevelError, "a lease that is held is not on record again", slog.String("credential", r.Credential), slog.Any("error", err))
	}
	return err == nil
}

// tell puts r on record, and if that succeeds does what it says: see repeat.
func (p *Pool) tell(r *audit.Record, do func()) error {
	p.telling.RLock()
	defer p.telling.RUnlock()
	if err := p.record(r); err != nil {
		return err
	}
	do()
	return nil
}
