// Package load drives a server with MCP calls over raw HTTP/1.1 and checks each
// answer. It shares the machine with what it measures, so it does as little as
// it can: prepared bytes out, one pass over what comes back.
package load

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// grace is how much longer than its load a connection lives, so that a server
// that hangs ends the measurement with errors and not never.
const grace = 10 * time.Second

// giveUp is how many wrong answers in a row end a connection's part of a load.
const giveUp = 10

// maxExamples is how many different failures a Result can show.
const maxExamples = 3

// Target is a server to drive.
type Target struct {
	Name    string
	Dial    func(context.Context) (net.Conn, error)
	Calls   []Template // taken in turn; at least one
	Numbers *Numbers   // of all calls to this server
}

// Result is what came of a load.
type Result struct {
	Answered uint64 // calls answered as they should be
	Wrong    uint64 // all others
	Examples []string
	Elapsed  time.Duration // from the first call's start to the last answer's end

	latency *hdrhistogram.Histogram // of answered calls, in nanoseconds
}

func newResult() Result {
	return Result{latency: hdrhistogram.New(int64(time.Microsecond), int64(time.Minute), 3)}
}

// Rate returns the answered calls per second.
func (r *Result) Rate() float64 {
	if r.Elapsed <= 0 {
		return 0
	}
	return float64(r.Answered) / r.Elapsed.Seconds()
}

// Quantile returns the latency that the share q of the answered calls, from 0
// to 1, did not exceed.
func (r *Result) Quantile(q float64) time.Duration {
	return time.Duration(r.latency.ValueAtQuantile(100 * q))
}

// Err returns an error that shows what went wrong, or nil. A load that answered
// nothing is an error too: it measured nothing.
func (r *Result) Err() error {
	switch {
	case r.Wrong > 0:
		return fmt.Errorf("%d of %d answers were wrong: %s", r.Wrong, r.Wrong+r.Answered, strings.Join(r.Examples, "; "))
	case r.Answered == 0:
		return errors.New("got no answer, want at least one")
	}
	return nil
}

func (r *Result) answered(latency time.Duration) {
	r.Answered++
	// Beyond the histogram's end a call has long failed by its deadline.
	_ = r.latency.RecordValue(min(int64(latency), r.latency.HighestTrackableValue()))
}

func (r *Result) failed(err error) {
	r.Wrong++
	r.show(err.Error())
}

// show keeps an example of a failure that is not shown yet.
func (r *Result) show(example string) {
	if len(r.Examples) < maxExamples && !slices.Contains(r.Examples, example) {
		r.Examples = append(r.Examples, example)
	}
}

// merge adds what another worker of the same load did.
func (r *Result) merge(o Result) {
	r.Answered += o.Answered
	r.Wrong += o.Wrong
	for _, example := range o.Examples {
		r.show(example)
	}
	r.latency.Merge(o.latency)
}

// worker makes calls one after another, on one connection as long as it lasts.
type worker struct {
	target *Target
	turn   int // of target.Calls
	conn   *conn
	until  time.Time // of each connection
	result Result
	row    int    // wrong answers in a row
	held   uint64 // number of the call whose answer is held
}

// workers returns n workers, connected, for a load of this length.
func workers(ctx context.Context, t *Target, n int, length time.Duration) ([]*worker, error) {
	all := make([]*worker, n)
	until := time.Now().Add(length + grace)
	err := parallel(n, func(i int) (err error) {
		w := &worker{target: t, turn: i, until: until, result: newResult()}
		all[i] = w
		w.conn, err = dial(ctx, t, until)
		return err
	})
	if err != nil {
		stop(all)
		return nil, fmt.Errorf("%s: %w", t.Name, err)
	}
	return all, nil
}

// parallel calls f for 0 to n-1, a few at a time, and returns one of the errors.
func parallel(n int, f func(i int) error) error {
	const atOnce = 64
	slots, errs := make(chan struct{}, atOnce), make(chan error, n)
	for i := range n {
		slots <- struct{}{}
		go func() {
			errs <- f(i)
			<-slots
		}()
	}
	var first error
	for range n {
		if err := <-errs; err != nil {
			first = err
		}
	}
	return first
}

// call makes one call whose latency counts from since, and returns when its
// answer had come.
func (w *worker) call(ctx context.Context, since time.Time) time.Time {
	right := w.first(ctx)
	now := time.Now()
	if right {
		w.result.answered(now.Sub(since))
	}
	return now
}

// first makes one call, and reports whether its answer was right. It counts only if it was not.
func (w *worker) first(ctx context.Context) bool {
	number := w.target.Numbers.take()
	if err := w.try(ctx, number); err != nil {
		w.target.Numbers.failed(number)
		w.result.failed(err)
		w.row++
		return false
	}
	w.row = 0
	return true
}

func (w *worker) try(ctx context.Context, number uint64) (err error) {
	if w.conn.spent {
		w.conn.close()
		if w.conn, err = dial(ctx, w.target, w.until); err != nil {
			return err
		}
	}
	t := &w.target.Calls[w.turn%len(w.target.Calls)]
	w.turn++
	return w.conn.call(t, number)
}

// hopeless reports whether further calls would only repeat a failure.
func (w *worker) hopeless() bool { return w.row >= giveUp }

func stop(all []*worker) {
	for _, w := range all {
		if w != nil && w.conn != nil {
			w.conn.close()
		}
	}
}

// run lets every worker do its part at once, and joins what came of it.
func run(all []*worker, part func(*worker)) Result {
	defer stop(all)
	var group sync.WaitGroup
	start := time.Now()
	for _, w := range all {
		group.Go(func() { part(w) })
	}
	group.Wait()
	joined := newResult()
	joined.Elapsed = time.Since(start)
	for _, w := range all {
		joined.merge(w.result)
	}
	return joined
}
