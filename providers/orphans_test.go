package providers_test

import (
	"context"
	"fmt"
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

// crashed returns the records of a Pool that minted for n agents, dropped the
// first, and was killed: its log ends there.
func crashed(t *testing.T, p providers.Provider, n int, change ...func(*providers.Entry)) []audit.Record {
	t.Helper()
	entry := providers.Entry{Provider: p, PerAgent: true}
	for _, c := range change {
		c(&entry)
	}
	r := newRig(t, map[string]providers.Entry{"db": entry})
	for i := range n {
		c, _, err := r.Lease(t.Context(), "db", providertest.Agent(t, fmt.Sprintf("spiffe://a.test/%d", i)))
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			r.Drop(t.Context(), c.ID())
			synctest.Wait()
		}
	}
	if err := r.Log.Close(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close(context.WithoutCancel(t.Context())) }) // its records come too late
	return r.Orphans(t)
}

func TestWhatACrashLeftIsRevoked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		left := crashed(t, lasting(time.Hour), 4)
		if len(left) != 3 {
			t.Fatalf("got %d orphans, want the 3 that were not revoked", len(left))
		}
		p := lasting(time.Hour)
		r := newRig(t, map[string]providers.Entry{"db": {Provider: p, Digest: "changed since"}})
		if n := r.Adopt(t.Context(), left); n != 3 {
			t.Errorf("got %d adopted, want 3", n)
		}
		synctest.Wait()
		if p.hasRevoked("lease-1") || !p.hasRevoked("lease-2") || !p.hasRevoked("lease-3") || !p.hasRevoked("lease-4") || r.Owed() != 0 {
			t.Errorf("got %v revoked and %d owed, want the three", p.revoked, r.Owed())
		}
		for _, record := range r.Records(t) {
			want := left[slices.IndexFunc(left, func(r audit.Record) bool { return r.Credential == record.Credential })]
			if record.Event != "revoke" || record.Provider != "db" || record.Agent != want.Agent || record.Lease != want.Lease || record.Fingerprint != want.Fingerprint {
				t.Errorf("got the record %+v, want the revocation of %+v", record, want)
			}
		}
		if again := r.Orphans(t); len(again) != 0 {
			t.Errorf("got %d orphans after that, want none", len(again))
		}
		r.Stop(t)
	})
}

func TestWhatACrashLeftIsTriedUntilItEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		left := crashed(t, lasting(time.Hour), 3)
		p := lasting(time.Hour)
		var down atomic.Bool
		var tries atomic.Int64
		down.Store(true)
		p.onRevoke = func(_ context.Context, h providers.Held) error {
			if h.Lease == "lease-3" {
				tries.Add(1)
			}
			if h.Lease == "lease-2" && down.Load() || h.Lease == "lease-3" {
				return fault.New("revoke", fault.Unavailable, "down")
			}
			return nil
		}
		r := newRig(t, map[string]providers.Entry{"db": {Provider: p}})
		r.Adopt(t.Context(), left)
		pass(time.Minute)
		if n := r.Owed(); n != 2 || !strings.Contains(r.Logs.String(), "leases were left behind") || !strings.Contains(r.Logs.String(), "lease not revoked") {
			t.Errorf("while the system is down: got %d owed, want two, and it in the log output", n)
		}
		down.Store(false)
		pass(20 * time.Minute)
		if !p.hasRevoked("lease-2") || r.Owed() != 1 {
			t.Errorf("after it came back: got %d owed, want the other", r.Owed())
		}
		pass(time.Hour)
		if got := tries.Load(); r.Owed() != 0 || got < 9 || got > 50 {
			t.Errorf("past the end of lease-3: got %d owed and %d tries, want none, and tries ever more rare", r.Owed(), got)
		}
		r.Stop(t)
	})
}

func TestWhatEndedByItselfIsNoOrphan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		left := crashed(t, lasting(time.Hour), 2, func(e *providers.Entry) { e.MaxAge = time.Minute })
		p := lasting(time.Hour)
		r := newRig(t, map[string]providers.Entry{"db": {Provider: p}})
		pass(30 * time.Minute) // the broker would not use it any more, and its system takes it
		if n := r.Adopt(t.Context(), left); n != 1 {
			t.Errorf("before its system's end: got %d adopted, want 1", n)
		}
		synctest.Wait()
		pass(30 * time.Minute)
		if n := r.Adopt(t.Context(), left); n != 0 {
			t.Errorf("after its system's end: got %d adopted, want none", n)
		}
		r.Stop(t)
	})
}

func TestWhatNoProviderCanEndIsOnRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		left := crashed(t, lasting(time.Hour), 2)
		for name, entries := range map[string]map[string]providers.Entry{
			"none of the name": {"other": {Provider: lasting(time.Hour)}},
			"can't revoke":     {"db": {Provider: plain{lasting(time.Hour)}}},
		} {
			r := newRig(t, entries)
			n := r.Adopt(t.Context(), left)
			if got := r.Events(t); n != 0 || got != "revoke_failed" || r.Owed() != 1 || r.Records(t)[0].Lease != "lease-2" {
				t.Errorf("%s: got %d adopted, events %q and %d owed, want one revoke_failed with the lease", name, n, got, r.Owed())
			}
			if again := r.Pool.Left(); len(again) != 1 || again[0].Lease != "lease-2" {
				t.Errorf("%s: got %v left for the next pool, want the lease", name, again)
			}
			_ = r.Close(t.Context())
			r.Finish(t)
		}
	})
}

// A lease that is held for long is on record again, so that a start need not
// read the whole log to find it.
func TestWhatIsHeldForLongIsOnRecordAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := lasting(12 * time.Hour)
		r := one(t, p)
		defer r.Stop(t)
		first, _ := lease(t, r)
		pass(7*time.Hour + time.Second)
		if got := r.Events(t); strings.Count(got, "held") < 5 {
			t.Errorf("events: got %q, want the lease again each hour", got)
		}
		left := r.Orphans(t)
		if len(left) != 1 || left[0].Event != "orphan" || left[0].Credential != first.ID() || left[0].Lease != "lease-1" || left[0].SystemEnd.IsZero() {
			t.Errorf("got %+v left, want the lease by its last record", left)
		}
	})
}
