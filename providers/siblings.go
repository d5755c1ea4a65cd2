package providers

import (
	"context"
	"sync"

	"mintmark/broker/audit"
)

// Siblings are the Pools of one process. A system may give out one secret more than once,
// to one after the other: it ends with the last lease that any of them has of it. The zero
// Siblings is ready, and safe for concurrent use.
type Siblings struct {
	mu      sync.RWMutex
	ledgers map[*ledger]*Pool
}

func (s *Siblings) add(p *Pool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ledgers == nil {
		s.ledgers = make(map[*ledger]*Pool)
	}
	s.ledgers[&p.ledger] = p
}

// Owed returns what Pool.Owed does of all of them: one whose registrations are in force no
// longer may be open for long.
func (s *Siblings) Owed() (n int) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, p := range s.ledgers {
		n += p.Owed()
	}
	return n
}

// Close closes all of them at once, and returns when that is done or ctx ends. One that is
// being closed already is waited for.
func (s *Siblings) Close(ctx context.Context) {
	var closing sync.WaitGroup
	s.mu.RLock()
	for _, p := range s.ledgers {
		closing.Go(func() { _ = p.Close(ctx) }) // it logs and records what it could not revoke
	}
	s.mu.RUnlock()
	wait(ctx, &closing)
}

func (s *Siblings) remove(g *ledger) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.ledgers, g)
}

// have reports whether one of them has a lease of what r is of: see ledger.has.
func (s *Siblings) have(r *audit.Record) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for g := range s.ledgers {
		if g.has(r) {
			return true
		}
	}
	return false
}

// expire has the leases ended that any of them has of what r is of, since its system has
// ended that: one may have come while it was told to.
func (s *Siblings) expire(r *audit.Record) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for g := range s.ledgers {
		g.expire(r)
	}
}
