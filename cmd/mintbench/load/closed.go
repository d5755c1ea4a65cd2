package load

import (
	"context"
	"time"
)

// Closed keeps the given number of connections busy for the given time: each
// makes its next call when the answer to the last one has come. The error is
// that the load could not begin; what went wrong with calls is in the Result.
func Closed(ctx context.Context, t *Target, connections int, length time.Duration) (Result, error) {
	all, err := workers(ctx, t, connections, length)
	if err != nil {
		return Result{}, err
	}
	end := time.Now().Add(length)
	return run(all, func(w *worker) {
		for now := time.Now(); now.Before(end) && !w.hopeless() && ctx.Err() == nil; {
			now = w.call(ctx, now)
		}
	}), nil
}

// Burst connects the given number of callers, and then lets each make one call
// at the same time.
func Burst(ctx context.Context, t *Target, callers int) (Result, error) {
	all, err := workers(ctx, t, callers, grace)
	if err != nil {
		return Result{}, err
	}
	return run(all, func(w *worker) { w.call(ctx, time.Now()) }), nil
}

// Each makes every call of the target once, one after another, on one
// connection.
func Each(ctx context.Context, t *Target) (Result, error) {
	all, err := workers(ctx, t, 1, grace)
	if err != nil {
		return Result{}, err
	}
	return run(all, func(w *worker) {
		for range t.Calls {
			w.call(ctx, time.Now())
		}
	}), nil
}
