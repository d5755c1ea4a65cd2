package providers_test

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"mintmark/internal/fault"
	"mintmark/providers"
	"mintmark/providers/internal/providertest"
)

// toRevoke has b log in for a revocation, as login-to-revoke, and fail while down is set.
func toRevoke(t *testing.T, b *bonded, down *atomic.Bool) {
	b.onRevoke = func(ctx context.Context, _ providers.Held) error {
		b.mu.Lock()
		over := slices.Contains(b.loggedOut, "login-to-revoke")
		b.mu.Unlock()
		if over {
			t.Error("got a revocation under a login that has ended")
		}
		if down.Load() {
			return fault.New("revoke", fault.Unavailable, "down")
		}
		return b.report(ctx, "login-to-revoke", time.Now().Add(2*time.Hour))
	}
}

// wantEnded checks that nothing is left of one lease and of logins, and nothing counted.
func wantEnded(t *testing.T, r *providertest.Rig, b *bonded, late *atomic.Int64, logins ...string) {
	t.Helper()
	if !b.hasRevoked("lease-1") || !slices.Equal(slices.Sorted(slices.Values(b.loggedOut)), logins) || late.Load() != 0 {
		t.Errorf("got %v revoked, %v logged out and %d late, want the lease and %v ended", b.revoked, b.loggedOut, late.Load(), logins)
	}
	if left := r.Orphans(t); len(left) != 0 {
		t.Errorf("got %+v for the next start, want nothing", left)
	}
}

// What a Pool that has ended goes on to end may take another login: that ends after it.
func TestALoginForWhatCameAfterCloseEndsToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := loggingIn()
		b.scripted = heedless(5*time.Second, providers.NewSecret(canary), "lease-1")
		login := b.log
		b.log = func(b *bonded, ctx context.Context) error {
			<-time.After(3 * time.Second)
			return login(b, ctx)
		}
		var down atomic.Bool
		down.Store(true)
		toRevoke(t, b, &down)
		var late atomic.Int64
		r := one(t, b, func(o *providers.PoolOptions) { o.Late = &late })
		closing(t, r)
		pass(12 * time.Second)
		if len(b.loggedOut) != 0 {
			t.Errorf("got %v logged out before what was made under it is revoked", b.loggedOut)
		}
		down.Store(false)
		pass(time.Minute)
		wantEnded(t, r, b, &late, "login-1", "login-to-revoke")
		r.Finish(t)
	})
}

func TestALoginForWhatNoProviderCanEndAnyMoreEndsToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := loggingIn()
		var down atomic.Bool
		down.Store(true)
		toRevoke(t, b, &down)
		var late atomic.Int64
		r := one(t, b, func(o *providers.PoolOptions) { o.Late = &late })
		lease(t, r)
		_ = r.Close(t.Context())
		next := newRig(t, map[string]providers.Entry{"other": {Provider: lasting(time.Hour)}})
		r.HandOver(t.Context(), next.Pool)
		pass(5 * time.Second)
		down.Store(false)
		pass(10 * time.Minute)
		wantEnded(t, r, b, &late, "login-1", "login-to-revoke")
		next.Stop(t)
		r.Finish(t)
	})
}

// A mint that ignores its context may log in when its Pool has ended, and make nothing; also
// while another such login can't be ended.
func TestALoginThatComesAfterCloseEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := loggingIn()
		b.mint = mintOf(providers.Credential{})
		var mints atomic.Int64
		login := b.log
		b.log = func(b *bonded, ctx context.Context) error {
			<-time.After(time.Duration(mints.Add(1)) * 5 * time.Second)
			return login(b, ctx)
		}
		b.refuse = fault.New("logout", fault.Unavailable, "down")
		r := newRig(t, map[string]providers.Entry{"db": {Provider: b, PerAgent: true}})
		for _, id := range []string{"spiffe://a.test/1", "spiffe://a.test/2"} {
			go func() { _, _, _ = r.Lease(context.WithoutCancel(t.Context()), "db", providertest.Agent(t, id)) }()
		}
		synctest.Wait()
		if err := r.Close(t.Context()); err != nil {
			t.Error(err)
		}
		pass(15 * time.Second)
		b.mu.Lock()
		b.refuse = nil
		b.mu.Unlock()
		pass(time.Minute)
		if left := r.Orphans(t); len(b.loggedOut) != 2 || len(left) != 0 {
			t.Errorf("got %v logged out, and %+v for the next start, want both ended", b.loggedOut, left)
		}
		r.Finish(t)
	})
}

// hanging is a provider whose system answers no logout until goOn is closed.
type hanging struct {
	*bonded
	goOn chan struct{}
}

func (h hanging) Logout(ctx context.Context, handle string) error {
	<-h.goOn
	return h.bonded.Logout(ctx, handle)
}

// While its system hangs such a login is on record again each hour, however late it came.
func TestALoginThatComesAfterCloseIsOnRecordAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := hanging{loggingIn(), make(chan struct{})}
		h.mint = mintOf(providers.Credential{})
		h.log = func(b *bonded, ctx context.Context) error {
			<-time.After(3 * time.Minute)
			return b.report(ctx, "login-1", time.Now().Add(100*time.Hour))
		}
		r := one(t, h)
		closing(t, r)
		pass(8 * time.Hour)
		decide(t, r)
		if left := r.Orphans(t); len(left) != 1 {
			t.Errorf("got %+v for the next start, want the login", left)
		}
		close(h.goOn)
		synctest.Wait()
		if left := r.Orphans(t); len(left) != 0 || len(h.loggedOut) != 1 {
			t.Errorf("got %+v for the next start, and %v logged out, want the login ended", left, h.loggedOut)
		}
		r.Finish(t)
	})
}
