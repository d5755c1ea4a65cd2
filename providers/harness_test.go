package providers_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mintmark/internal/fault"
	"mintmark/providers"
	"mintmark/providers/internal/providertest"
)

const canary = "canary-4f1d7c0b9a2e"

// scripted is a provider that does what its fields say.
type scripted struct {
	mint     func(ctx context.Context, n int, req providers.Request) (providers.Credential, error)
	onRevoke func(ctx context.Context, h providers.Held) error

	mu      sync.Mutex
	mints   int
	revoked []string // leases
}

func (s *scripted) Mint(ctx context.Context, req providers.Request) (providers.Credential, error) {
	s.mu.Lock()
	s.mints++
	n := s.mints
	s.mu.Unlock()
	return s.mint(ctx, n, req)
}

func (s *scripted) Revoke(ctx context.Context, h providers.Held) error {
	if s.onRevoke != nil {
		if err := s.onRevoke(ctx, h); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revoked = append(s.revoked, h.Lease)
	return nil
}

func (s *scripted) count() (mints, revoked int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mints, len(s.revoked)
}

func (s *scripted) hasRevoked(lease string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Contains(" "+strings.Join(s.revoked, " ")+" ", " "+lease+" ")
}

func mintOf(c providers.Credential) func(context.Context, int, providers.Request) (providers.Credential, error) {
	return func(context.Context, int, providers.Request) (providers.Credential, error) { return c, nil }
}

// plain hides Revoke.
type plain struct{ providers.Provider }

// lasting mints tokens that live for ttl, or for ever.
func lasting(ttl time.Duration) *scripted {
	return &scripted{mint: func(_ context.Context, n int, _ providers.Request) (providers.Credential, error) {
		return token(n, ttl), nil
	}}
}

func token(n int, ttl time.Duration) providers.Credential {
	terms := providers.Terms{Scopes: []string{"read"}, Lease: fmt.Sprintf("lease-%d", n)}
	if ttl != 0 {
		terms.NotAfter = time.Now().Add(ttl)
	}
	return providers.Seal(providers.Token, providers.Material{Token: providers.NewSecret(fmt.Sprintf("%s-%d", canary, n))}, terms)
}

// pass lets d go by on the clock of a synctest bubble, and what it sets off be
// done.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// one returns a rig of one provider, "db".
func one(t testing.TB, p providers.Provider, change ...func(*providers.PoolOptions)) *providertest.Rig {
	t.Helper()
	return newRig(t, map[string]providers.Entry{"db": {Provider: p}}, change...)
}

func newRig(t testing.TB, entries map[string]providers.Entry, change ...func(*providers.PoolOptions)) *providertest.Rig {
	t.Helper()
	return providertest.New(t, entries, []string{canary}, change...)
}

func lease(t testing.TB, r *providertest.Rig) (providers.Credential, bool) {
	t.Helper()
	return r.Must(t, providers.Request{})
}

func refused(t testing.TB, r *providertest.Rig, want fault.Kind) string {
	t.Helper()
	return r.Refused(t, providers.Request{}, want)
}
