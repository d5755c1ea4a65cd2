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

func TestFailureIsRememberedAndRecoveryNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		down := true
		p := lasting(time.Hour)
		p.mint = func(_ context.Context, n int, _ providers.Request) (providers.Credential, error) {
			if down {
				return providers.Credential{}, fault.Wrap("lease", fault.Unavailable, "vault is sealed", errors.New("status 503"))
			}
			return token(n, time.Hour), nil
		}
		r := one(t, p)
		defer r.Stop(t)
		want := 250 * time.Millisecond
		for attempt := 1; attempt <= 8; attempt++ {
			if hint := refused(t, r, fault.Unavailable); hint != "vault is sealed" {
				t.Fatalf("hint: got %q, want the provider's", hint)
			}
			pass(want*3/4 - 1)
			refused(t, r, fault.Unavailable)
			if mints, _ := p.count(); mints != attempt {
				t.Fatalf("%v after failure %d: got %d mints, want none before three quarters of %v", want*3/4, attempt, mints, want)
			}
			pass(want/2 + 2)
			want = min(2*want, 10*time.Second)
		}
		down = false
		c, cached := lease(t, r)
		if cached {
			t.Error("after recovery: got a cached lease, want a mint")
		}
		r.Drop(t.Context(), c.ID())
		if _, cached := lease(t, r); cached {
			t.Error("after recovery and a drop: got a cached lease, want another mint at once")
		}
	})
}

func TestASystemIsLeftAloneAsLongAsItAsks(t *testing.T) {
	for asked, want := range map[time.Duration]time.Duration{time.Minute: time.Minute, 24 * time.Hour: 5 * time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			p := &scripted{}
			p.mint = func(_ context.Context, n int, _ providers.Request) (providers.Credential, error) {
				if n == 1 {
					return providers.Credential{}, fault.Wrap("lease", fault.Unavailable, "busy", fmt.Errorf("status 429, and %w", providers.RetryAfter(asked)))
				}
				return token(n, time.Hour), nil
			}
			r := one(t, p)
			defer r.Stop(t)
			refused(t, r, fault.Unavailable)
			pass(want - 1)
			if hint := refused(t, r, fault.Unavailable); hint != "busy" {
				t.Errorf("hint: got %q", hint)
			}
			if mints, _ := p.count(); mints != 1 {
				t.Errorf("asked to wait %v: got %d mints, want none before %v", asked, mints, want)
			}
			pass(2)
			lease(t, r)
		})
	}
}

func TestOneCallerProbesAFailingSystem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &scripted{}
		p.mint = func(_ context.Context, n int, _ providers.Request) (providers.Credential, error) {
			if n > 1 {
				<-time.After(time.Second)
			}
			return providers.Credential{}, fault.New("lease", fault.Unavailable, "down")
		}
		r := newRig(t, map[string]providers.Entry{"db": {Provider: p, PerAgent: true}})
		defer r.Stop(t)
		call := func(i int) {
			if _, _, err := r.Lease(t.Context(), "db", providertest.Agent(t, fmt.Sprintf("spiffe://a.test/%d", i))); err == nil {
				t.Error("lease: got one, want an error")
			}
		}
		call(0)
		pass(time.Second)
		var callers sync.WaitGroup
		for i := range 100 {
			callers.Go(func() { call(i) })
		}
		callers.Wait()
		if mints, _ := p.count(); mints != 2 {
			t.Errorf("got %d mints by 100 agents of a system that is down, want the first and one probe", mints)
		}
	})
}

func TestOneAgentsRefusalIsItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &scripted{mint: func(_ context.Context, n int, req providers.Request) (providers.Credential, error) {
			if req.Agent.Subject() == "spiffe://a.test/bad" {
				return providers.Credential{}, fault.New("lease", fault.Internal, "refused")
			}
			return token(n, time.Hour), nil
		}}
		r := newRig(t, map[string]providers.Entry{"db": {Provider: p, PerAgent: true}})
		defer r.Stop(t)
		for range 3 {
			if _, _, err := r.Lease(t.Context(), "db", providertest.Agent(t, "spiffe://a.test/bad")); fault.KindOf(err) != fault.Internal {
				t.Errorf("refused agent: got %v, want the refusal", err)
			}
		}
		if _, _, err := r.Lease(t.Context(), "db", providertest.Agent(t, "spiffe://a.test/good")); err != nil {
			t.Errorf("another agent: got %v, want a credential", err)
		}
		if mints, _ := p.count(); mints != 2 {
			t.Errorf("got %d mints, want one for each agent", mints)
		}
	})
}

func TestARefusalShowsThatTheSystemIsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &scripted{mint: func(_ context.Context, n int, _ providers.Request) (providers.Credential, error) {
			switch n {
			case 1:
				return providers.Credential{}, fault.New("lease", fault.Unavailable, "down")
			case 2:
				return providers.Credential{}, fault.New("lease", fault.Internal, "refused")
			}
			return token(n, time.Hour), nil
		}}
		r := newRig(t, map[string]providers.Entry{"db": {Provider: p, PerAgent: true}})
		defer r.Stop(t)
		a, b := providertest.Agent(t, "spiffe://a.test/a"), providertest.Agent(t, "spiffe://a.test/b")
		r.Refused(t, a, fault.Unavailable)
		r.Refused(t, b, fault.Unavailable)
		pass(time.Second)
		r.Refused(t, a, fault.Internal)
		r.Must(t, b)
		r.Refused(t, a, fault.Internal)
	})
}

func TestBrokenProviderIsAFailedMint(t *testing.T) {
	cases := map[string]struct {
		mint func(context.Context, int, providers.Request) (providers.Credential, error)
		kind fault.Kind
	}{
		"panic": {func(context.Context, int, providers.Request) (providers.Credential, error) {
			panic("boom " + canary)
		}, fault.Internal},
		"unclassified error": {func(context.Context, int, providers.Request) (providers.Credential, error) {
			return providers.Credential{}, errors.New("body: " + canary)
		}, fault.Internal},
		"nothing": {func(context.Context, int, providers.Request) (providers.Credential, error) {
			return providers.Credential{}, nil
		}, fault.Internal},
		"empty token": {func(context.Context, int, providers.Request) (providers.Credential, error) {
			return providers.Seal(providers.Token, providers.Material{Token: providers.NewSecret("")}, providers.Terms{}), nil
		}, fault.Internal},
		"password without a user": {func(context.Context, int, providers.Request) (providers.Credential, error) {
			return providers.Seal(providers.Password, providers.Material{Password: providers.NewSecret(canary)}, providers.Terms{}), nil
		}, fault.Internal},
		"key without its secret": {func(context.Context, int, providers.Request) (providers.Credential, error) {
			return providers.Seal(providers.AWS, providers.Material{AccessKeyID: "AKIA", SessionToken: providers.NewSecret(canary)}, providers.Terms{}), nil
		}, fault.Internal},
		"unknown kind": {func(context.Context, int, providers.Request) (providers.Credential, error) {
			return providers.Seal("other", providers.Material{Token: providers.NewSecret(canary)}, providers.Terms{}), nil
		}, fault.Internal},
		"already ended": {func(_ context.Context, n int, _ providers.Request) (providers.Credential, error) {
			return token(n, -time.Nanosecond), nil
		}, fault.Unavailable},
		"secret among the scopes": {func(context.Context, int, providers.Request) (providers.Credential, error) {
			return providers.Seal(providers.Token, providers.Material{Token: providers.NewSecret(canary)}, providers.Terms{Scopes: []string{"x" + canary}}), nil
		}, fault.Internal},
		"secret as the lease": {func(context.Context, int, providers.Request) (providers.Credential, error) {
			return providers.Seal(providers.Token, providers.Material{Token: providers.NewSecret(canary)}, providers.Terms{Lease: "x" + canary}), nil
		}, fault.Internal},
		"hangs": {func(context.Context, int, providers.Request) (providers.Credential, error) {
			<-time.After(time.Minute) // whatever its context says
			return providers.Credential{}, errors.New("late")
		}, fault.Unavailable},
	}
	for name, tt := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := one(t, &scripted{mint: tt.mint})
				start := time.Now()
				refused(t, r, tt.kind)
				if took := time.Since(start); took > 10*time.Second {
					t.Errorf("got an answer after %v, want one within 10s", took)
				}
				r.Stop(t)
				if got := r.Events(t); !strings.HasPrefix(got, "mint_failed") {
					t.Errorf("events: got %q, want mint_failed", got)
				}
				pass(time.Minute)
			})
		})
	}
}

func TestUnusableCredentialIsRevoked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &scripted{mint: mintOf(providers.Seal(providers.Password, providers.Material{Username: "u"}, providers.Terms{Lease: "lease-1"}))}
		r := one(t, p)
		refused(t, r, fault.Internal)
		synctest.Wait()
		if !p.hasRevoked("lease-1") {
			t.Error("a credential that may not be used was not revoked")
		}
		r.Stop(t)
		if got := r.Events(t); got != "mint_failed revoke" {
			t.Errorf("events: got %q, want mint_failed revoke", got)
		}
	})
}

// A mint that failed and can't be put on record gives nothing out, and what it made
// nevertheless is left to the next start to end.
func TestAFailedMintThatCannotBeRecorded(t *testing.T) {
	for name, tt := range map[string]struct {
		mint func(context.Context, int, providers.Request) (providers.Credential, error)
		kept int
	}{
		"makes nothing": {func(context.Context, int, providers.Request) (providers.Credential, error) {
			return providers.Credential{}, fault.New("mint", fault.Unavailable, "down")
		}, 0},
		"makes what may not be used": {mintOf(providers.Seal(providers.Password, providers.Material{Username: "u"}, providers.Terms{Lease: "lease-1"})), 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &scripted{mint: tt.mint}
				p.onRevoke = func(context.Context, providers.Held) error { return fault.New("revoke", fault.Unavailable, "down") }
				var n notes
				r := one(t, p, func(o *providers.PoolOptions) { o.Owe = n.owe })
				if err := r.Log.Close(); err != nil {
					t.Fatal(err)
				}
				if c, _, err := r.Lease(t.Context(), "db", providers.Request{}); err == nil || !c.IsZero() {
					t.Errorf("got %v, %v, want no credential", c, err)
				}
				if !strings.Contains(r.Logs.String(), "failure not recorded") {
					t.Errorf("log output: got %q, nothing of it", r.Logs.String())
				}
				synctest.Wait()
				if len(n.kept) != tt.kept || tt.kept == 1 && n.kept[0].Lease != "lease-1" {
					t.Errorf("got %+v written down, want %d", n.kept, tt.kept)
				}
				_ = r.Close(t.Context()) // it says what it could not revoke
			})
		})
	}
}

func TestLateCredentialIsRevoked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &scripted{mint: func(_ context.Context, n int, _ providers.Request) (providers.Credential, error) {
			<-time.After(11 * time.Second) // whatever its context says
			return token(n, time.Hour), nil
		}}
		r := one(t, p)
		defer r.Stop(t)
		refused(t, r, fault.Unavailable)
		pass(2 * time.Second)
		synctest.Wait()
		if !p.hasRevoked("lease-1") {
			t.Error("a credential that came after the timeout was not revoked")
		}
	})
}

func TestNoRecordNoCredential(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := lasting(time.Hour)
		r := one(t, p)
		if err := r.Log.Close(); err != nil {
			t.Fatal(err)
		}
		refused(t, r, fault.Unavailable)
		synctest.Wait()
		if !p.hasRevoked("lease-1") {
			t.Error("the credential that could not be recorded was not revoked")
		}
		if err := r.Close(t.Context()); err != nil {
			t.Errorf("close: %v", err)
		}
		if got := r.Events(t); got != "" {
			t.Errorf("events: got %q, want none", got)
		}
	})
}
