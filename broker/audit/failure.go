package audit

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"time"
)

// fail refuses the batch, and whoever still waits for the disk if that is what
// failed, and leaves the log failed until a write succeeds.
func (w *writer) fail(err error, batch []*entry) {
	if !w.failed() {
		w.logger.LogAttrs(context.Background(), slog.LevelError, "audit log failed; calls are refused", slog.Any("error", err))
	}
	w.retryAt = time.Now().Add(retryEvery)
	w.gauges.failure.Store(&err) // before anyone refused can ask Err
	w.refuse(err, batch)
	if w.unsure {
		w.refuse(err, w.syncing)
		w.refuse(err, w.unsynced)
		w.syncing, w.unsynced = w.syncing[:0], w.unsynced[:0]
	}
}

func (w *writer) refuse(err error, batch []*entry) {
	for _, e := range batch {
		if e.body != nil {
			w.gauges.lost.Add(1)
			w.gauges.refuse.Add(1)
		}
		w.release(e, err)
	}
}

// recover ends the failed state after a write that succeeded.
func (w *writer) recover() {
	if w.failed() {
		w.gauges.failure.Store(nil)
		w.logger.LogAttrs(context.Background(), slog.LevelInfo, "audit log written again", slog.Uint64("seq", w.at.seq))
	}
}

// mend undoes what a failure left behind. It does nothing on a sound log.
func (w *writer) mend() error {
	if err := w.cutBack(); err != nil {
		return err
	}
	if !w.unsure {
		return nil
	}
	if err := w.rewrite(); err != nil {
		return err
	}
	return w.syncNow()
}

// cutBack removes what a failed write left after the last whole line, so that
// no torn line ever stands in the middle of the log.
func (w *writer) cutBack() error {
	if !w.ragged {
		return nil
	}
	if err := w.file.Truncate(w.at.size); err != nil {
		return fmt.Errorf("cut segment %s back to its last whole line: %w", segmentName(w.segment), err)
	}
	w.ragged = false
	return nil
}

// rewrite writes again what was not on the disk when fsync failed: the kernel
// may count those pages as clean now, and a second fsync would succeed without
// writing them. They are checked first, since it may also have dropped them.
func (w *writer) rewrite() error {
	unsure := make([]byte, w.at.size-w.safe.size)
	if _, err := w.file.ReadAt(unsure, w.safe.size); err != nil {
		return fmt.Errorf("read back segment %s: %w", segmentName(w.segment), err)
	}
	if !w.follows(unsure) {
		return fmt.Errorf("read back segment %s: records are not what was written: run mintmark audit verify", segmentName(w.segment))
	}
	if _, err := w.file.WriteAt(unsure, w.safe.size); err != nil {
		return fmt.Errorf("write segment %s again: %w", segmentName(w.segment), err)
	}
	return nil
}

// follows reports whether text leads from safe to at.
func (w *writer) follows(text []byte) bool {
	c := w.safe.chain
	for line := range bytes.Lines(text) {
		if _, err := c.step(bytes.TrimSuffix(line, []byte{'\n'}), public(w.encoder.key)); err != nil {
			return false
		}
	}
	return c == w.at.chain
}
