package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
)

// rotate ends the segment with a checkpoint, on the disk, before anything
// chains to it from the next one.
func (w *writer) rotate() error {
	l := w.begin()
	l.checkpoint()
	if err := w.put(l); err != nil {
		return err
	}
	if err := w.syncNow(); err != nil {
		return err
	}
	f, err := w.create(w.segment + 1)
	if err != nil {
		return err
	}
	if err := w.file.Close(); err != nil {
		w.logger.LogAttrs(context.Background(), slog.LevelWarn, "audit segment not closed", slog.String("segment", segmentName(w.segment)), slog.Any("error", err))
	}
	w.file, w.segment = f, w.segment+1
	w.at.size = 0
	w.safe = w.at
	return nil
}

// create makes a segment that a crash cannot make disappear.
func (w *writer) create(number int) (file, error) {
	path := filepath.Join(w.dir, segmentName(number))
	f, err := w.open(path, os.O_RDWR|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return nil, fmt.Errorf("make segment %s: %w", segmentName(number), err)
	}
	if err := syncDirectory(w.dir); err != nil {
		return nil, errors.Join(fmt.Errorf("make segment %s: %w", segmentName(number), err), f.Close(), os.Remove(path))
	}
	return f, nil
}
