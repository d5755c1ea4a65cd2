package providers

import (
	"context"
	"time"
)

// LeaseLate is Lease for a caller that found nothing in the cache a moment ago.
func (p *Pool) LeaseLate(ctx context.Context, provider string) (Credential, error) {
	t, err := p.registrations[provider].ticket(Request{})
	if err != nil {
		return Credential{}, err
	}
	return p.await(ctx, t)
}

// Collide makes the keys of two shared providers hash to one slot.
func (p *Pool) Collide(a, b string) { p.registrations[a].seed = p.registrations[b].seed }

// Kept returns how many leases the cache and the ledger keep.
func (p *Pool) Kept() (cached, owed int) {
	return int(p.cache.MaxCost() - p.cache.RemainingCost()), len(p.ledger.all())
}

// Remind puts on record again what is held or owed, as a Pool does each hour.
func (p *Pool) Remind(now time.Time) { p.remind(now) }

// Replace has the lease of c prolonged or replaced, as at two thirds of its life.
func (p *Pool) Replace(c Credential) { p.replace(p.ledger.get(c.ID())) }

// Count returns how many Pools there are.
func (s *Siblings) Count() int { return len(s.ledgers) }

// OpenSecret returns what s hides, or "" once it is wiped.
func OpenSecret(s Secret) string { return open(s) }

// Expire has the timers of what is to be revoked again expire, and what they set off come
// late, as where other goroutines run first.
func (p *Pool) Expire() {
	p.debts.mu.Lock()
	defer p.debts.mu.Unlock()
	for _, timer := range p.debts.waiting {
		timer.Stop()
	}
}

// Ending is closed once Close has begun.
func (p *Pool) Ending() <-chan struct{} { return p.ctx.Done() }
