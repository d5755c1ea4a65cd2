package providers_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mintmark/broker/audit"
	"mintmark/providers"
	"mintmark/providers/internal/providertest"
)

const many = 6 // more than the workers of one system

// stuck is a rig whose log can be held up, and which says when its system has ended
// something.
type stuck struct {
	*providertest.Rig
	dir         string
	armed       atomic.Bool // the next record is held up
	begun, free chan struct{}
	ended       chan struct{}
	told        chan struct{} // a record is made
}

func newStuck(t *testing.T, p providers.Provider) *stuck {
	t.Helper()
	s := &stuck{dir: t.TempDir(), ended: make(chan struct{}, many), told: make(chan struct{})}
	log, begun, free := stuckLog(t, s.dir, &s.armed)
	s.begun, s.free = begun, free
	s.Rig = newRig(t, map[string]providers.Entry{"db": {Provider: p, PerAgent: true}}, func(o *providers.PoolOptions) {
		o.Log, o.Revoked = log, func() { s.ended <- struct{}{} }
		o.Bundle = func() string {
			select {
			case s.told <- struct{}{}:
			default: // nobody waits for it
			}
			return "b0b0"
		}
	})
	return s
}

// remind has what is held and owed put on record again, and do called while the first of
// these records is held up; it returns when all is on record.
func (s *stuck) remind(t *testing.T, do func()) {
	t.Helper()
	s.armed.Store(true)
	var reminding sync.WaitGroup
	reminding.Go(func() { s.Remind(time.Now().Add(2 * time.Hour)) })
	<-s.begun
	do()
	close(s.free)
	reminding.Wait()
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// history returns the events of each credential, in the order of the log.
func (s *stuck) history(t *testing.T) map[string]string {
	t.Helper()
	found := make(map[string]string)
	for r, err := range audit.Query(s.dir, audit.Filter{Kind: audit.Issuance}) {
		if err != nil {
			t.Fatal(err)
		}
		found[r.Credential] += " " + r.Event
	}
	return found
}

// What ends while what is held is put on record again is not on record after its end: the
// next start would have it ended once more.
func TestWhatIsHeldIsNotOnRecordAfterItsEnd(t *testing.T) {
	s := newStuck(t, lasting(12*time.Hour))
	for i := range many {
		s.Must(t, providertest.Agent(t, fmt.Sprintf("spiffe://a.test/%d", i)))
	}
	s.remind(t, func() {
		s.Drop(t.Context(), "db")
		for range 4 { // each worker has one that is to be put on record
			<-s.ended
		}
	})
	for id, events := range s.history(t) {
		if strings.Count(events, "revoke") != 1 || !strings.HasSuffix(events, " revoke") {
			t.Errorf("%s: got%s, want its end last", id, events)
		}
	}
}

// Nor is what a crash left and is ended meanwhile.
func TestWhatIsOwedIsNotOnRecordAfterItsEnd(t *testing.T) {
	p, goOn := lasting(12*time.Hour), make(chan struct{})
	p.onRevoke = func(context.Context, providers.Held) error {
		<-goOn
		return nil
	}
	s := newStuck(t, p)
	s.Adopt(t.Context(), leftBehind())
	s.remind(t, func() {
		close(goOn)
		for range 4 {
			<-s.ended
		}
	})
	found := s.history(t)
	for id, events := range found {
		if strings.Count(events, "revoke") != 1 || !strings.HasSuffix(events, " revoke") {
			t.Errorf("%s: got%s, want its end last", id, events)
		}
	}
	if len(found) != many {
		t.Errorf("got %d ended, want %d", len(found), many)
	}
}

// Nor is what is left to whoever comes next, who may end it meanwhile.
func TestWhatIsLeftByCloseIsNotOnRecordAgain(t *testing.T) {
	p, goOn := lasting(12*time.Hour), make(chan struct{})
	p.onRevoke = func(context.Context, providers.Held) error {
		<-goOn
		return nil
	}
	s := newStuck(t, p)
	s.Adopt(t.Context(), leftBehind())
	s.armed.Store(true)
	var reminding sync.WaitGroup
	reminding.Go(func() { s.Remind(time.Now().Add(2 * time.Hour)) })
	<-s.begun
	closed := make(chan error, 1)
	go func() { closed <- s.Close(t.Context()) }()
	<-s.Ending()
	close(s.free)
	reminding.Wait()
	close(goOn)
	if err := <-closed; err != nil {
		t.Error(err)
	}
	again := 0
	for _, events := range s.history(t) {
		again += strings.Count(events, "orphan")
	}
	if again != 1 {
		t.Errorf("got %d of %d on record again, want the one that was held up as Close came", again, many)
	}
}

// leftBehind returns what a process before left.
func leftBehind() (left []audit.Record) {
	for i := range many {
		left = append(left, audit.Record{Kind: audit.Issuance, Event: "orphan", Provider: "db", Credential: fmt.Sprint(i), Lease: fmt.Sprint(i)})
	}
	return left
}

// What is prolonged meanwhile is not on record with its sooner end after the later one:
// the next start would take it for over.
func TestWhatIsProlongedIsNotOnRecordWithItsSoonerEnd(t *testing.T) {
	p := prolonging(12 * time.Hour)
	p.scripted = lasting(3 * time.Hour)
	s := newStuck(t, p)
	renew := p.renew
	p.renew = func(ctx context.Context, n int, h providers.Held) (providers.Terms, error) {
		s.armed.Store(true)
		return renew(ctx, n, h)
	}
	c, _ := s.Must(t, providertest.Agent(t, "spiffe://a.test/1"))
	s.Replace(c)
	<-s.begun // its renewal is being put on record
	var reminding sync.WaitGroup
	reminding.Go(func() { s.Remind(time.Now().Add(2 * time.Hour)) })
	select { // where nothing keeps it from that
	case <-s.told:
	case <-time.After(100 * time.Millisecond):
	}
	close(s.free)
	reminding.Wait()
	left := providers.Orphans(audit.Query(s.dir, audit.Filter{Kind: audit.Issuance}), time.Now().Add(6*time.Hour), quiet())
	if len(left) != 1 || left[0].Credential != c.ID() {
		t.Errorf("got %+v left past its sooner end, want the lease that was prolonged", left)
	}
	if got := s.history(t)[c.ID()]; got != " mint held renew held" {
		t.Errorf("got%s, want it on record again", got)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
