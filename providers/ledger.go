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
	g.file(l)
}

// file puts l beside those that end with it. The caller holds mu.
func (g *ledger) file(l *lease) {
	l.filed = l.endedWith()
	if g.same[l.filed] == nil {
		g.same[l.filed] = make(map[*lease]struct{}, 1)
	}
	g.same[l.filed][l] = struct{}{}
}

// unfile takes l from there. The caller holds mu.
func (g *ledger) unfile(l *lease) {
	if delete(g.same[l.filed], l); len(g.same[l.filed]) == 0 {
		delete(g.same, l.filed)
	}
}

// renamed files l by the handle that it has now, unless it has ended.
func (g *ledger) renamed(l *lease) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.leases[l.credential.ID()] == l {
		g.unfile(l)
		g.file(l)
	}
}

// remove reports whether a lease is left that ends at its system with l: of two that are
// removed at once, one is the last.
func (g *ledger) remove(l *lease) (shared bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.leases, l.credential.ID())
	g.unfile(l)
	return len(g.same[l.endedWith()]) > 0
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

func (g *ledger) all() []*lease {
	g.mu.RLock()
	defer g.mu.RUnlock()
	leases := make([]*lease, 0, len(g.leases))
	for _, l := range g.leases {
		leases = append(leases, l)
	}
	return leases
}
