package providers

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// An agent that begins and ends sessions without pause must not have its system mint
// and revoke for each: so many are given up at once, and one more each time that
// passes. What comes sooner rests.
const (
	giveUpBurst = 8
	giveUpEvery = 10 * time.Second
)

// GiveUp says that an agent needs its own credential no longer, as when its last
// session has ended: it is unusable when GiveUp returns, and revoked soon after. So is one
// that is being minted as it lands, unless a call waits for it by then. The caller sees to
// it that no call has it. One that agents share stays, and one whose agent does this too
// often rests: see Rest.
func (p *Pool) GiveUp(provider string, req Request) {
	t, ok := p.own(provider, req)
	if !ok {
		return
	}
	if l := p.heldOrLeft(t); l != nil {
		p.letGo(l)
	}
}

// heldOrLeft returns the usable lease for t. Where there is none, the mint for t that is
// under way is left: its call has ended.
func (p *Pool) heldOrLeft(t ticket) *lease {
	p.mu.Lock()
	defer p.mu.Unlock()
	l, f := p.held(t), p.flights[t.key]
	if l == nil && f != nil {
		f.awaited, f.left = false, true
	}
	return l
}

func (p *Pool) letGo(l *lease) {
	if !p.givenUp.admits(l.key, p.clock()) {
		p.restAll(l.ticket)
		return
	}
	l.givenUp.Store(true)
	p.end(l)
}

// PerAgent reports whether each agent has a credential of its own of the named
// provider.
func (p *Pool) PerAgent(provider string) bool {
	reg := p.registrations[provider]
	return reg != nil && reg.PerAgent
}

// own returns the demand for an agent's own credential, and false where agents share
// one.
func (p *Pool) own(provider string, req Request) (ticket, bool) {
	if !p.PerAgent(provider) {
		return ticket{}, false
	}
	t, err := p.registrations[provider].ticket(req)
	return t, err == nil
}

// refusedBurst is how many credentials of an agent, or of all that share one, end at
// once because an upstream refused them. There is one more each giveUpEvery.
const refusedBurst = 1

// Refused says that an upstream refused c: it ends, and the next call has another
// minted. An agent that can provoke that must not have the broker mint for each of its
// calls, nor keep others from being rid of what is refused.
func (p *Pool) Refused(ctx context.Context, c Credential) {
	if l := p.ledger.get(c.ID()); l != nil && p.refused.admits(l.key, p.clock()) {
		p.Drop(ctx, c.ID())
	}
}

// restraint bounds how often something is done for whoever has a credential.
type restraint struct {
	burst int
	mu    sync.Mutex
	of    map[key]*rate.Limiter
}

func (g *restraint) admits(k key, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	limit := g.of[k]
	if limit == nil {
		if len(g.of) >= defaultLeases && !g.sweep(now) {
			return false
		}
		if g.of == nil {
			g.of = make(map[key]*rate.Limiter)
		}
		limit = rate.NewLimiter(rate.Every(giveUpEvery), g.burst)
		g.of[k] = limit
	}
	return limit.AllowN(now, 1)
}

// sweep forgets who may do all of it again, and reports whether there is room.
func (g *restraint) sweep(now time.Time) bool {
	for k, limit := range g.of {
		if limit.TokensAt(now) >= float64(g.burst) {
			delete(g.of, k)
		}
	}
	return len(g.of) < defaultLeases
}
