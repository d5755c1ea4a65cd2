package audit

import (
	"fmt"
	"time"
)

// startSync asks for all that is written to be brought to the disk, unless
// that is being done.
func (w *writer) startSync(now time.Time) {
	if w.inflight {
		return
	}
	w.inflight, w.mark, w.syncedAt = true, w.at, now
	w.syncing, w.unsynced = w.unsynced, w.syncing[:0]
	w.requests <- w.file
}

// endSync takes the result of the sync in flight.
func (w *writer) endSync(err error) error {
	w.inflight = false
	w.gauges.syncs.Add(1)
	if err != nil {
		err = fmt.Errorf("sync segment %s: %w", segmentName(w.segment), err)
		w.unsure = true
		w.fail(err, nil)
		return err
	}
	w.safe = w.mark
	for _, e := range w.syncing {
		w.release(e, nil)
	}
	w.syncing = w.syncing[:0]
	return nil
}

// syncNow brings all that is written to the disk and waits for it. It does not
// sync after a sync that failed: see rewrite.
func (w *writer) syncNow() error {
	if w.inflight {
		if err := w.endSync(<-w.results); err != nil {
			return err
		}
	}
	err := w.file.Sync()
	w.gauges.syncs.Add(1)
	if err != nil {
		w.unsure = true
		return fmt.Errorf("sync segment %s: %w", segmentName(w.segment), err)
	}
	w.unsure = false
	w.safe = w.at
	for _, e := range w.unsynced {
		w.release(e, nil)
	}
	w.unsynced = w.unsynced[:0]
	return nil
}

// runSyncs is the syncer: fsync takes long, and appends that need none must
// not wait for it.
func runSyncs(requests <-chan file, results chan<- error) {
	for f := range requests {
		results <- f.Sync()
	}
}
