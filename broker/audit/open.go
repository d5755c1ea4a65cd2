package audit

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Open opens the log in o.Directory, or starts one. It continues after the
// last whole line: a line torn by a crash is cut off, and a torn_tail record
// says how long it was; records that no checkpoint covers are kept, and an
// unsigned_tail record says how many. It refuses a log whose newest segments
// do not verify, one signed by another key, and one that is open elsewhere.
func Open(o Options) (*Log, error) { return open(o, openSegment) }

func open(o Options, openSegment func(string, int) (file, error)) (*Log, error) {
	o, err := o.complete()
	if err != nil {
		return nil, err
	}
	if err := prepareDirectory(o.Directory); err != nil {
		return nil, err
	}
	lock, err := lockDirectory(o.Directory)
	if err != nil {
		return nil, err
	}
	o.Before()
	w := newWriter(o, openSegment)
	if err := w.resume(); err != nil {
		if w.file != nil {
			_ = w.file.Close()
		}
		return nil, errors.Join(err, lock.Close())
	}
	return start(o, w, lock), nil
}

func newWriter(o Options, open func(string, int) (file, error)) *writer {
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	return &writer{
		dir:         o.Directory,
		segmentSize: o.SegmentSize,
		clock:       o.Clock,
		logger:      o.Logger,
		open:        open,
		entries:     new(sync.Pool),
		gauges:      new(gauges),
		encoder:     lineWriter{key: o.SigningKey},
		requests:    make(chan file, 1),
		results:     make(chan error, 1),
		timer:       timer,
	}
}

func start(o Options, w *writer, lock *os.File) *Log {
	queue := make(chan *entry, queueLength)
	w.queue = queue
	l := &Log{
		syncAlways: o.SyncAlways,
		logger:     o.Logger,
		lock:       lock,
		writer:     w,
		queue:      queue,
		entries:    w.entries,
		gauges:     w.gauges,
		ended:      make(chan struct{}),
	}
	go func() {
		l.end = errors.Join(w.run(), lock.Close())
		close(l.ended)
	}()
	return l
}

// resume finds where the log ends and makes it ready to be continued.
func (w *writer) resume() error {
	if err := keepPublic(w.dir, public(w.encoder.key)); err != nil {
		return err
	}
	segments, err := listSegments(w.dir)
	if err != nil {
		return err
	}
	if len(segments) == 0 {
		w.segment = 1
		w.file, err = w.create(w.segment)
		return err
	}
	tail, err := readTail(w.dir, segments, public(w.encoder.key))
	if err != nil {
		return err
	}
	w.segment = segments[len(segments)-1]
	w.file, err = w.open(filepath.Join(w.dir, segmentName(w.segment)), os.O_RDWR)
	if err != nil {
		return fmt.Errorf("open segment: %w", err)
	}
	return w.adopt(tail)
}

// readTail verifies the last two segments: the one to continue, and the one it
// chains to.
func readTail(dir string, segments []int, public ed25519.PublicKey) (*walk, error) {
	w := &walk{dir: dir, public: public}
	w.segments = segments[max(0, len(segments)-2):]
	err := w.run(w.segments[0] > 1)
	if _, bad := errors.AsType[*Bad](err); bad {
		return nil, fmt.Errorf("continue log %s: %w: run mintmark audit verify, keep the directory for whoever investigates, and start a new one", dir, err)
	}
	return w, err
}

// adopt continues after the tail.
func (w *writer) adopt(tail *walk) error {
	w.at = place{chain: tail.chain, size: tail.size}
	w.safe = w.at
	w.gauges.seq.Store(w.at.seq)
	if tail.torn > 0 {
		w.ragged = true
		w.owe("torn_tail", int64(tail.torn))
	}
	if w.at.unsigned > 0 {
		w.owe("unsigned_tail", int64(w.at.unsigned))
	}
	if len(w.owed) == 0 {
		return nil
	}
	if err := w.write(nil, true); err != nil {
		return err
	}
	return w.syncNow()
}

func (w *writer) owe(event string, count int64) {
	w.owed = append(w.owed, Record{Kind: Admin, Event: event, Count: count})
	w.logger.LogAttrs(context.Background(), slog.LevelWarn, "audit log was not closed", slog.String("event", event), slog.Int64("count", count))
}
