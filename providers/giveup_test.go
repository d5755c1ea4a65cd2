package providers_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"mintmark/providers"
	"mintmark/providers/internal/providertest"
)

func TestWhatAnAgentGivesUpIsRevokedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := lasting(time.Hour)
		r := newRig(t, map[string]providers.Entry{"db": {Provider: p, PerAgent: true}})
		defer r.Stop(t)
		agent, other := providertest.Agent(t, "spiffe://a.test/a"), providertest.Agent(t, "spiffe://a.test/b")
		c, _ := r.Must(t, agent)
		anothers, _ := r.Must(t, other)
		r.GiveUp("db", agent)
		if r.Valid(c) {
			t.Error("when GiveUp returned: the credential is usable")
		}
		synctest.Wait()
		if !p.hasRevoked(c.Lease()) {
			t.Errorf("got %v revoked, want %s without a wait", p.revoked, c.Lease())
		}
		if again, cached := r.Must(t, other); !cached || again.ID() != anothers.ID() {
			t.Error("another agent: its lease is gone")
		}
		if next, cached := r.Must(t, agent); cached || next.ID() == c.ID() {
			t.Error("the next call: got the credential that was given up")
		}
	})
}

// What was to take the place of a credential that is given up meanwhile goes too,
// unless somebody waits for it.
func TestWhatIsGivenUpHasNoSuccessor(t *testing.T) {
	for name, wanted := range map[string]bool{"nobody wants one": false, "its agent calls again": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &scripted{mint: func(_ context.Context, n int, _ providers.Request) (providers.Credential, error) {
					if n > 1 {
						<-time.After(2 * time.Second)
					}
					return token(n, time.Hour), nil
				}}
				r := newRig(t, map[string]providers.Entry{"db": {Provider: p, PerAgent: true}})
				defer r.Stop(t)
				agent := providertest.Agent(t, "spiffe://a.test/a")
				r.Must(t, agent)
				pass(40*time.Minute + time.Second) // the successor is being made
				r.GiveUp("db", agent)
				if wanted {
					if c, _ := r.Must(t, agent); !r.Valid(c) {
						t.Error("got a credential that has ended")
					}
				}
				pass(3 * time.Second)
				if mints, revoked := p.count(); mints != 2 || (revoked == mints) == wanted {
					t.Errorf("got %d of %d revoked", revoked, mints)
				}
			})
		})
	}
}

// What is being minted for a call that has ended is given up too, as it lands, unless
// another call waits for it.
func TestWhatIsGivenUpWhileItIsMintedIsRevoked(t *testing.T) {
	for name, wanted := range map[string]bool{"nobody wants it": false, "its agent calls again": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begun, goOn := make(chan struct{}), make(chan struct{})
				p := &scripted{mint: func(_ context.Context, n int, _ providers.Request) (providers.Credential, error) {
					close(begun)
					<-goOn
					return token(n, time.Hour), nil
				}}
				r := newRig(t, map[string]providers.Entry{"db": {Provider: p, PerAgent: true}})
				defer r.Stop(t)
				agent := providertest.Agent(t, "spiffe://a.test/a")
				ctx, cancel := context.WithCancel(t.Context())
				go func() { _, _, _ = r.Lease(ctx, "db", agent) }()
				<-begun
				cancel()
				synctest.Wait()
				r.GiveUp("db", agent)
				if wanted {
					go func() { _, _, _ = r.Lease(t.Context(), "db", agent) }()
					synctest.Wait()
				}
				close(goOn)
				pass(time.Second)
				if mints, revoked := p.count(); mints != 1 || revoked == 1 == wanted {
					t.Errorf("got %d mints and %d revoked", mints, revoked)
				}
				if c, cached := r.Cached("db", agent); cached != wanted || cached && !r.Valid(c) {
					t.Errorf("got %v held (%t)", c, cached)
				}
			})
		})
	}
}

// A system may repeat a token until its end. What one agent gives up is not taken from
// another, nor is a token revoked that is its own successor.
func TestWhatIsGivenOutTwiceIsRevokedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		end := time.Now().Add(3 * time.Hour)
		p := &scripted{mint: func(context.Context, int, providers.Request) (providers.Credential, error) {
			return providers.Seal(providers.Token, providers.Material{Token: providers.NewSecret(canary)}, providers.Terms{NotAfter: end, Revocable: true}), nil
		}}
		r := newRig(t, map[string]providers.Entry{"db": {Provider: p, PerAgent: true}})
		defer r.Stop(t)
		agent, other := providertest.Agent(t, "spiffe://a.test/a"), providertest.Agent(t, "spiffe://a.test/b")
		r.Must(t, agent)
		r.Must(t, other)
		r.GiveUp("db", agent)
		pass(time.Minute)
		if _, revoked := p.count(); revoked != 0 {
			t.Error("got the token revoked that another agent has")
		}
		pass(2*time.Hour + time.Minute) // at two thirds of its life another lease took its place
		if mints, revoked := p.count(); mints < 3 || revoked != 0 {
			t.Errorf("got %d mints and %d revocations, want a successor of the same token, and none", mints, revoked)
		}
		r.GiveUp("db", other)
		pass(time.Second)
		if _, revoked := p.count(); revoked != 1 {
			t.Errorf("got %d revocations, want one with the last lease", revoked)
		}
	})
}

// One that a system gives out again while it is told to end it is held by nobody after that.
func TestWhatIsGivenOutAgainWhileItIsRevokedEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		end := time.Now().Add(time.Hour)
		begun, goOn := make(chan struct{}, 2), make(chan struct{})
		p := &scripted{
			mint: func(_ context.Context, n int, _ providers.Request) (providers.Credential, error) {
				name := canary + "-1" // given out twice
				if n > 2 {
					name = canary + "-2"
				}
				return providers.Seal(providers.Token, providers.Material{Token: providers.NewSecret(name)}, providers.Terms{NotAfter: end, Revocable: true}), nil
			},
			onRevoke: func(context.Context, providers.Held) error {
				begun <- struct{}{}
				<-goOn
				return nil
			},
		}
		r := newRig(t, map[string]providers.Entry{"db": {Provider: p, PerAgent: true}})
		agent, other := providertest.Agent(t, "spiffe://a.test/a"), providertest.Agent(t, "spiffe://a.test/b")
		first, _ := r.Must(t, agent)
		r.GiveUp("db", agent)
		<-begun
		again, _ := r.Must(t, other)
		if again.Fingerprint() != first.Fingerprint() {
			t.Error("got another token, want the same")
		}
		close(goOn)
		synctest.Wait()
		if r.Valid(again) {
			t.Error("got a credential that is valid here and has ended at its system")
		}
		if next, cached := r.Must(t, other); cached || next.Fingerprint() == again.Fingerprint() {
			t.Errorf("got %v (cached %t), want a fresh one", next, cached)
		}
		r.Stop(t)
		if got := r.Events(t); got != "mint mint revoke revoke mint revoke" {
			t.Errorf("got events %q", got)
		}
	})
}

// What is to take the place of a credential that rests, as its agent gave up too many, rests too.
func TestWhatRestsAsTooManyWereGivenUpHasASuccessorThatRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var slow atomic.Bool
		p := &scripted{mint: func(_ context.Context, n int, _ providers.Request) (providers.Credential, error) {
			if slow.Load() {
				<-time.After(2 * time.Second)
				return token(n, time.Hour), nil
			}
			return token(n, 12*time.Second), nil
		}}
		r := newRig(t, map[string]providers.Entry{"db": {Provider: p, PerAgent: true}})
		defer r.Stop(t)
		agent := providertest.Agent(t, "spiffe://a.test/a")
		for range 8 { // as many as may be at once
			r.Must(t, agent)
			r.GiveUp("db", agent)
		}
		r.Must(t, agent)
		slow.Store(true)
		pass(9 * time.Second) // the successor is being made
		r.GiveUp("db", agent)
		pass(time.Minute)
		mints, revoked := p.count()
		if mints != 10 || revoked != mints {
			t.Errorf("got %d of %d revoked after a minute, want all", revoked, mints)
		}
	})
}
