package providers_test

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mintmark/broker/audit"
	"mintmark/internal/fault"
	"mintmark/providers"
	"mintmark/providers/internal/providertest"
)

// safe is an Escrow that outlives a pool.
type safe struct {
	onKeep func() error
	onFind func() error

	mu     sync.Mutex
	kept   map[string][]byte
	handed [][]byte // what Keep got and Find gave, to be overwritten by the Pool
}

// Keep implements providers.Escrow.
func (s *safe) Keep(name string, value []byte) (func(), error) {
	if s.onKeep != nil {
		if err := s.onKeep(); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kept == nil {
		s.kept = map[string][]byte{}
	}
	s.kept[name] = slices.Clone(value)
	s.handed = append(s.handed, value)
	return func() { s.erase(name) }, nil
}

// Find implements providers.Escrow.
func (s *safe) Find(name string) ([]byte, func(), error) {
	if s.onFind != nil {
		if err := s.onFind(); err != nil {
			return nil, func() { s.erase(name) }, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	value, ok := s.kept[name]
	if !ok {
		return nil, func() {}, fs.ErrNotExist
	}
	value = slices.Clone(value)
	s.handed = append(s.handed, value)
	return value, func() { s.erase(name) }, nil
}

// checkOverwritten fails the test where something that was handed over is still there.
func (s *safe) checkOverwritten(t *testing.T, want int) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.handed) != want {
		t.Errorf("got %d values handed over, want %d", len(s.handed), want)
	}
	for _, value := range s.handed {
		if strings.Trim(string(value), "\x00") != "" {
			t.Error("got a value that the pool left in memory, want it overwritten")
		}
	}
}

func (s *safe) erase(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.kept, name)
}

func (s *safe) names() (names []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name := range s.kept {
		names = append(names, name)
	}
	return names
}

func (s *safe) use(o *providers.PoolOptions) { o.Escrow = s }

// shows is a provider whose system ends a token where it is shown it, and no otherwise.
type shows struct {
	scripted
	token func(n int) string
	name  string // of the issuer
	down  atomic.Bool

	shown sync.Map
}

// showing returns one whose tokens live for ttl.
func showing(ttl time.Duration) *shows {
	s := &shows{name: "https://issuer.test", token: func(n int) string { return fmt.Sprintf("%s-%d", canary, n) }}
	s.mint = func(_ context.Context, n int, _ providers.Request) (providers.Credential, error) {
		return providers.Seal(providers.Token, providers.Material{Token: providers.NewSecret(s.token(n))},
			providers.Terms{NotAfter: time.Now().Add(ttl), Revocable: true, Scopes: []string{"read"}}), nil
	}
	s.onRevoke = func(_ context.Context, h providers.Held) error {
		token := h.Opened.Token()
		if s.down.Load() || h.Lease != "" || token == "" {
			return fault.New("revoke", fault.Unavailable, "down, or shown no token")
		}
		s.shown.Store(token, true)
		return nil
	}
	return s
}

// Issuer implements providers.Issuing.
func (s *shows) Issuer() string { return s.name }

func (s *shows) ended(n int) bool {
	_, ok := s.shown.Load(s.token(n))
	return ok
}

// nameless is such a provider that does not say whose its tokens are.
type nameless struct {
	providers.Provider
	providers.Revoker
}

// killed returns the orphans of a pool that minted of p for n agents and was killed, and
// what it left in escrow.
func killed(t *testing.T, p providers.Provider, n int) ([]audit.Record, *safe) {
	t.Helper()
	var s safe
	r := newRig(t, map[string]providers.Entry{"db": {Provider: p, PerAgent: true}}, s.use)
	for i := range n {
		r.Must(t, providertest.Agent(t, fmt.Sprintf("spiffe://a.test/%d", i)))
	}
	s.checkOverwritten(t, len(s.names()))
	if err := r.Log.Close(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close(context.WithoutCancel(t.Context())) }) // what it does comes too late
	return r.Orphans(t), &safe{kept: maps.Clone(s.kept)}
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func must(t *testing.T, r *providertest.Rig, req providers.Request) providers.Credential {
	t.Helper()
	c, _ := r.Must(t, req)
	return c
}
