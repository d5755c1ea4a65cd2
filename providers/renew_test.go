package providers_test

import (
	"context"
	"errors"
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

func TestDropForgetsFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := lasting(time.Hour)
		p.mint = func(_ context.Context, n int, _ providers.Request) (providers.Credential, error) {
			if n == 1 {
				return providers.Credential{}, fault.New("lease", fault.Unavailable, "down")
			}
			return token(n, time.Hour), nil
		}
		r := one(t, p)
		defer r.Stop(t)
		refused(t, r, fault.Unavailable)
		refused(t, r, fault.Unavailable)
		r.Drop(t.Context(), "db")
		lease(t, r)
	})
}

func TestWithoutALeaseThereIsNothingToRevoke(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := sealing(providers.Material{Token: providers.NewSecret(canary)})
		r := one(t, p)
		lease(t, r)
		r.Stop(t)
		if _, revoked := p.count(); revoked != 0 || r.Events(t) != "mint" {
			t.Errorf("got %d revocations and events %q, want none and mint", revoked, r.Events(t))
		}
	})
}

func TestReplacedAheadOfItsEndWhileInUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := lasting(90 * time.Second)
		r := one(t, p)
		defer r.Stop(t)
		first, _ := lease(t, r)
		pass(time.Minute - 1)
		if c, _ := lease(t, r); c.ID() != first.ID() {
			t.Error("before two thirds of its life: got another credential, want the first")
		}
		pass(2)
		synctest.Wait()
		second, cached := lease(t, r)
		if !cached || second.ID() == first.ID() {
			t.Errorf("after two thirds of its life: got %v (cached %t), want a successor, already there", second, cached)
		}
		if _, revoked := p.count(); revoked != 0 || !r.Valid(first) {
			t.Error("right after the swap: the old lease is ended, want it good for the calls that have it")
		}
		pass(5 * time.Second)
		synctest.Wait()
		if !p.hasRevoked("lease-1") || r.Valid(first) || !r.Valid(second) {
			t.Error("after the grace: want the old lease revoked and the new one in force")
		}
	})
}

// Certificates without an end of their own say the year 9999 (RFC 5280, section 4.1.2.5),
// which is further off than twice what a time.Duration can say.
func TestWhatEndsInThousandsOfYearsIsMintedOnce(t *testing.T) {
	for name, end := range map[string]time.Time{"9999": time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), "2200": time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := lasting(0)
				p.mint = func(_ context.Context, n int, _ providers.Request) (providers.Credential, error) {
					terms := providers.Terms{NotAfter: end, Lease: fmt.Sprintf("lease-%d", n)}
					return providers.Seal(providers.Token, providers.Material{Token: providers.NewSecret(fmt.Sprintf("%s-%d", canary, n))}, terms), nil
				}
				r := one(t, p)
				defer r.Stop(t)
				for range 10 {
					lease(t, r)
					r.Rest("db", providers.Request{})
					pass(time.Second)
				}
				if minted, _ := p.count(); minted != 1 {
					t.Errorf("got %d mints, want one", minted)
				}
			})
		})
	}
}

func TestUnusedLeaseIsRevoked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := lasting(90 * time.Second)
		r := one(t, p)
		defer r.Stop(t)
		lease(t, r) // used in its first life, so it gets a second
		pass(2*time.Minute + 6*time.Second)
		if mints, revoked := p.count(); mints != 2 || revoked != 2 {
			t.Errorf("got %d mints and %d revocations, want 2 and 2: the second life is unused for two thirds and given up", mints, revoked)
		}
		if cached, owed := r.Kept(); cached != 0 || owed != 0 {
			t.Errorf("after its end: got %d cached and %d owed, want nothing kept", cached, owed)
		}
	})
}

func TestFailedReplacementIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := lasting(time.Hour)
		p.mint = func(_ context.Context, n int, _ providers.Request) (providers.Credential, error) {
			if n == 2 || n == 3 {
				return providers.Credential{}, fault.New("lease", fault.Unavailable, "down")
			}
			return token(n, time.Hour), nil
		}
		r := one(t, p)
		defer r.Stop(t)
		first, _ := lease(t, r)
		pass(40*time.Minute + 100*time.Millisecond)
		if c, cached := lease(t, r); !cached || c.ID() != first.ID() {
			t.Error("while the system is down: want the old lease still served")
		}
		pass(time.Minute)
		if c, cached := lease(t, r); !cached || c.ID() == first.ID() {
			t.Error("after recovery: want the successor, minted in the background")
		}
		if !strings.Contains(r.Logs.String(), "lease not renewed") {
			t.Error("a failed renewal that nobody waited for is not in the log output")
		}
	})
}

func TestDropEndsAtOnce(t *testing.T) {
	for _, by := range []string{"provider", "credential"} {
		t.Run(by, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := lasting(time.Hour)
				r := one(t, p)
				defer r.Stop(t)
				c, _ := lease(t, r)
				target := map[string]string{"provider": "db", "credential": c.ID()}[by]
				if n := r.Drop(t.Context(), target); n != 1 {
					t.Errorf("drop: got %d leases, want 1", n)
				}
				synctest.Wait()
				if cached, owed := r.Kept(); r.Valid(c) || cached != 0 || owed != 0 {
					t.Errorf("after the drop: got valid %t, %d cached and %d owed, want it ended and gone", r.Valid(c), cached, owed)
				}
				if again, cached := lease(t, r); cached || again.ID() == c.ID() {
					t.Error("next lease: got the dropped one, want a mint")
				}
				synctest.Wait()
				if !p.hasRevoked("lease-1") {
					t.Error("the dropped lease was not revoked at its system")
				}
				if n := r.Drop(t.Context(), "unknown"); n != 0 {
					t.Errorf("drop unknown: got %d, want 0", n)
				}
			})
		})
	}
}

func TestDropReachesAMintUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &scripted{mint: func(_ context.Context, n int, _ providers.Request) (providers.Credential, error) {
			<-time.After(time.Second)
			return token(n, time.Hour), nil
		}}
		r := one(t, p)
		defer r.Stop(t)
		go func() {
			pass(time.Millisecond)
			r.Drop(t.Context(), "db")
		}()
		refused(t, r, fault.Unavailable)
		synctest.Wait()
		if !p.hasRevoked("lease-1") {
			t.Error("the credential minted across a drop was not revoked")
		}
	})
}

func TestCloseRevokesAndRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, static := lasting(time.Hour), lasting(0)
		r := newRig(t, map[string]providers.Entry{"db": {Provider: p}, "static": {Provider: plain{static}}})
		c, _ := lease(t, r)
		if _, _, err := r.Lease(t.Context(), "static", providers.Request{}); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := r.Close(t.Context()); err != nil {
				t.Errorf("close: %v", err)
			}
		}
		if !p.hasRevoked("lease-1") || r.Valid(c) {
			t.Error("after close: want the lease ended and revoked")
		}
		refused(t, r, fault.Unavailable)
		r.Finish(t)
		if got := r.Events(t); got != "mint mint revoke" {
			t.Errorf("events: got %q, want mint mint revoke", got)
		}
	})
}

func TestCloseIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := lasting(time.Hour)
		p.onRevoke = func(ctx context.Context, _ providers.Held) error {
			<-ctx.Done()
			return errors.New(canary)
		}
		r := one(t, p)
		lease(t, r)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		start := time.Now()
		err := r.Close(ctx)
		if took := time.Since(start); took != 2*time.Second {
			t.Errorf("close: took %v, want the 2s of its context", took)
		}
		if err == nil || !strings.Contains(err.Error(), "got 1 leases not revoked") {
			t.Errorf("close: got %v, want an error that counts the lease", err)
		}
		if again := r.Close(t.Context()); again != err { //nolint:errorlint // the very same error
			t.Errorf("second close: got %v, want what the first returned", again)
		}
		r.Finish(t)
		if got := r.Events(t); got != "mint revoke_failed" {
			t.Errorf("events: got %q, want mint revoke_failed", got)
		}
	})
}

func TestCloseWaitsForNoProviderThatIgnoresIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stuck := make(chan struct{})
		p := lasting(time.Hour)
		p.onRevoke = func(context.Context, providers.Held) error {
			<-stuck
			return nil
		}
		r := one(t, p)
		lease(t, r)
		start := time.Now()
		if err := r.Close(t.Context()); err == nil || time.Since(start) > 11*time.Second {
			t.Errorf("close: got %v after %v, want an error within 11s", err, time.Since(start))
		}
		close(stuck)
		synctest.Wait()
		r.Finish(t)
	})
}

func TestRevocationIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := lasting(time.Hour)
		tries := 0
		p.onRevoke = func(context.Context, providers.Held) error {
			if tries++; tries < 3 {
				panic(canary)
			}
			return nil
		}
		r := one(t, p)
		defer r.Stop(t)
		c, _ := lease(t, r)
		r.Drop(t.Context(), c.ID())
		pass(10 * time.Second)
		synctest.Wait()
		if !p.hasRevoked("lease-1") || tries != 3 {
			t.Errorf("got %d tries, want the third to revoke", tries)
		}
	})
}

func TestGivenUpLeasesAreRevoked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const agents, room = 64, 8
		p := lasting(time.Hour)
		r := newRig(t, map[string]providers.Entry{"db": {Provider: p, PerAgent: true}}, func(o *providers.PoolOptions) { o.MaxLeases = room })
		for i := range agents {
			c, _, err := r.Lease(t.Context(), "db", providertest.Agent(t, fmt.Sprintf("spiffe://a.test/%d", i)))
			if err != nil || !r.Valid(c) {
				t.Fatalf("agent %d: got %v, %v, want a valid credential though the cache is full", i, c, err)
			}
		}
		pass(6 * time.Second)
		synctest.Wait()
		if mints, revoked := p.count(); mints != agents || revoked < agents-room || revoked == agents {
			t.Errorf("got %d mints and %d revocations, want %d and all but at most %d", mints, revoked, agents, room)
		}
		r.Stop(t)
		if _, revoked := p.count(); revoked != agents {
			t.Errorf("after close: got %d revocations, want %d", revoked, agents)
		}
	})
}

// Everything at once, for the race detector; what must hold is that a lease is
// never an ended credential for longer than it takes to notice.
func TestPoolUnderStress(t *testing.T) {
	p := lasting(20 * time.Millisecond)
	r := newRig(t, map[string]providers.Entry{"db": {Provider: p, PerAgent: true}}, func(o *providers.PoolOptions) { o.MaxLeases = 4 })
	var work sync.WaitGroup
	for i := range 8 {
		work.Go(func() {
			req := providertest.Agent(t, fmt.Sprintf("spiffe://a.test/%d", i%6))
			for range 300 {
				c, _, err := r.Lease(t.Context(), "db", req)
				if err != nil && fault.KindOf(err) != fault.Unavailable {
					t.Errorf("lease: %v", err)
				}
				if i == 7 {
					r.Drop(t.Context(), c.ID())
				}
				r.Valid(c)
			}
		})
	}
	work.Wait()
	r.Stop(t)
	minted := map[string]bool{}
	for _, record := range r.Records(t) {
		switch record.Event {
		case "mint", "mint_late": // Stop comes while some are renewed ahead
			minted[record.Credential] = true
		case "revoke":
			if !minted[record.Credential] {
				t.Errorf("credential %s revoked before its mint was recorded", record.Credential)
			}
		}
	}
	if len(minted) < 6 {
		t.Errorf("got %d mints, want one for each agent at least", len(minted))
	}
}
