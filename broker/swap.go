package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"mintmark/broker/audit"
	"mintmark/broker/bundle"
)

// Apply puts another bundle in force: whole, or not at all. Calls under way end
// with the bundle they began with. What can't change while the broker runs
// (listeners, trust, audit, limits) is refused.
func (b *Broker) Apply(ctx context.Context, bd *bundle.Bundle) error {
	b.applying.Lock()
	defer b.applying.Unlock()
	old := b.current.Load()
	if bd.Digest == old.bundle.Digest {
		return nil
	}
	err := b.apply(ctx, bd, old)
	outcome := "applied"
	if err != nil {
		outcome = "refused"
	}
	b.metrics.reloads.WithLabelValues(outcome).Inc()
	return err
}

func (b *Broker) apply(ctx context.Context, bd *bundle.Bundle, old *snapshot) (err error) {
	defer b.guard(ctx, "apply bundle "+bd.Digest, &err)
	if err := sameFrame(old.bundle, bd); err != nil {
		return err
	}
	snap, err := b.build(ctx, bd, old)
	if err != nil {
		return err
	}
	if err := b.replace(ctx, old, snap); err != nil {
		snap.retire(ctx, old)
		return err
	}
	return nil
}

// replace puts a snapshot on record and in force in the place of another, unless
// no more calls may begin. Where it does not come in force though it is on record, so
// is that the other one stays.
func (b *Broker) replace(ctx context.Context, old, snap *snapshot) error {
	b.changing.Lock()
	defer b.changing.Unlock()
	if b.ended {
		return fmt.Errorf("apply bundle %s: the broker is stopping", snap.bundle.Digest)
	}
	if err := b.recordBundle(ctx, "bundle", snap.bundle, ""); err != nil {
		return err
	}
	// After the record, since what tools are held to is kept: it would be in force,
	// and after a restart too, with nothing on record that says since when.
	if err := b.registerTools(snap.bundle.Config); err != nil {
		why := "bundle " + snap.bundle.Digest + " did not come in force: its tool_digests could not be written"
		return errors.Join(err, b.recordBundle(ctx, "bundle", old.bundle, why))
	}
	b.swap(snap)
	b.warn(ctx, snap)
	b.parking.end(old)
	before := b.before
	b.before = old.retired
	b.retiring.Go(func() { // old calls may be long streams; their parts end with them
		old.finish(context.WithoutCancel(ctx), snap, before)
		old.retire(context.WithoutCancel(ctx), snap)
	})
	return nil
}

// leftTime is how long the calls under way may use credentials of registrations that
// are in force no longer: as long as that of a lease which was replaced.
const leftTime = 5 * time.Second

// finish returns when the last call of s has ended, and when before is closed: the
// snapshot that s may have taken parts from has retired by then. A stream may last for
// long, so the leases do not wait for that: those that now does not keep end before, and
// calls under way get no other.
func (s *snapshot) finish(ctx context.Context, now *snapshot, before <-chan struct{}) {
	ended := make(chan struct{})
	go func() {
		s.calls.Wait()
		if before != nil {
			<-before
		}
		close(ended)
	}()
	if s.pool != now.pool {
		select {
		case <-ended:
		case <-time.After(leftTime):
			s.pool.Cease(ctx)
		}
	}
	<-ended
}

// recordBundle puts the bundle in force on record; why is empty but where that is
// the one before, after all.
func (b *Broker) recordBundle(ctx context.Context, event string, bd *bundle.Bundle, why string) error {
	_, err := b.log.Append(ctx, &audit.Record{Kind: audit.Admin, Event: event, Bundle: bd.Digest, Reason: why})
	return err
}

// swap puts a snapshot in force.
func (b *Broker) swap(snap *snapshot) {
	b.entering.Lock()
	defer b.entering.Unlock()
	b.current.Store(snap)
}

// enter begins a call with the snapshot in force, and returns false when no
// more may begin. The call ends with calls.Done.
func (b *Broker) enter() (*snapshot, bool) {
	b.entering.RLock()
	defer b.entering.RUnlock()
	snap := b.current.Load()
	if b.ended {
		return snap, false
	}
	snap.calls.Add(1)
	return snap, true
}

// leave lets no more calls begin, and no other bundle come in force.
func (b *Broker) leave() {
	b.changing.Lock()
	defer b.changing.Unlock()
	b.entering.Lock()
	defer b.entering.Unlock()
	b.ended = true
}

// Digest returns the digest of the bundle in force.
func (b *Broker) Digest() string { return b.digestOr("") }

// digestOr returns the digest of the bundle in force, or first before there is
// one.
func (b *Broker) digestOr(first string) string {
	if snap := b.current.Load(); snap != nil {
		return snap.bundle.Digest
	}
	return first
}
