package vault

import (
	"context"
	"sync"
	"time"

	"mintmark/internal/fault"
	"mintmark/providers"
)

// leases remembers what is needed to renew a lease, and that Vault does not keep
// with it: which login made it.
type leases struct {
	mu   sync.Mutex
	made map[string]made
	trim int // how many there may be before the ended ones are looked for
}

type made struct {
	login     int
	renewable bool
	life      time.Duration
	end       time.Time
	scopes    []string
}

const minTrim = 256

func (l *leases) add(id string, m made, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.made == nil {
		l.made, l.trim = map[string]made{}, minTrim
	}
	if len(l.made) >= l.trim {
		for id, m := range l.made {
			if now.After(m.end) {
				delete(l.made, id)
			}
		}
		l.trim = max(minTrim, 2*len(l.made))
	}
	l.made[id] = m
}

func (l *leases) get(id string) (made, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	m, ok := l.made[id]
	return m, ok
}

func (l *leases) forget(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.made, id)
}

// errNotRenewed is of a lease that can't be renewed, or no further: no failure.
func errNotRenewed() error {
	return fault.Wrap("renew", fault.Internal, "vault does not prolong this credential", providers.ErrNotRenewable)
}

// renew asks Vault to prolong a lease by its life. It is refused where that would
// be no use: the lease ends with the token that made it.
func (s *session) renew(ctx context.Context, id string) (providers.Terms, error) {
	m, ok := s.leases.get(id)
	if !ok || !m.renewable {
		return providers.Terms{}, errNotRenewed()
	}
	start := s.env.Now()
	var by token
	var granted time.Duration
	err := s.with(ctx, func(t token) error {
		if by = t; t.login != m.login {
			return errNotRenewed()
		}
		// The lease goes in the body: in a path it could name another endpoint.
		answer, err := s.as(s.client, t).Logical().WriteWithContext(ctx, "sys/leases/renew", map[string]any{"lease_id": id, "increment": int(m.life / time.Second)})
		if answer != nil {
			granted = time.Duration(answer.LeaseDuration) * time.Second
		}
		return err
	})
	if err != nil {
		return providers.Terms{}, err
	}
	end := earliest(start.Add(granted), by.end)
	if !end.After(m.end) { // its longest life is reached
		return providers.Terms{}, errNotRenewed()
	}
	m.end = end
	s.leases.add(id, m, start)
	return providers.Terms{Scopes: m.scopes, NotAfter: end, Lease: id}, nil
}

// revoke ends a lease, and returns when what it made is gone.
func (s *session) revoke(ctx context.Context, id string) error {
	err := s.with(ctx, func(t token) error {
		_, err := s.as(s.client, t).Logical().WriteWithContext(ctx, "sys/leases/revoke", map[string]any{"lease_id": id, "sync": true})
		return err
	})
	if err == nil {
		s.leases.forget(id)
	}
	return err
}

// earliest returns the first of the ends that is one.
func earliest(ends ...time.Time) time.Time {
	var first time.Time
	for _, end := range ends {
		if !end.IsZero() && (first.IsZero() || end.Before(first)) {
			first = end
		}
	}
	return first
}
