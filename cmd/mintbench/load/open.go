package load

import (
	"context"
	"errors"
	"time"
)

// OpenLoop is a load of calls at fixed times, whatever becomes of the earlier
// ones: what callers who do not know of one another make.
type OpenLoop struct {
	Rate        float64 // calls a second
	Length      time.Duration
	Connections int // enough that a call never waits for one
	// Pause waits for a time as short as a fraction of a millisecond. Nil is
	// the finest wait that the system has.
	Pause func(time.Duration)
}

var errUnsent = errors.New("never sent: the server did not keep up with the rate")

// Run makes the load. Latency counts from the time at which a call was due and
// not from when it was sent, so that a server that stalls cannot hide the calls
// that it kept from being sent. Each connection has made a call before the first
// is due: callers of a rate do not all come at the same moment.
func (o OpenLoop) Run(ctx context.Context, t *Target) (Result, error) {
	all, err := workers(ctx, t, o.Connections, o.Length)
	if err != nil {
		return Result{}, err
	}
	settle(ctx, all)
	if o.Pause == nil {
		o.Pause = pause
	}
	due := make(chan time.Time, int(o.Rate*o.Length.Seconds())+1)
	go o.schedule(ctx, due)
	end := time.Now().Add(o.Length + grace/2)
	return run(all, func(w *worker) {
		for at := range due {
			if time.Now().After(end) || w.hopeless() || ctx.Err() != nil {
				w.result.failed(errUnsent)
				continue
			}
			w.call(ctx, at)
		}
	}), nil
}

// settle makes a first call on each connection, whose time does not count. One that
// fails is in the worker's result.
func settle(ctx context.Context, all []*worker) {
	_ = parallel(len(all), func(i int) error {
		all[i].first(ctx)
		return nil
	})
}

// schedule sends the times at which calls are due, each when it has come.
func (o OpenLoop) schedule(ctx context.Context, due chan<- time.Time) {
	defer close(due)
	start := time.Now()
	for i := range cap(due) - 1 {
		at := start.Add(time.Duration(float64(i) / o.Rate * float64(time.Second)))
		if wait := time.Until(at); wait > 0 {
			o.Pause(wait)
		}
		if ctx.Err() != nil {
			return
		}
		due <- at // never blocks: there is room for all
	}
}
