package providers_test

import (
	"context"
	"crypto/ed25519"
	"sync/atomic"
	"testing"
	"time"

	"mintmark/broker/audit"
	"mintmark/internal/fault"
	"mintmark/providers"
)

// stuckLog returns a log in dir whose next record is not written before free is closed, once
// armed, and says by begun that it was to be.
func stuckLog(t *testing.T, dir string, armed *atomic.Bool) (log *audit.Log, begun, free chan struct{}) {
	t.Helper()
	begun, free = make(chan struct{}), make(chan struct{})
	log, err := audit.Open(audit.Options{
		Directory: dir, SigningKey: ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)),
		Clock: func() time.Time {
			if armed.Swap(false) {
				close(begun)
				<-free
			}
			return time.Now()
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	return log, begun, free
}

// A lease that Close has ended, while its record waited for the log, is given to
// nobody after that.
func TestALeaseWhoseRecordOutlivesCloseIsNotGivenOut(t *testing.T) {
	var armed atomic.Bool
	log, begun, free := stuckLog(t, t.TempDir(), &armed)
	r := one(t, lasting(time.Hour), func(o *providers.PoolOptions) { o.Log = log })
	armed.Store(true)
	type given struct {
		credential providers.Credential
		err        error
	}
	got := make(chan given, 1)
	go func() {
		c, _, err := r.Lease(context.WithoutCancel(t.Context()), "db", providers.Request{})
		got <- given{c, err}
	}()
	<-begun
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_ = r.Close(ctx) // which can't put on record that it revoked it
	close(free)
	if g := <-got; !g.credential.IsZero() || fault.KindOf(g.err) != fault.Unavailable {
		t.Errorf("got %v, %v, want none: the pool is closed", g.credential, g.err)
	}
}
