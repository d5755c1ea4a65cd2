package providers

import "time"

// Rest says that an agent has ended some of what it held a credential of its own for,
// such as one of its sessions: the credential is given up, and revoked, if nothing of
// the agent uses it for RestFor. So a session that goes on beside it is not disturbed,
// and one that was left behind keeps nothing. A credential that agents share stays.
func (p *Pool) Rest(provider string, req Request) {
	if t, ok := p.own(provider, req); ok {
		p.restAll(t)
	}
}

// restAll has the lease for t rest, and what is being minted for it.
func (p *Pool) restAll(t ticket) {
	p.mu.Lock()
	l := p.held(t)
	if f := p.flights[t.key]; f != nil { // what comes of it rests too
		f.rests = true
	}
	p.mu.Unlock()
	if l != nil {
		p.rest(l)
	}
}

func (p *Pool) rest(l *lease) {
	l.resting.Store(true)
	l.used.Store(false)
	l.refresh.Reset(p.restOf(l))
}

// restOf returns in how long it is looked whether l was used. One that is due soon, or has
// been for long since its system is away, is not given up sooner for that: half of its time
// is left then to replace it.
func (p *Pool) restOf(l *lease) time.Duration {
	now := p.clock()
	left := max(l.span.Load().until.Sub(now), 0)
	return min(p.restFor, max(l.dueIn(now), left/2))
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
