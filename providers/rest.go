package providers

import "time"

// Rest says that an agent has ended some of what it held a credential of its own for,
// such as one of its sessions: the credential is given up, and revoked, if nothing of
// the agent uses it for RestFor. So a session that goes on beside it is not disturbed,
// and one that was left behind keeps nothing. A credential that agents share stays.
func (p *Pool) Rest(provider string, req Request) {
	t, ok := p.own(provider, req)
	if !ok {
		return
	}
	if l := p.held(t); l != nil {
		p.rest(l)
	}
}

func (p *Pool) rest(l *lease) {
	l.resting.Store(true)
	l.used.Store(false)
	l.refresh.Reset(min(p.restFor, l.dueIn(p.clock())))
}

// dueIn returns in how long l is to be replaced, if it is used.
func (l *lease) dueIn(now time.Time) time.Duration {
	since := l.span.Load().since
	return max(since.Add(twoThirds(l.credential.NotAfter().Sub(since))).Sub(now), 0)
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
