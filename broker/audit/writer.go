package audit

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"
)

const (
	syncEvery       = 10 * time.Millisecond
	checkpointEvery = time.Second
	retryEvery      = time.Second
	maxBatch        = 1024    // entries of one write
	maxBatchBytes   = 1 << 20 // bytes of bodies after which a batch takes no more
	// So many records that nobody waits for are kept for one write, for so long.
	maxNoted  = 64
	noteEvery = 5 * time.Millisecond
)

// place is a point of the log in the segment that is being written.
type place struct {
	chain
	size int64
}

// writer owns the segment and all that is known of it. Its goroutine writes what is
// queued, so that everything queued while a write runs shares the next one; a caller
// that finds it idle writes its own record, see inline. Only fsync runs beside them.
type writer struct {
	mu sync.Mutex // held by whoever writes, and guards all below but the channels

	dir         string
	segmentSize int64
	clock       func() time.Time
	logger      *slog.Logger
	open        func(path string, flag int) (file, error)
	queue       <-chan *entry
	entries     *sync.Pool
	gauges      *gauges

	file    file
	segment int
	at      place    // all before it is written
	safe    place    // all before it is on the disk
	ragged  bool     // a failed write may have left bytes after at
	unsure  bool     // a failed fsync may have lost bytes between safe and at
	owed    []Record // to be written before anything else
	batch   []*entry
	noted   []*entry // to be written with the next batch
	noteBy  time.Time
	encoder lineWriter

	requests chan file  // to the syncer
	results  chan error // from it
	inflight bool
	mark     place    // what the sync in flight covers
	syncing  []*entry // waiting for the sync in flight
	unsynced []*entry // waiting for the one after it

	syncedAt time.Time // when the last sync began
	signBy   time.Time // when the next checkpoint is due
	retryAt  time.Time
	timer    *time.Timer
	armed    time.Time // when timer fires, or zero
}

// run works until the queue is closed and returns what could not be saved.
func (w *writer) run() error {
	go runSyncs(w.requests, w.results)
	defer close(w.requests)
	defer w.timer.Stop()
	for {
		select {
		case e, open := <-w.queue:
			if !open {
				return w.finish()
			}
			w.serve(e)
		case err := <-w.results:
			w.synced(err)
		case now := <-w.timer.C:
			w.wake(now)
		}
	}
}

func (w *writer) serve(e *entry) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.commit(w.gather(e), false)
	w.schedule()
}

func (w *writer) synced(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	_ = w.endSync(err) // fail has it
	w.schedule()
}

// gather returns what was noted, e, and what else is queued by now.
func (w *writer) gather(e *entry) []*entry {
	w.batch = append(w.takeNoted(), e)
	for bytes := len(e.body); len(w.batch) < maxBatch && bytes < maxBatchBytes; {
		select {
		case e, open := <-w.queue:
			if !open {
				return w.batch
			}
			w.batch = append(w.batch, e)
			bytes += len(e.body)
		default:
			return w.batch
		}
	}
	return w.batch
}

// commit writes the batch and lets go whoever waits for it, but for those who
// wait for the disk too. With sign, a checkpoint ends it.
func (w *writer) commit(batch []*entry, sign bool) {
	if err := w.write(batch, sign); err != nil {
		w.fail(err, batch)
		return
	}
	w.recover()
	for _, e := range batch {
		switch {
		case e.durable && !e.noted:
			w.unsynced = append(w.unsynced, e)
		default:
			w.release(e, nil)
		}
	}
}

func (w *writer) release(e *entry, err error) {
	if e.noted {
		recycle(w.entries, e)
		return
	}
	e.done <- err
}

// write puts the batch at the end of the log, whole or not at all.
func (w *writer) write(batch []*entry, sign bool) error {
	if err := w.mend(); err != nil {
		return err
	}
	if w.at.size >= w.segmentSize && len(batch) > 0 {
		if err := w.rotate(); err != nil {
			return err
		}
	}
	gap := w.gauges.lost.Load()
	l := w.begin()
	w.encode(l, batch, gap)
	if sign || w.at.size+int64(len(l.b)) >= w.segmentSize || w.signDue(time.Now()) {
		l.checkpoint()
	}
	if err := w.put(l); err != nil {
		return err
	}
	w.gauges.lost.Add(-gap)
	w.owed = nil
	return nil
}

// encode appends what is owed, the gap if there is one, and the batch.
func (w *writer) encode(l *lineWriter, batch []*entry, gap int64) {
	for i := range w.owed {
		l.record(appendBody(nil, &w.owed[i]))
	}
	if gap > 0 {
		l.record(appendBody(nil, &Record{Kind: Admin, Event: "log_gap", Count: gap}))
	}
	for _, e := range batch {
		if e.body == nil {
			l.checkpoint()
			continue
		}
		l.record(e.body)
		e.seq, e.time = l.seq, l.now
	}
}

// lineWriter encodes a batch onto a copy of the chain, so that a failed write
// leaves the log's own where it was.
type lineWriter struct {
	chain
	b           []byte
	now         time.Time
	stamp       []byte // now, encoded
	key         ed25519.PrivateKey
	checkpoints uint64
}

// begin returns the lineWriter that continues the log, with nothing in it.
func (w *writer) begin() *lineWriter {
	l := &w.encoder
	l.chain, l.b, l.checkpoints = w.at.chain, l.b[:0], 0
	l.now = w.clock().UTC().Round(0)
	l.stamp = appendTime(l.stamp[:0], l.now)
	return l
}

func (l *lineWriter) record(body []byte) {
	l.b = l.appendRecord(l.b, l.stamp, body)
	if l.unsigned == maxUnsigned {
		l.checkpoint()
	}
}

func (l *lineWriter) checkpoint() {
	if l.unsigned > 0 {
		l.b = l.appendCheckpoint(l.b, l.now, l.key)
		l.checkpoints++
	}
}

// put writes l at the end of the segment. What a failed write left there is
// cut off at once or, failing that, before the next write.
func (w *writer) put(l *lineWriter) error {
	if len(l.b) == 0 {
		return nil
	}
	n, err := w.file.WriteAt(l.b, w.at.size)
	if err == nil && n < len(l.b) {
		err = io.ErrShortWrite
	}
	if err != nil {
		w.ragged = true
		return errors.Join(fmt.Errorf("write segment %s: %w", segmentName(w.segment), err), w.cutBack())
	}
	w.advance(l)
	return nil
}

func (w *writer) advance(l *lineWriter) {
	if w.at.unsigned == 0 || l.checkpoints > 0 {
		w.signBy = time.Now().Add(checkpointEvery)
	}
	w.gauges.records.Add(l.seq - w.at.seq)
	w.gauges.bytes.Add(uint64(len(l.b)))
	w.gauges.checkpoints.Add(l.checkpoints)
	w.gauges.seq.Store(l.seq)
	w.at = place{chain: l.chain, size: w.at.size + int64(len(l.b))}
}

func (w *writer) signDue(now time.Time) bool {
	return w.at.unsigned > 0 && !now.Before(w.signBy)
}

// finish writes the last checkpoint and lets go of everything.
func (w *writer) finish() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.commit(w.takeNoted(), true)
	err := w.unsaved()
	if !w.unsure {
		if syncErr := w.syncNow(); syncErr != nil {
			w.fail(syncErr, nil)
			err = errors.Join(err, syncErr)
		}
	}
	return errors.Join(err, w.file.Close())
}

// unsaved returns what a log that is being closed has not written.
func (w *writer) unsaved() error {
	failure := w.gauges.failure.Load()
	if failure == nil {
		return nil
	}
	return fmt.Errorf("close log: %d records are not in it: %w", w.gauges.lost.Load(), *failure)
}
