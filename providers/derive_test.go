package providers_test

import (
	"testing"
	"time"

	"mintmark/broker/audit"
	"mintmark/providers"
	"mintmark/providers/internal/providertest"
)

// What a call needs of a credential is made before it asks, and holds up neither the
// record of the mint nor the lease.
func TestWhatACallNeedsIsDerivedAhead(t *testing.T) {
	begun, goOn := make(chan string, 1), make(chan struct{})
	r := one(t, lasting(time.Hour), func(o *providers.PoolOptions) {
		o.Derive = func(p providers.Parts) any {
			begun <- p.Token()
			<-goOn
			return "ahead"
		}
	})
	defer r.Stop(t)
	c, _ := lease(t, r)
	opened := r.Reveal(t, c)
	if got := soon(t, begun); got != opened.Token() {
		t.Error("derive: got other parts than the credential's")
	}
	if mints := minted(t, r); mints != 1 {
		t.Errorf("while it is derived: got %d mints on record, want 1", mints)
	}
	close(goOn)
	if got := opened.Once(func(providers.Parts) any { return "anew" }); got != "ahead" {
		t.Errorf("got %v, want what was derived ahead", got)
	}
}

// A derivation that panics is left to the call.
func TestAPanicAheadIsLeftToTheCall(t *testing.T) {
	begun := make(chan struct{})
	r := one(t, lasting(time.Hour), func(o *providers.PoolOptions) {
		o.Derive = func(providers.Parts) any {
			defer close(begun)
			panic("derive")
		}
	})
	defer r.Stop(t)
	c, _ := lease(t, r)
	opened := r.Reveal(t, c)
	soon(t, begun)
	if got := opened.Once(func(providers.Parts) any { return "anew" }); got != "anew" {
		t.Errorf("got %v, want what the call derives", got)
	}
}

// Cached mints nothing.
func TestCachedIsWhatALeaseLeft(t *testing.T) {
	p := lasting(time.Hour)
	r := one(t, p)
	defer r.Stop(t)
	for _, name := range []string{"db", "unknown"} {
		if c, ok := r.Cached(name, providers.Request{}); ok || !c.IsZero() {
			t.Errorf("%s, before any lease: got %v", name, c)
		}
	}
	leased, _ := lease(t, r)
	if c, ok := r.Cached("db", providers.Request{}); !ok || c != leased {
		t.Errorf("after a lease: got %v, want %v", c, leased)
	}
	if mints, _ := p.count(); mints != 1 {
		t.Errorf("got %d mints, want 1", mints)
	}
	r.Drop(t.Context(), "db")
	if c, ok := r.Cached("db", providers.Request{}); ok || !c.IsZero() {
		t.Errorf("after it was dropped: got %v", c)
	}
}

// soon returns what comes.
func soon[T any](t *testing.T, from <-chan T) (got T) {
	t.Helper()
	select {
	case got = <-from:
	case <-time.After(10 * time.Second):
		t.Fatal("waited for what is derived ahead: got none within 10 s")
	}
	return got
}

// minted returns how many mints are on record.
func minted(t *testing.T, r *providertest.Rig) (n int) {
	t.Helper()
	for _, rec := range r.Records(t) {
		if rec.Kind == audit.Issuance && rec.Event == "mint" {
			n++
		}
	}
	return n
}
