package providers

import (
	"context"
	"time"
)

// finish has everything tried a last time, and returns when that is done or ctx
// has ended. It reports whether it is done.
func (q *debts) finish(ctx context.Context) bool {
	q.mu.Lock()
	q.last = true
	for d, timer := range q.waiting {
		timer.Stop()
		delete(q.waiting, d) // so that a timer which has fired does nothing: see wake
		q.enqueue(d)
	}
	q.mu.Unlock()
	return q.wait(ctx)
}

// wait returns when nobody works or ctx ends, and whether it is the first.
func (q *debts) wait(ctx context.Context) bool {
	q.mu.Lock()
	if len(q.workers) == 0 {
		q.mu.Unlock()
		return true
	}
	if q.idle == nil {
		q.idle = make(chan struct{})
	}
	idle := q.idle
	q.mu.Unlock()
	select {
	case <-idle:
		return true
	case <-ctx.Done():
		return false
	}
}

// close waits until the queue is empty or ctx ends. Then every attempt under
// way is cut short, and each one left is recorded as failed; a provider that
// ignores its context is not waited for. What it leaves is returned: of how that went
// nothing is on record.
func (q *debts) close(ctx context.Context) (untold []*debt) {
	q.mu.Lock()
	q.last, q.closed = true, true
	q.mu.Unlock()
	q.wait(ctx)
	q.cancel()
	brief, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	q.wait(brief)
	return q.abandon()
}

// abandon leaves all that is not done with. What a worker has in hand stays there too: it may
// be paid yet.
func (q *debts) abandon() (untold []*debt) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for d := range q.inHand {
		d.left = true
		q.left = append(q.left, d)
		untold = append(untold, d)
	}
	for reg, waiting := range q.queue {
		untold = append(untold, waiting...)
		q.queue[reg] = nil
	}
	untold = append(untold, q.behind...)
	q.behind = nil
	for _, d := range untold {
		if !d.left {
			q.leave(d)
		}
	}
	return untold
}

// unpaid returns how many credentials nobody tries to end any more, or too late for their Pool,
// of those not over at now. A login that is left is on record, and what was made under it has ended.
func (q *debts) unpaid(now time.Time) int {
	return q.owed(now) + int(q.late.Load()) - q.leftOf(eventLogout, now)
}

// leftOf returns how many debts of one event nobody tries again, of those not over at now.
func (q *debts) leftOf(event string, now time.Time) (n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, d := range q.left {
		if d.record.Event == event && d.lives(now) {
			n++
		}
	}
	return n
}
