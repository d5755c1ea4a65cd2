// Package audit is the log: one record for each judged call and each
// credential, written before the credential is used, chained by hash and
// signed at checkpoints, so that whoever holds the files cannot change what
// they say unnoticed.
//
// Append gives out the Receipt without which no credential can be revealed.
// Verify and Query read a log that is open, closed, or left by a process that
// was killed. docs/audit.md describes the format for a stranger's verifier.
package audit

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"mintmark/internal/fault"
)

const (
	defaultSegmentSize = 64 << 20
	queueLength        = 4096
	maxRecycled        = 16 << 10 // bytes of a buffer worth keeping
)

const hintUnwritable = "the audit log cannot be written; nothing is forwarded without its record"

var errClosed = errors.New("the audit log is closed")

// Options says where a log is kept and how.
type Options struct {
	Directory   string             // made with mode 0700 where there is none
	SigningKey  ed25519.PrivateKey // signs checkpoints; LoadOrCreateKey makes one
	SegmentSize int64              // bytes after which a segment ends; 0 is 64 MiB
	SyncAlways  bool               // Append waits for the disk for every kind of record
	Clock       func() time.Time   // for the records' time; nil is time.Now
	Logger      *slog.Logger       // what goes wrong with the log itself; nil discards
	// Before is called once no other process has the log open, and before anything is
	// written: what is in it then is all that the process before left. Nil: nobody looks.
	Before func()
}

func (o Options) complete() (Options, error) {
	if o.Directory == "" {
		return o, errors.New("open log: got no directory")
	}
	if len(o.SigningKey) != ed25519.PrivateKeySize {
		return o, fmt.Errorf("open log: got a signing key of %d bytes, want an Ed25519 key of %d", len(o.SigningKey), ed25519.PrivateKeySize)
	}
	if o.SegmentSize < 0 {
		return o, fmt.Errorf("open log: got segment size %d, want 0 or more", o.SegmentSize)
	}
	if o.SegmentSize == 0 {
		o.SegmentSize = defaultSegmentSize
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Before == nil {
		o.Before = func() {}
	}
	return o, nil
}

// Log is an open log. It is safe for concurrent use. Whoever opened it closes
// it; a process that dies instead loses nothing that Append returned for.
type Log struct {
	syncAlways bool
	logger     *slog.Logger
	lock       *os.File
	writer     *writer
	queue      chan *entry
	entries    *sync.Pool
	gauges     *gauges
	ended      chan struct{} // closed when the writer has ended

	sending sync.RWMutex // held for reading around sends, so that Close can end them
	closed  bool
	end     error // the writer's last word, set before ended is closed
}

// gauges is what the writer shows of itself.
type gauges struct {
	failure                             atomic.Pointer[error]
	lost                                atomic.Int64 // records that no log_gap counts yet
	records, checkpoints, syncs, refuse atomic.Uint64
	seq, bytes                          atomic.Uint64
}

// Stats counts what a log has done since Open.
type Stats struct {
	Records     uint64 // records written
	Refused     uint64 // records that could not be written
	Checkpoints uint64
	Syncs       uint64
	Bytes       uint64
	Seq         uint64 // number of the log's last record, of all time
}

// entry is one thing for the writer to do: write a record or, with no body,
// flush.
type entry struct {
	body    []byte
	durable bool // done only after fsync
	noted   bool // nobody waits
	done    chan error
	seq     uint64    // set before done
	time    time.Time // set before done
}

// Append writes rec and returns once it is with the kernel, where no kill of
// this process can take it back; for Issuance and Admin records, and with
// SyncAlways for all, once it is on the disk. It sets rec.Seq and rec.Time.
// The Receipt is good for rec.Credential when rec is a Decision that allows,
// and zero otherwise.
//
// On error there is no receipt, and the error is a *fault.Error of kind
// Unavailable. When ctx ends first, the error wraps ctx's, and the record may
// be written all the same: the log then holds a decision that led to nothing. One
// caller at a time writes itself, and waits for the kernel whatever ctx says.
func (l *Log) Append(ctx context.Context, rec *Record) (Receipt, error) {
	if err := check(rec); err != nil {
		return Receipt{}, fault.Wrap("record", fault.Internal, "", err)
	}
	e := l.entry(rec)
	if err := l.do(ctx, e, l.append); err != nil {
		return Receipt{}, err
	}
	rec.Seq, rec.Time = e.seq, e.time
	recycle(l.entries, e)
	return receiptFor(rec), nil
}

// Note writes rec after all that was appended before, without waiting for it:
// for Outcome records alone, and what is followed by another. It is with the kernel when the next record is, or within
// milliseconds. It blocks only while the queue is full. A record that
// cannot be written is counted in the next log_gap record.
func (l *Log) Note(rec *Record) {
	if err := check(rec); err != nil {
		l.drop(err)
		return
	}
	e := l.entry(rec)
	e.noted = true
	if err := l.send(context.Background(), e, l.note); err != nil {
		l.drop(err)
	}
}

// Write writes rec and returns once it is with the kernel, where no kill of this process
// can take it back; unlike Append it does not wait for the disk, whatever its kind, nor
// for anybody's leave. It is for what is rare and leads to nothing by itself. A record
// that cannot be written is counted in the next log_gap record.
func (l *Log) Write(rec *Record) {
	if err := check(rec); err != nil {
		l.drop(err)
		return
	}
	e := l.entry(rec)
	e.durable = false
	if err := l.send(context.Background(), e, l.append); err != nil {
		l.drop(err)
		return
	}
	if err := <-e.done; err != nil { // whoever says so has counted it
		l.dropped(err)
		return
	}
	recycle(l.entries, e)
}

func (l *Log) drop(err error) {
	l.gauges.lost.Add(1)
	l.gauges.refuse.Add(1)
	l.dropped(err)
}

func (l *Log) dropped(err error) {
	l.logger.LogAttrs(context.Background(), slog.LevelError, "audit record dropped", slog.Any("error", err))
}

// Flush writes all that was appended and noted before it, signs a checkpoint
// over it and returns when that is on the disk.
func (l *Log) Flush(ctx context.Context) error {
	// By the queue, since what was noted while another wrote may be in it.
	byQueue := func(*entry) bool { return false }
	return l.do(ctx, &entry{durable: true, done: make(chan error, 1)}, byQueue)
}

// Close writes what is queued, a last checkpoint, waits for the disk and gives
// up the directory. Further calls return what the first did.
func (l *Log) Close() error {
	l.sending.Lock()
	if !l.closed {
		l.closed = true
		close(l.queue)
	}
	l.sending.Unlock()
	<-l.ended
	return l.end
}

// Err returns why the log cannot be written, or nil. A failed log tries again
// with each record, and once a second without one.
func (l *Log) Err() error {
	if err := l.gauges.failure.Load(); err != nil {
		return *err
	}
	return nil
}

// Stats returns what the log has done so far.
func (l *Log) Stats() Stats {
	g := l.gauges
	return Stats{
		Records:     g.records.Load(),
		Refused:     g.refuse.Load(),
		Checkpoints: g.checkpoints.Load(),
		Syncs:       g.syncs.Load(),
		Bytes:       g.bytes.Load(),
		Seq:         g.seq.Load(),
	}
}

// do sends e and waits for it. An entry given up is left to the writer.
func (l *Log) do(ctx context.Context, e *entry, shortcut func(*entry) bool) error {
	err := l.send(ctx, e, shortcut)
	if err == nil {
		err = e.wait(ctx)
	}
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		return fault.Wrap("record", fault.Unavailable, "the call ended before its record was confirmed; the record may still be written", err)
	}
	return fault.Wrap("record", fault.Unavailable, hintUnwritable, err)
}

// wait returns how the writing of e ended. Most often it has: what ctx needs to be
// waited for is made then for nobody.
func (e *entry) wait(ctx context.Context) error {
	select {
	case err := <-e.done:
		return err
	default:
	}
	select {
	case err := <-e.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// send has e written at once, if shortcut does that, or by the writer.
func (l *Log) send(ctx context.Context, e *entry, shortcut func(*entry) bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	l.sending.RLock()
	defer l.sending.RUnlock()
	if l.closed {
		return errClosed
	}
	if shortcut(e) {
		return nil
	}
	select {
	case l.queue <- e:
		return nil
	default:
	}
	select {
	case l.queue <- e:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *Log) entry(rec *Record) *entry {
	e, ok := l.entries.Get().(*entry)
	if !ok {
		e = &entry{body: make([]byte, 0, 1024), done: make(chan error, 1)}
	}
	e.body = appendBody(e.body[:0], rec)
	e.noted = false
	e.durable = l.syncAlways || rec.Kind == Issuance || rec.Kind == Admin
	return e
}

func recycle(pool *sync.Pool, e *entry) {
	if cap(e.body) <= maxRecycled {
		pool.Put(e)
	}
}

// check refuses what would make the record say something else than the caller
// meant: the credential's id is what the receipt is bound to.
func check(rec *Record) error {
	if rec == nil || !rec.Kind.Known() {
		return errors.New("append record: got a record of no known kind")
	}
	if got := cut(rec.Credential); got != rec.Credential {
		return fmt.Errorf("append record: got a credential id of %d bytes, want at most %d", len(rec.Credential), maxField)
	}
	return nil
}
