package audit

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Report is what Verify found.
type Report struct {
	Records     uint64      `json:"records"`
	Segments    int         `json:"segments"`
	Checkpoints uint64      `json:"checkpoints"`
	OK          bool        `json:"ok"`
	FirstBad    *Bad        `json:"first_bad"`
	Unsigned    int         `json:"unsigned_tail"` // records after the last checkpoint: chained, not signed
	Torn        int         `json:"torn_tail"`     // bytes of a line cut short at the very end: not a failure
	Key         string      `json:"key"`           // fingerprint of the key it was verified with
	KeyFrom     string      `json:"key_from"`      // "given", or "log.pub": then the log vouches for itself
	Head        *Checkpoint `json:"head"`          // the last checkpoint: keep it, and pass it next time
}

// Bad is the first place at which a log is not what was written.
type Bad struct {
	Segment string `json:"segment"`
	Line    int    `json:"line"` // from 1; 0 is the segment as a whole
	Seq     uint64 `json:"seq"`  // of the record that should stand here
	Why     string `json:"why"`
}

// Error joins the place and the reason.
func (b *Bad) Error() string { return fmt.Sprintf("%s:%d: %s", b.Segment, b.Line, b.Why) }

// VerifyOptions says what a log is held against.
type VerifyOptions struct {
	Public ed25519.PublicKey // nil: the log's own log.pub
	Head   *Checkpoint       // kept from an earlier Report: must be in the log
	Since  *Checkpoint       // the segments up to this checkpoint are archived: the log starts right after it
}

// Verify checks every line of the log in dir against public, or against the
// directory's own log.pub when public is nil, which Report.KeyFrom says: that
// proves no more than that the files agree with one another.
//
// Report.OK tells an intact log; an error means that it could not be read. A
// log that is being written may be verified.
func Verify(dir string, public ed25519.PublicKey) (Report, error) {
	return VerifyWith(dir, VerifyOptions{Public: public})
}

// VerifyWith is Verify with checkpoints that were kept elsewhere: they prove
// what a log alone cannot, that nothing was cut off its end.
func VerifyWith(dir string, o VerifyOptions) (Report, error) {
	w, from, err := newWalk(dir, o)
	if err != nil {
		return Report{}, err
	}
	err = w.run(false)
	bad, isBad := errors.AsType[*Bad](err)
	if err != nil && !isBad {
		return Report{}, err
	}
	if bad == nil {
		bad = w.missingPin()
	}
	return Report{
		Records:     w.records,
		Segments:    len(w.segments),
		Checkpoints: w.checkpoints,
		OK:          bad == nil,
		FirstBad:    bad,
		Unsigned:    w.chain.unsigned,
		Torn:        w.torn,
		Key:         Fingerprint(w.public),
		KeyFrom:     from,
		Head:        w.last,
	}, nil
}

func newWalk(dir string, o VerifyOptions) (w *walk, from string, err error) {
	w = &walk{dir: dir, public: o.Public, pin: o.Head}
	from = "given"
	if o.Public == nil {
		from = publicName
		if w.public, err = loadPublic(dir); err != nil {
			return nil, "", fmt.Errorf("%w: give --key with a copy of it that was kept elsewhere, or restore it from a backup", err)
		}
	}
	if len(w.public) != ed25519.PublicKeySize {
		return nil, "", fmt.Errorf("verify log: got a public key of %d bytes, want an Ed25519 key of %d", len(w.public), ed25519.PublicKeySize)
	}
	for _, kept := range []*Checkpoint{o.Head, o.Since} {
		if kept == nil {
			continue
		}
		if err := kept.verify(w.public); err != nil {
			return nil, "", fmt.Errorf("read kept checkpoint: %w", err)
		}
	}
	if o.Since != nil {
		w.since = true
		w.chain = chain{head: sha256.Sum256(o.Since.appendLine(nil)), seq: o.Since.Seq}
	}
	w.segments, err = listSegments(dir)
	return w, from, err
}

// walk goes through segments line by line.
type walk struct {
	dir      string
	public   ed25519.PublicKey
	segments []int
	since    bool        // the log does not start with segment 1
	pin      *Checkpoint // to be found on the way, or nil

	chain       chain
	records     uint64
	checkpoints uint64
	last        *Checkpoint
	pinned      bool  // pin was found
	size        int64 // bytes of the last segment's whole lines
	torn        int   // bytes after them
}

// run checks all segments. The error is a *Bad for a log that is not what was
// written. With adopt, the first line is believed about what it follows.
func (w *walk) run(adopt bool) error {
	if len(w.segments) == 0 {
		return &Bad{Why: "got no segment: there is no log here, or all of it was removed"}
	}
	first := w.segments[0]
	if first != 1 && !adopt && !w.since {
		return w.missing(1)
	}
	for i, number := range w.segments {
		if number != first+i {
			return w.missing(first + i)
		}
		if err := w.segment(number, adopt && i == 0, i == len(w.segments)-1); err != nil {
			return err
		}
	}
	if adopt && w.chain == (chain{}) {
		return &Bad{Segment: segmentName(first), Why: "got no line in it or after it: lines were removed"}
	}
	return nil
}

func (w *walk) missing(number int) error {
	return &Bad{Segment: segmentName(number), Seq: w.chain.seq + 1, Why: "segment is missing"}
}

func (w *walk) segment(number int, adopt, last bool) error {
	f, err := openRegular(filepath.Join(w.dir, segmentName(number)), os.O_RDONLY)
	if err != nil {
		return fmt.Errorf("open segment: %w", err)
	}
	defer f.Close()
	r := newLines(f)
	for {
		line, err := r.next()
		switch {
		case errors.Is(err, io.EOF):
			err = w.endSegment(r, line, last)
		case errors.Is(err, errLongLine):
		case err != nil:
			return fmt.Errorf("read segment %s: %w", segmentName(number), err)
		default:
			if adopt && r.line == 1 {
				w.chain.adopt(line)
			}
			if err = w.line(line); err == nil {
				continue
			}
		}
		if err == nil {
			return nil
		}
		return &Bad{Segment: segmentName(number), Line: r.line, Seq: w.chain.seq + 1, Why: err.Error()}
	}
}

func (w *walk) line(line []byte) error {
	point, err := w.chain.step(line, w.public)
	switch {
	case err != nil:
		return err
	case point == nil:
		w.records++
	default:
		w.checkpoints++
		w.last = point
		w.pinned = w.pinned || w.pin != nil && point.same(w.pin)
	}
	return nil
}

// endSegment checks what follows the last newline of a segment and, of one
// that another follows, that it ends with a checkpoint.
func (w *walk) endSegment(r *lines, rest []byte, last bool) error {
	w.size, w.torn = r.size, len(rest)
	switch {
	case len(rest) > 0 && !last:
		return errors.New("got a line without its end, want that only in the last segment")
	case len(rest) > 0 && !w.chain.torn(rest):
		return errors.New("got bytes after the last line that are not the start of the next one")
	case w.chain.unsigned > 0 && !last:
		return errors.New("got a segment that does not end with a checkpoint: its end was removed")
	}
	return nil
}

// missingPin returns why the checkpoint that was kept is not in the log.
func (w *walk) missingPin() *Bad {
	if w.pin == nil || w.pinned {
		return nil
	}
	return &Bad{
		Segment: segmentName(w.segments[len(w.segments)-1]),
		Seq:     w.chain.seq + 1,
		Why:     fmt.Sprintf("the kept checkpoint of seq %d is not in the log: it was cut back or replaced", w.pin.Seq),
	}
}

// adopt makes c the place that line says it follows. Malformed lines leave c
// as it is, for step to refuse.
func (c *chain) adopt(line []byte) {
	var first struct {
		Prev       string      `json:"prev"`
		Seq        uint64      `json:"seq"`
		Checkpoint *Checkpoint `json:"checkpoint"`
	}
	if unmarshal(line, &first) != nil || hex.DecodedLen(len(first.Prev)) != len(c.head) {
		return
	}
	if _, err := hex.Decode(c.head[:], []byte(first.Prev)); err != nil {
		return
	}
	switch {
	case first.Checkpoint != nil:
		c.seq = first.Checkpoint.Seq
	case first.Seq > 0:
		c.seq = first.Seq - 1
	}
}
