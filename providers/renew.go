package providers

import (
	"log/slog"
	"time"

	"mintmark/internal/fault"
)

// wipeAfter is how long after its end, and after the last attempt to revoke it,
// a credential is wiped.
const wipeAfter = 5 * time.Second

// arm gives l its timers, stopped: they are set before anyone else sees l.
func (p *Pool) arm(l *lease) {
	l.expiry = time.AfterFunc(time.Hour, func() { p.end(l) })
	l.refresh = time.AfterFunc(time.Hour, func() { p.replace(l) })
	l.expiry.Stop()
	l.refresh.Stop()
}

// hold puts a recorded lease into service.
func (p *Pool) hold(l *lease) {
	p.keep(l)
	p.serve(l)
}

// keep sets the timers of l by its end.
func (p *Pool) keep(l *lease) {
	life := l.credential.NotAfter().Sub(p.clock())
	l.expiry.Reset(life)
	l.refresh.Reset(twoThirds(life))
}

// twoThirds is of a life of centuries too, of which twice is more than a Duration can say.
func twoThirds(life time.Duration) time.Duration { return life / 3 * 2 }

// serve returns once the cache serves l, or has refused to; OnExit has then
// retired l, which is good for those who wait for it and for no one after.
func (p *Pool) serve(l *lease) {
	p.closing.RLock()
	defer p.closing.RUnlock()
	if p.closed {
		return
	}
	if !p.cache.Set(l.slot, l, 1) {
		p.retire(l)
	}
	p.cache.Wait()
}

// replace has l prolonged, or mints a successor of it while l is still served:
// with the same restraint after failures as a call. A lease that nobody used in
// this life is given up: what is not held cannot leak.
func (p *Pool) replace(l *lease) {
	if l.retired.Load() || p.goesOn(l) {
		return
	}
	if !l.used.Load() {
		p.evict(l)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended() != nil || p.flights[l.key] != nil {
		return
	}
	if wait, err := p.failures.refuse(l.key, p.clock()); err != nil {
		l.refresh.Reset(wait)
		return
	}
	p.depart(l.ticket, l)
}

// postpone tries again to replace l, whose successor could not be minted. One that rests is
// looked at when it has rested.
func (p *Pool) postpone(l *lease, delay time.Duration, cause error) {
	p.logger.LogAttrs(p.ctx, slog.LevelWarn, "lease not renewed", slog.String("provider", l.reg.name), slog.String("credential", l.credential.ID()),
		slog.String("fault", fault.KindOf(cause).String()), slog.Any("error", cause))
	if l.resting.Load() {
		delay = p.restOf(l)
	}
	if !l.retired.Load() {
		l.refresh.Reset(delay)
	}
}

// retire ends l a little later, so that the calls that have just leased it
// still go through. The cache calls it from under its locks: it only sets timers.
func (p *Pool) retire(l *lease) {
	if l == nil || l.retired.Swap(true) {
		return
	}
	l.refresh.Stop()
	// Set anew also where it is over already: after a sleep, or a clock that was set, the
	// timer would come much later.
	l.expiry.Reset(max(0, min(l.span.Load().margin, l.credential.NotAfter().Sub(p.clock()))))
}

// end makes l unusable at once, and has it revoked where its system would let
// it live on and no other lease ends with it there.
func (p *Pool) end(l *lease) { p.endOwing(l, onRecord) }

// onRecord writes nothing down of what is on record.
func onRecord() (erase func()) { return nil }

// endOwing is end of what may be on no record: writeDown is called before l is revoked,
// and what it returns once it is.
func (p *Pool) endOwing(l *lease, writeDown func() (erase func())) {
	if l.credential.lease.ended.Swap(true) {
		return
	}
	l.retired.Store(true)
	l.refresh.Stop()
	l.expiry.Stop()
	shared := p.ledger.remove(l) // with one that is the last then
	p.evict(l)
	p.owes(l, shared, writeDown)
}

// owes has l, which has ended here, revoked where its system would let it live on and no
// other lease ends with it there.
func (p *Pool) owes(l *lease, shared bool, writeDown func() (erase func())) {
	if shared || !l.revocable(p.clock()) {
		p.withdraw(l)
		p.forgetLater(l)
		return
	}
	d := p.debt(l)
	d.erase = writeDown()
	p.incur(d)
}

// forgetLater wipes what l is made of, once the calls that have just opened it
// have sent it or were refused.
func (p *Pool) forgetLater(l *lease) {
	if p.ctx.Err() != nil { // no call is under way
		l.credential.lease.wipe()
		return
	}
	time.AfterFunc(wipeAfter, l.credential.lease.wipe)
}

func (p *Pool) evict(l *lease) {
	p.closing.RLock()
	defer p.closing.RUnlock()
	if p.closed {
		return
	}
	if served, ok := p.cache.Get(l.slot); ok && served == l {
		p.cache.Del(l.slot)
	}
}
