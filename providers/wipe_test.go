package providers_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mintmark/broker/audit"
	"mintmark/internal/fault"
	"mintmark/providers"
)

func TestAnEndedCredentialIsWiped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		secret, key := providers.NewSecret(canary), providers.NewPrivateKey(newKey(t))
		p := &scripted{mint: mintOf(providers.Seal(providers.Token, providers.Material{Token: secret, Key: key},
			providers.Terms{NotAfter: time.Now().Add(time.Hour), Lease: "lease-1"}))}
		tries := 0
		p.onRevoke = func(_ context.Context, h providers.Held) error {
			if tries++; h.Opened.Token() != canary { // each attempt may need it
				t.Errorf("attempt %d: got no secret to revoke by", tries)
			}
			if tries < 5 {
				return fault.New("revoke", fault.Unavailable, "down")
			}
			return nil
		}
		r := one(t, p)
		defer r.Stop(t)
		c, _ := lease(t, r)
		opened := r.Reveal(t, c)
		receipt := func() audit.Receipt {
			got, err := r.Log.Append(t.Context(), &audit.Record{Kind: audit.Decision, Allow: true, Credential: c.ID()})
			if err != nil {
				t.Fatal(err)
			}
			return got
		}
		r.Drop(t.Context(), c.ID())
		pass(2 * time.Second)
		if opened.Token() != canary || opened.Key() == nil {
			t.Error("at its end: got it wiped, want it left to the calls that have it and to its revocation")
		}
		pass(time.Minute)
		if tries != 5 || opened.Token() != "" || opened.Key() != nil {
			t.Errorf("after its revocation (%d tries): got the secret, want it wiped", tries)
		}
		if again, err := c.Reveal(receipt()); err == nil || again.Token() != "" || fault.KindOf(err) != fault.Unavailable {
			t.Errorf("reveal after the wipe: got %v, want an error", err)
		}
	})
}

func TestCloseWipesAtOnce(t *testing.T) {
	r := one(t, sealing(providers.Material{Token: providers.NewSecret(canary)}))
	c, _ := lease(t, r)
	opened := r.Reveal(t, c)
	r.Stop(t)
	if opened.Token() != "" {
		t.Error("after close: got the secret")
	}
}

func TestWhatCannotBeRevokedIsWipedAtItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, map[string]providers.Entry{"db": {Provider: plain{lasting(0)}}})
		defer r.Stop(t)
		c, _ := lease(t, r)
		opened := r.Reveal(t, c)
		kept := opened.Once(func(p providers.Parts) any { return p.Token() })
		pass(3 * time.Minute)
		if opened.Token() == "" {
			t.Error("before its end: got it wiped")
		}
		pass(time.Minute) // it was replaced
		if opened.Token() != "" || kept == nil {
			t.Error("after its end: got the secret")
		}
	})
}

// A reader gets the whole secret or nothing.
func TestNobodyReadsHalfASecret(t *testing.T) {
	for range 20 {
		r := one(t, sealing(providers.Material{Token: providers.NewSecret(canary)}))
		c, _ := lease(t, r)
		opened := r.Reveal(t, c)
		var readers sync.WaitGroup
		for range 4 {
			readers.Go(func() {
				for range 50 {
					if got := opened.Token(); got != "" && got != canary {
						t.Errorf("got %d bytes of another text", len(got))
					}
				}
			})
		}
		_ = r.Close(t.Context())
		readers.Wait()
		_ = r.Log.Close()
	}
}
