package posture

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// Wait returns when every source has reported what was there when it began, or
// ctx's error with the sources that have not, and why, once ctx ends.
func (t *Tracker) Wait(ctx context.Context) error {
	select {
	case <-t.ready:
		return nil
	case <-ctx.Done():
		return t.unready(ctx.Err())
	}
}

// unready adds to err the sources that are waited for.
func (t *Tracker) unready(err error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(t.waiting)) {
		why := t.failed[name]
		if why == nil {
			why = errors.New("its first scan goes on")
		}
		err = fmt.Errorf("%w; source %s: %w", err, name, why)
	}
	return err
}

// note keeps why a source failed.
func (t *Tracker) note(name string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failed[name] = err
}
