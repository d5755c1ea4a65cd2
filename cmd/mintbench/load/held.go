package load

import (
	"context"
	"fmt"
	"time"
)

// holdLimit is how long streams may be held.
const holdLimit = time.Minute

// Held are answers that have begun to stream and not ended.
type Held struct{ all []*worker }

// Hold makes the given number of calls whose answers stream, and returns when
// the first event of each has come.
func Hold(ctx context.Context, t *Target, streams int) (*Held, error) {
	all, err := workers(ctx, t, streams, holdLimit)
	if err != nil {
		return nil, err
	}
	if err := parallel(streams, func(i int) error { return all[i].hold() }); err != nil {
		stop(all)
		return nil, fmt.Errorf("%s: %w", t.Name, err)
	}
	return &Held{all: all}, nil
}

func (w *worker) hold() error {
	w.held = w.target.Numbers.take()
	err := w.conn.send(&w.target.Calls[w.turn%len(w.target.Calls)], w.held)
	if err == nil {
		err = w.conn.begin()
	}
	if err != nil {
		w.target.Numbers.failed(w.held)
	}
	return err
}

// Finish waits for the end of every answer, which something else must bring
// about, and checks it.
func (h *Held) Finish() Result {
	start := time.Now()
	return run(h.all, func(w *worker) {
		if err := w.conn.finish(w.held); err != nil {
			w.target.Numbers.failed(w.held)
			w.result.failed(err)
			return
		}
		w.result.answered(time.Since(start))
	})
}
