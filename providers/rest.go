package providers

import "time"

// Rest says that an agent has ended what it held a credential of its own for,
// such as a session: the credential is given up, and revoked, if nothing of the
// agent uses it for RestFor. So a session that goes on beside it is
// not disturbed, and an agent that begins and ends sessions without pause causes
// no more mints than one that stays. A credential that agents share stays.
func (p *Pool) Rest(provider string, req Request) {
	reg := p.registrations[provider]
	if reg == nil || !reg.PerAgent {
		return
	}
	t, err := reg.ticket(req)
	if err != nil {
		return
	}
	if l := p.held(t); l != nil {
		l.resting.Store(true)
		l.used.Store(false)
		l.refresh.Reset(min(p.restFor, l.dueIn(p.clock())))
	}
}

// dueIn returns in how long l is to be replaced, if it is used.
func (l *lease) dueIn(now time.Time) time.Duration {
	since := l.span.Load().since
	return max(since.Add(l.credential.NotAfter().Sub(since)*2/3).Sub(now), 0)
}

// goesOn reports whether l, which rested, was used since, and is not due yet.
func (p *Pool) goesOn(l *lease) bool {
	if !l.resting.Swap(false) || !l.used.Load() {
		return false
	}
	due := l.dueIn(p.clock())
	if due == 0 {
		return false
	}
	l.refresh.Reset(due)
	return true
}
