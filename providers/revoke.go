package providers

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"mintmark/internal/fault"
)

const (
	revokeWorkers  = 4
	revokeAttempts = 3
	revokeTimeout  = 5 * time.Second
)

// revocations is the queue of leases that have ended here and not yet at their
// system. A few workers come when there is work and go when there is none.
type revocations struct {
	revoke func(context.Context, *lease) error
	ctx    context.Context // of every attempt
	cancel context.CancelFunc
	work   sync.WaitGroup

	mu      sync.Mutex
	queue   []*lease
	workers int
	closed  bool
	failed  int
}

func (q *revocations) open(revoke func(context.Context, *lease) error) {
	q.revoke = revoke
	q.ctx, q.cancel = context.WithCancel(context.Background())
}

func (q *revocations) add(l *lease) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed { // the log may be closed too: the orphan is found by its mint record
		q.failed++
		return
	}
	q.queue = append(q.queue, l)
	if q.workers < revokeWorkers {
		q.workers++
		q.work.Go(q.drain)
	}
}

func (q *revocations) drain() {
	for l := q.next(); l != nil; l = q.next() {
		if err := q.revoke(q.ctx, l); err != nil {
			q.mu.Lock()
			q.failed++
			q.mu.Unlock()
		}
	}
}

// next takes the oldest lease off the queue; nil sends the worker home.
func (q *revocations) next() *lease {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.queue) == 0 {
		q.workers--
		return nil
	}
	l := q.queue[0]
	q.queue = q.queue[1:]
	return l
}

// close waits until the queue is empty or ctx ends. Then every attempt under
// way is cut short, and each one left is recorded as failed; a provider that
// ignores its context is not waited for.
func (q *revocations) close(ctx context.Context) error {
	q.mu.Lock()
	q.closed = true
	before := q.failed
	q.mu.Unlock()
	wait(ctx, &q.work)
	q.cancel()
	brief, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	wait(brief, &q.work)
	q.mu.Lock()
	defer q.mu.Unlock()
	if n := q.failed - before + len(q.queue) + q.workers; n > 0 {
		return fmt.Errorf("close pool: got %d leases not revoked, want none: they end by themselves, or by hand with the lease in the record", n)
	}
	return nil
}

// revoke ends l at its system and records how that went.
func (p *Pool) revoke(ctx context.Context, l *lease) error {
	start := p.clock()
	err := p.attempt(ctx, l)
	l.credential.lease.revoked.Store(err == nil)
	r := p.entry("revoke", l, start)
	if err != nil {
		r.Event, r.Fault, r.Reason = "revoke_failed", fault.KindOf(err).String(), err.Error()
		p.logger.LogAttrs(ctx, slog.LevelError, "lease not revoked", slog.String("provider", l.reg.name), slog.String("credential", l.credential.ID()), slog.Any("error", err))
	}
	if failed := p.record(r); failed != nil {
		p.logger.LogAttrs(ctx, slog.LevelError, "revocation not recorded", slog.String("credential", l.credential.ID()), slog.Any("error", failed))
	}
	return err
}

// attempt tries a few times, as long as it matters.
func (p *Pool) attempt(ctx context.Context, l *lease) (err error) {
	pause := firstDelay
	for range revokeAttempts {
		if err = p.askRevoke(ctx, l); err == nil || ctx.Err() != nil || !l.revocable(p.clock()) {
			return err
		}
		select {
		case <-time.After(pause):
			pause *= 4
		case <-ctx.Done():
			return err
		}
	}
	return err
}

// askRevoke calls the provider as ask does.
func (p *Pool) askRevoke(ctx context.Context, l *lease) (err error) {
	ctx, cancel := context.WithTimeout(ctx, revokeTimeout)
	defer cancel()
	defer func() {
		if v := recover(); v != nil {
			err = fault.Wrap("revoke", fault.Internal, "the credential provider failed", fmt.Errorf("revoke: panic of type %T", v))
		}
	}()
	err = l.reg.revoker.Revoke(ctx, Held{Lease: l.credential.Lease(), Opened: Opened{m: l.credential.lease.material}})
	if _, ok := err.(*fault.Error); err != nil && !ok { //nolint:errorlint // the outermost alone, as in mint
		err = fault.Wrap("revoke", fault.Internal, "the credential provider failed", fmt.Errorf("revoke: unclassified error of type %T", err))
	}
	return err
}
