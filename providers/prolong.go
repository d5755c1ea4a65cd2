package providers

import (
	"errors"
	"log/slog"
	"slices"
	"time"

	"mintmark/broker/audit"
	"mintmark/internal/fault"
)

// prolong has l renewed by its system, puts that on record and in force, and
// reports whether l needs no successor. It does where the system can't renew,
// fails to, or gives less than half the time that l had at first: then a
// credential that lasts is minted while this one still serves.
func (p *Pool) prolong(l *lease) bool {
	if l.reg.renewer == nil || l.fixed.Load() || !l.credential.known() || l.span.Load().systemEnd.After(l.credential.NotAfter()) { // the registration gives no more time
		return false
	}
	start := p.clock()
	before := l.expectLonger(start.Add(p.mintTimeout))
	if !p.foretell(l, start) {
		l.ifProlonged.Store(before)
		return false
	}
	given, err := p.renewal(l)
	if errors.Is(err, ErrNotRenewable) {
		l.fixed.Store(true)
		l.ifProlonged.Store(before)
		return false
	}
	if err != nil {
		p.notProlonged(l, start, err)
		return false
	}
	end := l.reg.end(given.NotAfter, l.born)
	if !end.After(l.credential.NotAfter()) { // nor does its system
		return false
	}
	r := p.entry("renew", l, start)
	r.NotAfter, r.SystemEnd, r.Scopes = end, given.NotAfter.Round(0), given.Scopes
	if l.escrowed { // with its later end
		if _, err := p.keepSecret(l, r); err != nil {
			p.notProlonged(l, start, l.reg.named(fault.Wrap("lease", fault.Unavailable, "the broker cannot keep the later end in escrow", err), ""))
			return false
		}
	}
	if err := p.tell(r, func() { l.agree(given, start); l.ifProlonged.Store(nil) }); err != nil {
		p.logger.LogAttrs(p.ctx, slog.LevelError, "renewal not recorded", slog.String("credential", l.credential.ID()), slog.Any("error", err))
		return false
	}
	if l.credential.lease.ended.Load() { // meanwhile, by what was known of it then
		p.owes(l, false, onRecord)
		return false
	}
	p.keep(l)
	if l.retired.Load() { // meanwhile: keep has undone its grace
		l.refresh.Stop()
		l.expiry.Reset(l.span.Load().margin)
		return false
	}
	if end.Sub(start) < l.life/2 || l.credential.lease.ended.Load() {
		return false // and in use still: it serves on where no successor can be minted
	}
	l.used.Store(false)
	return true
}

// notProlonged puts on record that l was not prolonged, because of cause. Of one that has ended
// meanwhile the record has no handle: it would be an orphan once more, as in repeat.
func (p *Pool) notProlonged(l *lease, start time.Time, cause error) {
	p.telling.Lock()
	defer p.telling.Unlock()
	r := p.entry("renew_failed", l, start)
	if l.credential.lease.ended.Load() {
		r.Lease, r.Escrow = "", false
	}
	_ = p.recordCause(r, cause)
}

// expectLonger notes that the system of l is asked to prolong it, by now at the latest: it
// may do that and not come to say so, as when the answer is lost, and l then lives on there
// for as long again as it was given. It returns what was expected before.
func (l *lease) expectLonger(now time.Time) (before *time.Time) {
	s := l.span.Load()
	longer := now.Add(s.systemEnd.Sub(s.since))
	return l.ifProlonged.Swap(&longer)
}

// foretell puts on record until when l may last by now, before its system is asked: whoever
// starts after a crash in between has it ended until then. It reports whether it is there.
func (p *Pool) foretell(l *lease, now time.Time) bool {
	return !l.traceable() || p.repeat(func() *audit.Record {
		if l.credential.lease.ended.Load() {
			return nil
		}
		return p.entry(eventHeld, l, now)
	})
}

// renewal asks l's system for more time, for at most mintTimeout, and returns
// the terms that it gives. A provider that ignores its context is not waited for:
// what it gets is used by nobody, and ends with l.
func (p *Pool) renewal(l *lease) (Terms, error) {
	ctx, brief, cancel := p.within()
	defer cancel()
	type answer struct {
		terms Terms
		err   error
	}
	answers := make(chan answer, 1)
	go func() {
		defer p.logOutAfter(l.reg)
		var a answer
		a.err = p.consult(brief, l.reg, "renew", func() (err error) {
			a.terms, err = l.reg.renewer.Renew(brief, l.held())
			return err
		})
		answers <- a
	}()
	select {
	case a := <-answers:
		if a.err != nil {
			return Terms{}, a.err
		}
		given, err := l.merged(a.terms)
		return given, l.reg.named(err, l.reg.tryIt())
	case <-ctx.Done():
		return Terms{}, silent(l.reg, "renew", ctx.Err())
	}
}

// merged returns the terms that hold after a renewal that said t: what it did not say is
// as it was. The handle stays what it is: by that l is on record, and ends.
func (l *lease) merged(t Terms) (Terms, error) {
	was := l.credential.lease.terms()
	if t.Lease != "" && t.Lease != was.Lease {
		return Terms{}, fault.New("lease", fault.Internal, "the credential provider prolonged the credential under another handle")
	}
	t.Lease, t.Revocable = was.Lease, t.Revocable || was.Revocable
	if t.Scopes == nil {
		t.Scopes = was.Scopes
	}
	t.Scopes = slices.Clone(t.Scopes)
	if l.credential.lease.leaks(&t) {
		return Terms{}, fault.New("lease", fault.Internal, "the credential provider put the secret itself into the credential's terms")
	}
	return t, nil
}
