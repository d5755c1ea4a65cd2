package providers_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mintmark/broker/audit"
	"mintmark/internal/fault"
	"mintmark/providers"
	"mintmark/providers/internal/providertest"
)

// hung returns a rig of p that was closed while its system ended none of six leases: four
// are in hand, and two have no turn. The system answers once goOn is closed.
func hung(t *testing.T, p *scripted, change ...func(*providers.PoolOptions)) (r *providertest.Rig, goOn chan struct{}) {
	t.Helper()
	goOn = make(chan struct{})
	p.onRevoke = func(context.Context, providers.Held) error {
		<-goOn // whatever its context says
		return nil
	}
	r = newRig(t, map[string]providers.Entry{"db": {Provider: p, PerAgent: true}}, change...)
	for i := range 6 {
		must(t, r, providertest.Agent(t, fmt.Sprintf("spiffe://a.test/%d", i)))
	}
	if err := r.Close(t.Context()); err == nil || !strings.Contains(err.Error(), "got 6 leases not revoked") {
		t.Errorf("close: got %v, want all counted", err)
	}
	return r, goOn
}

// What a system has not ended by the end of a pool, nor refused to, is on record as owed,
// and handed to the pool that comes after: once each.
func TestWhatIsBeingEndedAtTheEndIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := lasting(100 * time.Hour)
		r, goOn := hung(t, p)
		if left := r.Orphans(t); len(left) != 6 || len(r.Left()) != 6 || r.Owed() != 6 {
			t.Errorf("got %d orphans, %d left and %d owed, want six", len(left), len(r.Left()), r.Owed())
		}
		failed := 0
		for _, record := range r.Records(t) {
			if record.Event == "revoke_failed" && record.Fault == fault.Unavailable.String() && strings.Contains(record.Reason, "whether it has ended is not known: the next start tries again") {
				failed++
			}
		}
		if failed != 6 {
			t.Errorf("got %d records of what is not known, want six", failed)
		}
		close(goOn)
		synctest.Wait()
		if _, ended := p.count(); ended != 4 || len(r.Orphans(t)) != 2 || r.Owed() != 6 {
			t.Errorf("when the system goes on: got %d ended, %d orphans and %d owed, want what was in hand ended and on record", ended, len(r.Orphans(t)), r.Owed())
		}
		r.Finish(t)
	})
}

// The providers that take the place of others have it on record for as long as it is owed.
func TestWhatWasBeingEndedIsTakenOverWithABundle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, goOn := hung(t, lasting(100*time.Hour))
		hangs, p := make(chan struct{}), lasting(100*time.Hour)
		p.onRevoke = func(context.Context, providers.Held) error {
			<-hangs
			return nil
		}
		next := one(t, p)
		if n := next.Adopt(t.Context(), r.Left()); n != 6 {
			t.Errorf("got %d adopted, want six", n)
		}
		pass(5 * time.Hour)
		decide(t, next)
		if left := next.Orphans(t); len(left) != 6 {
			t.Errorf("hours later: got %d orphans, want six", len(left))
		}
		close(hangs)
		close(goOn)
		synctest.Wait()
		if left := next.Orphans(t); len(left) != 0 || next.Owed() != 0 {
			t.Errorf("when their system goes on: got %d orphans and %d owed, want none", len(left), next.Owed())
		}
		next.Stop(t)
		r.Finish(t)
	})
}

// The absence of a record alone tells the next start of what a log that can't be written, or a kill
// at that moment, did not take.
func TestWhatIsBeingEndedIsAnOrphanWithoutARecordOfThat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		goOn, p := make(chan struct{}), lasting(time.Hour)
		p.onRevoke = func(context.Context, providers.Held) error {
			<-goOn
			return nil
		}
		r := one(t, p)
		c, _ := lease(t, r)
		r.Drop(t.Context(), c.ID())
		synctest.Wait()
		if err := r.Log.Close(); err != nil {
			t.Error(err)
		}
		if err := r.Close(t.Context()); err == nil {
			t.Error("got it closed with nothing owed")
		}
		if left := r.Orphans(t); len(left) != 1 || left[0].Credential != c.ID() || r.Events(t) != "mint" {
			t.Errorf("got %+v left by %q, want what was in hand", left, r.Events(t))
		}
		close(goOn)
		synctest.Wait()
		r.Clean(t, "the log output", r.Logs.String())
	})
}

// Of what nobody but its own process could end, as it has no handle and is in no escrow, the
// record says until when it may live.
func TestWhatNoStartCouldEndIsOnRecordAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := showing(time.Hour)
		r, goOn := hung(t, &p.scripted)
		var last audit.Record
		for _, record := range r.Records(t) {
			last = record
		}
		if last.Event != "revoke_failed" || !strings.Contains(last.Reason, "whether it has ended is not known: it ends by itself at 2000-01-01T01:00:00Z") {
			t.Errorf("got the record %+v, want one that says when it ends", last)
		}
		close(goOn)
		synctest.Wait()
		r.Finish(t)
	})
}
