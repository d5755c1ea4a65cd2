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

// Caller makes single calls, when it is asked to, on one connection.
type Caller struct{ w *worker }

// NewCaller connects to the target.
func NewCaller(ctx context.Context, t *Target) (*Caller, error) {
	all, err := workers(ctx, t, 1, grace)
	if err != nil {
		return nil, err
	}
	return &Caller{all[0]}, nil
}

// Target returns what it calls.
func (c *Caller) Target() *Target { return c.w.target }

// Next makes the next of the target's calls and returns how long its answer took,
// or how long it took to fail: what went wrong is in the Result.
func (c *Caller) Next(ctx context.Context) time.Duration {
	start := time.Now()
	took := c.w.call(ctx, start).Sub(start)
	c.w.result.Elapsed += took
	return took
}

// Finish closes the connection and returns what came of the calls.
func (c *Caller) Finish() Result {
	stop([]*worker{c.w})
	return c.w.result
}
