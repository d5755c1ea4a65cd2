package providers

import (
	"sync"

	"mintmark/broker/audit"
)

// ledger is every lease that has not ended, whether the cache serves it or not:
// what is to be ended on a Drop and revoked on Close.
type ledger struct {
	mu     sync.RWMutex
	leases map[string]*lease
	same   map[string]map[*lease]struct{} // by endedWith: a pool that ends asks for each of its leases
}

func (g *ledger) add(l *lease) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.leases == nil {
		g.leases, g.same = make(map[string]*lease), make(map[string]map[*lease]struct{})
	}
	g.leases[l.credential.ID()] = l
	of := l.endedWith()
	if g.same[of] == nil {
		g.same[of] = make(map[*lease]struct{}, 1)
	}
	g.same[of][l] = struct{}{}
}

// remove reports whether a lease is left that ends at its system with l: of two that are
// removed at once, one is the last.
func (g *ledger) remove(l *lease) (shared bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.leases, l.credential.ID())
	of := l.endedWith()
	if delete(g.same[of], l); len(g.same[of]) > 0 {
		return true
	}
	delete(g.same, of)
	return false
}

func (g *ledger) get(id string) *lease {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.leases[id]
}

// has reports whether a lease has not ended that ends at its system with what r is of.
func (g *ledger) has(r *audit.Record) bool {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return len(g.same[endedWith(r)]) > 0
}

// expire has each lease ended at once that ends at its system with what r is of.
func (g *ledger) expire(r *audit.Record) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	for l := range g.same[endedWith(r)] {
		l.expiry.Reset(0) // by its own Pool
	}
}

func (g *ledger) all() []*lease {
	g.mu.RLock()
	defer g.mu.RUnlock()
	leases := make([]*lease, 0, len(g.leases))
	for _, l := range g.leases {
		leases = append(leases, l)
	}
	return leases
}
