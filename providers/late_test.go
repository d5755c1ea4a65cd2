package providers_test

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"mintmark/broker/audit"
	"mintmark/internal/fault"
	"mintmark/providers"
	"mintmark/providers/internal/providertest"
)

// heedless is a provider that delivers after a while, whatever its context says.
func heedless(after time.Duration, secret providers.Secret, lease string) *scripted {
	return &scripted{mint: func(context.Context, int, providers.Request) (providers.Credential, error) {
		<-time.After(after)
		return providers.Seal(providers.Token, providers.Material{Token: secret}, providers.Terms{NotAfter: time.Now().Add(time.Hour), Lease: lease}), nil
	}}
}

func TestALateCredentialIsOnRecordRevokedAndWiped(t *testing.T) {
	for name, tt := range map[string]struct {
		lease  string
		revoke bool
	}{"with a handle": {"lease-1", true}, "that can't be revoked": {"", false}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				secret := providers.NewSecret(canary)
				p := heedless(11*time.Second, secret, tt.lease)
				r := one(t, p)
				defer r.Stop(t)
				refused(t, r, fault.Unavailable)
				pass(8 * time.Second)
				want := map[bool]string{true: "mint_failed mint_late revoke", false: "mint_failed mint_late"}[tt.revoke]
				if got := r.Events(t); got != want || p.hasRevoked("lease-1") != tt.revoke {
					t.Errorf("events: got %q, want %q", got, want)
				}
				if late := r.Records(t)[1]; strings.HasSuffix(late.Reason, providertest.Until(late.NotAfter)) == tt.revoke || late.Credential == "" || late.Lease != tt.lease || late.Fingerprint == "" || late.Reason == "" {
					t.Errorf("got the record %+v of a late credential", late)
				}
				if providers.OpenSecret(secret) != "" {
					t.Error("the late credential is not wiped")
				}
			})
		})
	}
}

// closing leases from a heedless provider, and closes the pool under the mint.
func closing(t *testing.T, r *providertest.Rig) {
	t.Helper()
	go func() {
		_, _, _ = r.Lease(context.WithoutCancel(t.Context()), "db", providers.Request{})
	}()
	synctest.Wait()
	start := time.Now()
	if err := r.Close(t.Context()); err != nil || time.Since(start) > 3*time.Second {
		t.Errorf("close: got %v after %v, want it within 3s", err, time.Since(start))
	}
}

func TestACredentialThatComesAfterCloseIsOnRecordRevokedAndWiped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		secret := providers.NewSecret(canary)
		p := heedless(5*time.Second, secret, "lease-1")
		failing := 2 * 3 // two rounds
		p.onRevoke = func(context.Context, providers.Held) error {
			if failing--; failing >= 0 {
				return fault.New("revoke", fault.Unavailable, "down")
			}
			return nil
		}
		r := one(t, p)
		closing(t, r)
		pass(10 * time.Second)
		if got := r.Events(t); got != "mint_failed mint_late revoke_failed" {
			t.Errorf("events: got %q while its system is down", got)
		}
		pass(time.Minute)
		if got := r.Events(t); got != "mint_failed mint_late revoke_failed revoke_failed revoke" || !p.hasRevoked("lease-1") {
			t.Errorf("events: got %q, want it recorded and tried until it is revoked", got)
		}
		if providers.OpenSecret(secret) != "" {
			t.Error("the late credential is not wiped")
		}
		r.Finish(t)
	})
}

// What comes after the end of the pool is counted until it is revoked.
func TestWhatComesAfterCloseIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := heedless(5*time.Second, providers.NewSecret(canary), "lease-1")
		var up atomic.Bool
		p.onRevoke = func(context.Context, providers.Held) error {
			if !up.Load() {
				return fault.New("revoke", fault.Unavailable, "down")
			}
			return nil
		}
		var late atomic.Int64
		r := one(t, p, func(o *providers.PoolOptions) { o.Late = &late })
		closing(t, r)
		if late.Load() != 0 {
			t.Errorf("before it came: got %d", late.Load())
		}
		pass(10 * time.Second)
		if late.Load() != 1 || r.Owed() != 0 {
			t.Errorf("while its system is down: got %d late and %d others, want one late", late.Load(), r.Owed())
		}
		up.Store(true)
		pass(time.Minute)
		if late.Load() != 0 || !p.hasRevoked("lease-1") {
			t.Errorf("once it is revoked: got %d", late.Load())
		}
		r.Finish(t)
	})
}

// What comes while Close waits for revocations that hang is in what Close says.
func TestCloseCountsWhatCameLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := heedless(10500*time.Millisecond, providers.NewSecret(canary), "lease-2")
		mint := p.mint
		p.mint = func(ctx context.Context, n int, req providers.Request) (providers.Credential, error) {
			if n == 1 {
				return token(n, time.Hour), nil
			}
			return mint(ctx, n, req)
		}
		p.onRevoke = func(context.Context, providers.Held) error {
			<-time.After(20 * time.Second) // whatever its context says, so that Close takes 11 s
			return fault.New("revoke", fault.Unavailable, "down")
		}
		r := one(t, p)
		held, _ := lease(t, r)
		r.Drop(t.Context(), held.ID())
		go func() {
			_, _, _ = r.Lease(context.WithoutCancel(t.Context()), "db", providers.Request{})
		}()
		synctest.Wait()
		if err := r.Close(t.Context()); err == nil || !strings.Contains(err.Error(), "got 2 leases not revoked") {
			t.Errorf("close: got %v, want both counted", err)
		}
		pass(2 * time.Hour)
		r.Finish(t)
	})
}

// A mint that keeps to its context, and had succeeded by then, is waited for.
func TestCloseWaitsForWhatWasMintedAlready(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &scripted{mint: func(ctx context.Context, n int, _ providers.Request) (providers.Credential, error) {
			<-ctx.Done()
			<-time.After(time.Millisecond)
			return token(n, time.Hour), nil
		}}
		r := one(t, p)
		closing(t, r)
		if !p.hasRevoked("lease-1") {
			t.Error("after close: what was minted already is not revoked")
		}
		r.Finish(t)
	})
}

// notes is where a start finds what was owed when the log was closed.
type notes struct {
	kept   []audit.Record
	erased atomic.Int64
}

func (n *notes) owe(r audit.Record) (func(), error) {
	n.kept = append(n.kept, r)
	return func() { n.erased.Add(1) }, nil
}

func TestACredentialThatComesAfterTheLogWasClosed(t *testing.T) {
	for name, down := range map[string]bool{"is revoked": false, "is left to the next start": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				secret := providers.NewSecret(canary)
				p := heedless(5*time.Second, secret, "lease-1")
				if down {
					p.onRevoke = func(context.Context, providers.Held) error { return fault.New("revoke", fault.Unavailable, "down") }
				}
				var n notes
				r := one(t, p, func(o *providers.PoolOptions) { o.Owe = n.owe })
				closing(t, r)
				r.Finish(t)
				pass(2 * time.Hour)
				if providers.OpenSecret(secret) != "" || p.hasRevoked("lease-1") == down {
					t.Errorf("got it revoked %t, want %t, and wiped", p.hasRevoked("lease-1"), !down)
				}
				if len(n.kept) != 1 || (n.erased.Load() == 1) == down {
					t.Fatalf("got %+v written down, erased %d times", n.kept, n.erased.Load())
				}
				if got := n.kept[0]; got.Event != "orphan" || got.Lease != "lease-1" || got.Provider != "db" || got.Credential == "" || got.SystemEnd.IsZero() {
					t.Errorf("written down: got %+v", got)
				}
			})
		})
	}
}

// What came in time and can't be put on record is written down too, while its system
// can't be asked to end it.
func TestACredentialThatCannotBeRecordedIsWrittenDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := lasting(time.Hour)
		var up atomic.Bool
		p.onRevoke = func(context.Context, providers.Held) error {
			if !up.Load() {
				return fault.New("revoke", fault.Unavailable, "down")
			}
			return nil
		}
		var n notes
		r := one(t, p, func(o *providers.PoolOptions) { o.Owe = n.owe })
		if err := r.Log.Close(); err != nil {
			t.Fatal(err)
		}
		refused(t, r, fault.Unavailable)
		synctest.Wait()
		if len(n.kept) != 1 || n.kept[0].Lease != "lease-1" || n.erased.Load() != 0 {
			t.Errorf("got %+v written down, erased %d times, want the one handle", n.kept, n.erased.Load())
		}
		pass(5 * time.Second)
		up.Store(true)
		pass(time.Minute)
		if n.erased.Load() != 1 {
			t.Errorf("after its end: erased %d times, want once", n.erased.Load())
		}
		if err := r.Close(t.Context()); err != nil {
			t.Errorf("close: %v", err)
		}
	})
}

func TestWhatWasWrittenDownIsAdopted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := heedless(5*time.Second, providers.NewSecret(canary), "lease-1")
		p.onRevoke = func(context.Context, providers.Held) error { return fault.New("revoke", fault.Unavailable, "down") }
		var n notes
		r := one(t, p, func(o *providers.PoolOptions) { o.Owe = n.owe })
		closing(t, r)
		r.Finish(t)
		pass(10 * time.Second)
		next := lasting(time.Hour)
		r2 := one(t, next)
		defer r2.Stop(t)
		r2.Adopt(t.Context(), slices.Clone(n.kept))
		synctest.Wait()
		if !next.hasRevoked("lease-1") {
			t.Error("the next start did not revoke what was written down")
		}
		pass(2 * time.Hour)
	})
}

// What has no handle can't be ended by another process: it is in the log output.
func TestALateCredentialWithoutAHandleIsNotWrittenDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n notes
		r := one(t, heedless(5*time.Second, providers.NewSecret(canary), ""), func(o *providers.PoolOptions) { o.Owe = n.owe })
		closing(t, r)
		r.Finish(t)
		pass(10 * time.Second)
		if len(n.kept) != 0 || !strings.Contains(r.Logs.String(), "is on no record") {
			t.Errorf("got %v written down, want none, and a line in the log output", n.kept)
		}
		r.Clean(t, "the log output", r.Logs.String())
	})
}
