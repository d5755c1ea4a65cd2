package providers_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mintmark/internal/fault"
	"mintmark/providers"
	"mintmark/providers/internal/providertest"
)

func TestOneMintHoweverManyWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const callers = 1000
		p := &scripted{mint: func(ctx context.Context, n int, _ providers.Request) (providers.Credential, error) {
			<-time.After(time.Second)
			return token(n, time.Hour), nil
		}}
		r := one(t, p)
		defer r.Stop(t)
		ids := make(chan string, callers)
		for range callers {
			go func() {
				c, _, err := r.Lease(t.Context(), "db", providers.Request{})
				if err != nil {
					t.Errorf("lease: %v", err)
				}
				ids <- c.ID()
			}()
		}
		first := <-ids
		for range callers - 1 {
			if id := <-ids; id != first {
				t.Fatalf("lease: got credentials %s and %s, want one for all", first, id)
			}
		}
		if c, cached := lease(t, r); !cached || c.ID() != first {
			t.Errorf("next lease: got %s (cached %t), want %s from the cache", c.ID(), cached, first)
		}
		if mints, _ := p.count(); mints != 1 {
			t.Errorf("got %d mints for %d callers, want 1", mints, callers)
		}
	})
}

// A caller that finds the cache empty just before the flight lands, and no
// flight just after, finds what it brought.
func TestLateCallerStartsNoSecondMint(t *testing.T) {
	p := lasting(time.Hour)
	r := one(t, p)
	defer r.Stop(t)
	c, _ := lease(t, r)
	late, err := r.LeaseLate(t.Context(), "db")
	if mints, _ := p.count(); err != nil || late.ID() != c.ID() || mints != 1 {
		t.Errorf("late caller: got %v, %v and %d mints, want %v and one", late, err, mints, c)
	}
}

// The flight stays registered until the cache serves what it brought.
func TestOneMintWhenCallersFollowAtOnce(t *testing.T) {
	const keys, callers = 100, 4
	p := lasting(time.Hour)
	entries := map[string]providers.Entry{}
	for i := range keys {
		entries[fmt.Sprint("p", i)] = providers.Entry{Provider: p}
	}
	r := newRig(t, entries)
	defer r.Stop(t)
	for i := range keys {
		var calls sync.WaitGroup
		for range callers {
			calls.Go(func() {
				for _, held := range []bool{false, true} {
					_, cached, err := r.Lease(t.Context(), fmt.Sprint("p", i), providers.Request{})
					if err != nil || held && !cached {
						t.Errorf("lease: got held %t, %v, want held after the first", cached, err)
					}
				}
			})
		}
		calls.Wait()
	}
	if mints, _ := p.count(); mints != keys {
		t.Errorf("got %d mints for %d keys, want one each", mints, keys)
	}
}

// A slot of the cache is a hash: two keys in one slot cost mints, and never
// give one the other's credential.
func TestKeysInOneSlotStayApart(t *testing.T) {
	r := newRig(t, map[string]providers.Entry{"a": {Provider: lasting(time.Hour)}, "b": {Provider: lasting(time.Hour)}})
	defer r.Stop(t)
	r.Collide("a", "b")
	for range 3 {
		for _, provider := range []string{"a", "b"} {
			c, _, err := r.Lease(t.Context(), provider, providers.Request{})
			if err != nil || c.Provider() != provider {
				t.Fatalf("lease of %s: got %v, %v", provider, c, err)
			}
		}
	}
}

func TestCallersCancellationEndsNoMint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &scripted{mint: func(ctx context.Context, n int, _ providers.Request) (providers.Credential, error) {
			select {
			case <-time.After(time.Second):
				return token(n, time.Hour), nil
			case <-ctx.Done():
				return providers.Credential{}, fault.New("lease", fault.Unavailable, "cancelled")
			}
		}}
		r := one(t, p)
		defer r.Stop(t)
		ctx, cancel := context.WithCancel(t.Context())
		gone := make(chan error, 1)
		go func() {
			_, _, err := r.Lease(ctx, "db", providers.Request{})
			gone <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-gone; !errors.Is(err, context.Canceled) || fault.KindOf(err) != fault.Unavailable {
			t.Errorf("cancelled caller: got %v, want unavailable by cancellation", err)
		}
		lease(t, r)
		if mints, _ := p.count(); mints != 1 {
			t.Errorf("got %d mints, want the cancelled caller's to serve the next", mints)
		}
	})
}

func TestNeverLeasedPastItsEnd(t *testing.T) {
	tests := []struct {
		name          string
		life, maxAge  time.Duration
		lastGood, end time.Duration // since the mint
	}{
		{"margin is five seconds of a long life", time.Hour, 0, time.Hour - 5*time.Second - 1, time.Hour},
		{"margin is a tenth of a short life", 10 * time.Second, 0, 9*time.Second - 1, 10 * time.Second},
		{"max age caps", time.Hour, time.Minute, 55*time.Second - 1, time.Minute},
		{"max age longer than the life does not stretch it", 10 * time.Second, time.Hour, 9*time.Second - 1, 10 * time.Second},
		{"a static secret lasts five minutes", 0, 0, 295*time.Second - 1, 5 * time.Minute},
		{"a static secret lasts its max age", 0, time.Hour, time.Hour - 5*time.Second - 1, time.Hour},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := lasting(tt.life)
				broken := fault.New("lease", fault.Unavailable, "down")
				p.mint = func(_ context.Context, n int, _ providers.Request) (providers.Credential, error) {
					if n > 1 {
						return providers.Credential{}, broken
					}
					return token(n, tt.life), nil
				}
				r := newRig(t, map[string]providers.Entry{"db": {Provider: plain{p}, MaxAge: tt.maxAge}})
				defer r.Stop(t)
				start := time.Now()
				c, _ := lease(t, r)
				if got := c.NotAfter().Sub(start); got != tt.end {
					t.Errorf("end: got %v after the mint, want %v", got, tt.end)
				}
				pass(tt.lastGood)
				if again, cached := lease(t, r); !cached || again.ID() != c.ID() {
					t.Errorf("at %v: got another credential, want the held one", tt.lastGood)
				}
				pass(1)
				refused(t, r, fault.Unavailable)
				if !r.Valid(c) {
					t.Errorf("in the margin: got invalid, want what was leased before still usable")
				}
				pass(tt.end - tt.lastGood - 1)
				if r.Valid(c) {
					t.Errorf("at its end: got valid, want it ended")
				}
			})
		})
	}
}

// A machine that slept has timers that are late and a clock that is not.
func TestTheClockEndsALeaseWithoutItsTimers(t *testing.T) {
	now := time.Now()
	var mu sync.Mutex
	p := lasting(time.Hour)
	r := one(t, p, func(o *providers.PoolOptions) {
		o.Clock = func() time.Time {
			mu.Lock()
			defer mu.Unlock()
			return now
		}
	})
	defer r.Stop(t)
	c, _ := lease(t, r)
	mu.Lock()
	now = now.Add(time.Hour + time.Second)
	mu.Unlock()
	if r.Valid(c) {
		t.Error("past its end by the clock: got valid, want it ended")
	}
	if again, _, err := r.Lease(t.Context(), "db", providers.Request{}); err == nil && again.ID() == c.ID() {
		t.Error("past its end by the clock: got it leased again")
	}
}

func TestMintIsOnRecordBeforeItIsGiven(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, map[string]providers.Entry{"db": {Provider: lasting(time.Hour), PerAgent: true}})
		defer r.Stop(t)
		c, _, err := r.Lease(t.Context(), "db", providertest.Agent(t, "spiffe://a.test/bot"))
		if err != nil {
			t.Fatal(err)
		}
		records := r.Records(t)
		if len(records) != 1 {
			t.Fatalf("got %d records when the lease returned, want 1", len(records))
		}
		got := records[0]
		if got.Event != "mint" || got.Credential != c.ID() || got.Fingerprint != c.Fingerprint() || got.Fingerprint == "" || got.Provider != "db" ||
			got.Agent != "spiffe://a.test/bot" || got.Lease != "lease-1" || !got.NotAfter.Equal(c.NotAfter()) || got.Bundle != "b0b0" || len(got.Scopes) != 1 {
			t.Errorf("record: got %+v", got)
		}
	})
}

func TestPerAgent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := map[string]string{}
		mint := func(_ context.Context, n int, req providers.Request) (providers.Credential, error) {
			c := token(n, time.Hour)
			seen[c.Lease()] = req.Agent.Subject()
			return c, nil
		}
		r := newRig(t, map[string]providers.Entry{
			"shared": {Provider: &scripted{mint: mint}},
			"own":    {Provider: &scripted{mint: mint}, PerAgent: true},
			"bound":  {Provider: bound{&scripted{mint: mint}}},
		})
		defer r.Stop(t)
		leaseFor := func(provider, id string) providers.Credential {
			c, _, err := r.Lease(t.Context(), provider, providertest.Agent(t, id))
			if err != nil {
				t.Fatalf("lease %s for %s: %v", provider, id, err)
			}
			return c
		}
		const a, b = "spiffe://a.test/a", "spiffe://a.test/b"
		if leaseFor("shared", a).ID() != leaseFor("shared", b).ID() || seen["lease-1"] != "" {
			t.Error("shared: want one credential, minted without seeing the agent")
		}
		for _, provider := range []string{"own", "bound"} {
			if first := leaseFor(provider, a).ID(); first == leaseFor(provider, b).ID() || first != leaseFor(provider, a).ID() {
				t.Errorf("%s: want one credential for each agent", provider)
			}
			if seen["lease-2"] != b {
				t.Errorf("%s: provider saw agent %q, want %q", provider, seen["lease-2"], b)
			}
			if c, _, err := r.Lease(t.Context(), provider, providers.Request{}); fault.KindOf(err) != fault.Unauthenticated || !c.IsZero() {
				t.Errorf("%s without an agent: got %v, %v, want unauthenticated", provider, c, err)
			}
		}
	})
}

// What a lease is kept by: two callers that differ in any of it share none.
func TestALeaseIsOfOneRegistrationIssuerAndSubject(t *testing.T) {
	const a, b = "spiffe://a.test/a", "spiffe://a.test/b"
	own := func(digest string) providers.Entry {
		return providers.Entry{Provider: lasting(time.Hour), PerAgent: true, Digest: digest}
	}
	r := newRig(t, map[string]providers.Entry{"db": own("1"), "other": own("1")})
	defer r.Stop(t)
	next := newRig(t, map[string]providers.Entry{"db": own("2")})
	defer next.Stop(t)
	held := map[string]string{}
	for name, from := range map[string]struct {
		pool     *providertest.Rig
		provider string
		req      providers.Request
	}{
		"the agent":         {r, "db", providertest.AgentOf(t, "", a)},
		"another subject":   {r, "db", providertest.AgentOf(t, "", b)},
		"another issuer":    {r, "db", providertest.AgentOf(t, "https://login.a.test", a)},
		"another provider":  {r, "other", providertest.AgentOf(t, "", a)},
		"another agreement": {next, "db", providertest.AgentOf(t, "", a)},
	} {
		for _, again := range []bool{false, true} {
			c, cached, err := from.pool.Lease(t.Context(), from.provider, from.req)
			if err != nil || cached != again {
				t.Errorf("%s: got cached %t, %v, want %t", name, cached, err, again)
			}
			if first, ok := held[c.ID()]; ok && first != name {
				t.Errorf("%s: got the lease of %s", name, first)
			}
			held[c.ID()] = name
		}
	}
}

type bound struct{ providers.Provider }

func (bound) PerAgent() bool { return true }

func TestFingerprint(t *testing.T) {
	fingerprint := func(key string, m providers.Material, k providers.Kind) string {
		p := &scripted{mint: func(context.Context, int, providers.Request) (providers.Credential, error) {
			return providers.Seal(k, m, providers.Terms{}), nil
		}}
		r := one(t, p, func(o *providers.PoolOptions) { o.FingerprintKey = []byte(key) })
		defer r.Stop(t)
		c, _ := lease(t, r)
		return c.Fingerprint()
	}
	const key, other = "0123456789abcdef", "fedcba9876543210"
	secret := providers.NewSecret
	same := fingerprint(key, providers.Material{Token: secret("one")}, providers.Token)
	if got := fingerprint(key, providers.Material{Token: secret("one")}, providers.Token); got != same || len(got) != 32 {
		t.Errorf("equal secrets: got %s and %s, want equal fingerprints of 32 digits", same, got)
	}
	seen := map[string]bool{same: true}
	for _, got := range []string{
		fingerprint(other, providers.Material{Token: secret("one")}, providers.Token),
		fingerprint(key, providers.Material{Token: secret("two")}, providers.Token),
		fingerprint(key, providers.Material{Username: "a", Password: secret("one")}, providers.Password),
		fingerprint(key, providers.Material{Username: "b", Password: secret("one")}, providers.Password), // another "user:password"
		fingerprint(key, providers.Material{AccessKeyID: "A", SecretAccessKey: secret("ab"), SessionToken: secret("c")}, providers.AWS),
		fingerprint(key, providers.Material{AccessKeyID: "A", SecretAccessKey: secret("a"), SessionToken: secret("bc")}, providers.AWS),
	} {
		if seen[got] {
			t.Errorf("got fingerprint %s twice, want another for another secret or key", got)
		}
		seen[got] = true
	}
}

func TestNewPoolRefuses(t *testing.T) {
	r := one(t, lasting(time.Hour))
	defer r.Stop(t)
	good := providers.PoolOptions{Log: r.Log, FingerprintKey: make([]byte, 16)}
	short, silent := good, good
	short.FingerprintKey = make([]byte, 15)
	silent.Log = nil
	entry := map[string]providers.Entry{"db": {Provider: lasting(0)}}
	tests := map[string]struct {
		entries map[string]providers.Entry
		options providers.PoolOptions
	}{
		"no log":           {entry, silent},
		"short key":        {entry, short},
		"no provider":      {map[string]providers.Entry{"db": {}}, good},
		"negative max age": {map[string]providers.Entry{"db": {Provider: lasting(0), MaxAge: -1}}, good},
	}
	for name, tt := range tests {
		if p, err := providers.NewPool(tt.entries, tt.options); err == nil || p != nil {
			t.Errorf("%s: got %v, %v, want no pool and an error", name, p, err)
		}
	}
	if _, _, err := r.Lease(t.Context(), "unknown", providers.Request{}); fault.KindOf(err) != fault.Internal || fault.HintOf(err) == "" {
		t.Errorf("unknown provider: got %v, want internal with a hint", err)
	}
}

func BenchmarkLeaseCached(b *testing.B) {
	r := newRig(b, map[string]providers.Entry{"db": {Provider: lasting(time.Hour), PerAgent: true}})
	defer r.Stop(b)
	req := providertest.Agent(b, "spiffe://a.test/ns/prod/sa/agent")
	ctx := context.Background()
	if _, _, err := r.Lease(ctx, "db", req); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			c, cached, err := r.Lease(ctx, "db", req)
			if err != nil || !cached || !r.Valid(c) {
				b.Errorf("lease: got %v (cached %t), %v, want the held one", c, cached, err)
				return
			}
		}
	})
}
