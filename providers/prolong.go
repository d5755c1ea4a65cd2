package providers

import (
	"cmp"
	"errors"
	"log/slog"
	"slices"
	"time"

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
	answer, err := p.renewal(l)
	if errors.Is(err, ErrNotRenewable) {
		l.fixed.Store(true)
		return false
	}
	var given Terms
	if err == nil {
		given, err = l.merged(answer)
	}
	if err != nil {
		_ = p.recordCause(p.entry("renew_failed", l, start), l.unrecordable(answer, err))
		return false
	}
	end := l.reg.end(given.NotAfter, l.born)
	if !end.After(l.credential.NotAfter()) { // nor does its system
		return false
	}
	r := p.entry("renew", l, start)
	r.NotAfter, r.SystemEnd, r.Lease, r.Scopes = end, given.NotAfter.Round(0), given.Lease, given.Scopes
	if r.Lease != "" {
		r.Issuer = l.reg.issuer()
	}
	if l.escrowed { // with its later end
		if _, err := p.keepSecret(l, r); err != nil {
			_ = p.recordCause(p.entry("renew_failed", l, start), fault.Wrap("lease", fault.Unavailable, "the broker cannot keep the later end in escrow", err))
			return false
		}
	}
	if err := p.tell(r, func() { p.agreed(l, given, start) }); err != nil {
		p.logger.LogAttrs(p.ctx, slog.LevelError, "renewal not recorded", slog.String("credential", l.credential.ID()), slog.Any("error", err))
		return false
	}
	l.used.Store(false)
	p.keep(l)
	if l.retired.Load() { // meanwhile: keep has undone its grace
		l.refresh.Stop()
		l.expiry.Reset(l.span.Load().margin)
		return false
	}
	return end.Sub(start) >= l.life/2 && !l.credential.lease.ended.Load()
}

// renewal asks l's system for more time, for at most mintTimeout, and returns
// what it says. A provider that ignores its context is not waited for:
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
		var a answer
		a.err = p.consult(brief, l.reg, "renew", func() (err error) {
			a.terms, err = l.reg.renewer.Renew(brief, l.held())
			return err
		})
		if a.err == nil {
			p.given(l, a.terms)
		}
		answers <- a
	}()
	select {
	case a := <-answers:
		return a.terms, a.err
	case <-ctx.Done():
		return Terms{}, silent(l.reg, "renew", ctx.Err())
	}
}

// agreed puts the terms of a renewal in force, which is on record.
func (p *Pool) agreed(l *lease, given Terms, start time.Time) {
	l.agree(given, start)
	l.beside.drop(given.Lease)
	p.ledger.renamed(l)
}

// merged returns the terms that hold after a renewal that said t: what it did
// not say is as it was.
func (l *lease) merged(t Terms) (Terms, error) {
	was := l.credential.lease.terms()
	t.Lease, t.Revocable = cmp.Or(t.Lease, was.Lease), t.Revocable || was.Revocable
	if t.Scopes == nil {
		t.Scopes = was.Scopes
	}
	t.Scopes = slices.Clone(t.Scopes)
	if l.credential.lease.leaks(&t) {
		return Terms{}, fault.New("lease", fault.Internal, "the credential provider put the secret itself into the credential's terms")
	}
	return t, fits(t.Lease)
}
