package providers

import (
	"errors"
	"log/slog"
	"slices"
	"time"

	"mintmark/broker/audit"
)

// eventLate is a mint that nobody waited for any more: what it made serves no call.
const eventLate = "mint_late"

// lateMints is how much of its time Close gives to the mints under way: one that
// keeps to its context ends at once, and the rest is for revocations.
const lateMints = 2 * time.Second

// discard ends a credential that came when nobody waited for it any more: after its
// mint's time, or after the end of the Pool. It is on record first, so that the next
// start finds what is not revoked by then.
func (p *Pool) discard(t ticket, c Credential, start time.Time, err error) {
	if err != nil && !c.issued() {
		return
	}
	l, _ := p.newLease(t, c, start) // which need not be one that could serve
	if err := p.deposit(l); err != nil {
		p.logger.LogAttrs(p.ctx, slog.LevelError, "a late credential is not in escrow", slog.String("credential", l.credential.ID()), slog.Any("error", err))
	}
	l.credential.lease.ended.Store(true)
	l.retired.Store(true)
	r := p.entry(eventLate, l, start)
	r.Reason = l.livesOn(p.clock(), errors.New("it came when nobody waited for it any more, and served no call")).Error()
	unrecorded := p.record(r)
	if !l.revocable(p.clock()) {
		if unrecorded != nil {
			p.logUnrecorded(r, unrecorded)
		}
		p.withdraw(l)
		p.forgetLater(l)
		return
	}
	d := p.debt(l)
	if unrecorded != nil {
		d.erase = p.writeDown(r, unrecorded)
	}
	p.incur(d)
}

// writeDown keeps for the next start what could not be put on record, as the log is
// closed already or can't be written. What it returns erases that, or is nil.
func (p *Pool) writeDown(r *audit.Record, cause error) (erase func()) {
	if r.Lease == "" && !r.Escrow || p.owe == nil { // no other process could end it
		p.logUnrecorded(r, cause)
		return nil
	}
	erase, err := p.owe(orphan(*r))
	if err != nil {
		p.logUnrecorded(r, errors.Join(cause, err))
	}
	return erase
}

func (p *Pool) logUnrecorded(r *audit.Record, err error) {
	p.logger.LogAttrs(p.ctx, slog.LevelError, "a credential is on no record", slog.String("provider", r.Provider), slog.String("credential", r.Credential),
		slog.String("lease", r.Lease), slog.Any("error", err))
}

// incur has d paid, whatever becomes of p.
func (p *Pool) incur(d *debt) {
	if !p.debts.take(d) {
		p.payAfter([]*debt{d}, nil)
	}
}

// payAfter has paid what came, or was left, when the queue was closed. It goes on for as long
// as that matters, or the process lasts; PoolOptions.Late counts it. A login that is taken for
// it is ended after the last of what its provider owes.
func (p *Pool) payAfter(leases, logins []*debt) {
	for _, d := range slices.Concat(leases, logins) {
		p.logins.need(d.reg, 1)
		p.owesLate(d, func() {
			p.logins.need(d.reg, -1)
			p.logOutAfter(d.reg)
		})
	}
	p.after.adopt(leases, logins)
}

// owesLate counts d, which is paid after the queue was closed, for Close and beside it: a Pool
// that has ended is asked nothing any more. Once d is paid, it calls then. Until that d is put
// on record again: see remindDue.
func (p *Pool) owesLate(d *debt, then func()) {
	p.countLate(1)
	p.reminder.Reset(lookEvery)
	settle := d.paid
	d.paid = func() {
		if settle != nil {
			settle()
		}
		then()
		p.countLate(-1)
	}
}

func (p *Pool) countLate(n int64) {
	p.debts.late.Add(n)
	if p.late != nil {
		p.late.Add(n)
	}
}
