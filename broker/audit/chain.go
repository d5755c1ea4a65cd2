package audit

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"
)

// maxUnsigned is how many records may follow one another without a
// checkpoint. Verify holds the log to it: otherwise whoever can write the
// files could drop every checkpoint and rewrite all.
const maxUnsigned = 1000

// checkpointDomain begins the signed bytes, so that a signature over anything
// else is never a checkpoint.
const checkpointDomain = "mintmark audit checkpoint v1\n"

const (
	lineStart       = `{"prev":"`
	prevEnd         = `",`
	seqStart        = `"seq":`
	checkpointStart = `"checkpoint":`
	timeStart       = `,"time":"`
)

type digest [sha256.Size]byte

// chain is where a log stands: what its next line must name. The zero chain
// is the start of every log.
type chain struct {
	head     digest // SHA-256 of the last line without its newline
	seq      uint64 // of the last record
	unsigned int    // records since the last checkpoint
}

// Checkpoint is the signed statement that a log's record Seq was its last and
// Head the SHA-256 of its last line. Whoever keeps one can prove later that
// the log was cut back or rewritten.
type Checkpoint struct {
	Seq  uint64    `json:"seq"`
	Time time.Time `json:"time"`
	Head string    `json:"head"`          // lower-case hex
	Sig  string    `json:"sig,omitempty"` // base64, Ed25519 over the seq, time and head
}

// appendRecord appends the line of the record with the given body and moves c
// past it.
func (c *chain) appendRecord(b, stamp, body []byte) []byte {
	start := len(b)
	b = c.appendPrev(b)
	b = append(b, seqStart...)
	b = strconv.AppendUint(b, c.seq+1, 10)
	b = append(b, timeStart...)
	b = append(b, stamp...)
	b = append(b, prevEnd...)
	b = append(b, body...)
	c.seq++
	c.unsigned++
	c.head = sha256.Sum256(b[start:])
	return append(b, '\n')
}

// appendCheckpoint appends a checkpoint of c, signed, and moves c past it.
func (c *chain) appendCheckpoint(b []byte, at time.Time, key ed25519.PrivateKey) []byte {
	point := Checkpoint{Seq: c.seq, Time: at, Head: hex.EncodeToString(c.head[:])}
	point.Sig = base64.StdEncoding.EncodeToString(ed25519.Sign(key, point.message()))
	start := len(b)
	b = point.appendLine(b)
	c.unsigned = 0
	c.head = sha256.Sum256(b[start:])
	return append(b, '\n')
}

func (c *chain) appendPrev(b []byte) []byte {
	b = append(b, lineStart...)
	b = hex.AppendEncode(b, c.head[:])
	return append(b, prevEnd...)
}

// step checks that line may follow c and moves c past it. The checkpoint is
// nil for a record's line.
func (c *chain) step(line []byte, public ed25519.PublicKey) (*Checkpoint, error) {
	rest, err := c.follow(line)
	if err != nil {
		return nil, err
	}
	var point *Checkpoint
	switch {
	case bytes.HasPrefix(rest, []byte(seqStart)):
		err = c.stepRecord(line, rest[len(seqStart):])
	case bytes.HasPrefix(rest, []byte(checkpointStart)):
		point, err = c.stepCheckpoint(line, public)
	default:
		err = errors.New(`got neither "seq" nor "checkpoint" after "prev"`)
	}
	if err != nil {
		return nil, err
	}
	c.head = sha256.Sum256(line)
	return point, nil
}

// follow returns what comes after "prev", which must name c's head.
func (c *chain) follow(line []byte) ([]byte, error) {
	want := c.appendPrev(nil)
	rest, ok := bytes.CutPrefix(line, want)
	if ok {
		return rest, nil
	}
	if !bytes.HasPrefix(line, []byte(lineStart)) || len(line) < len(want) {
		return nil, fmt.Errorf("got %.40q…, want a line that begins with %q and 64 hex digits", line, lineStart)
	}
	return nil, fmt.Errorf("got prev %.8q…, want %.8q…: the line before was altered, or a line was removed, added or moved here",
		line[len(lineStart):], want[len(lineStart):])
}

func (c *chain) stepRecord(line, rest []byte) error {
	digits := rest[:digitCount(rest)]
	seq, err := strconv.ParseUint(string(digits), 10, 64)
	if err != nil || digits[0] == '0' || !bytes.HasPrefix(rest[len(digits):], []byte(timeStart)) {
		return fmt.Errorf("got %.30q after %q, want a record number and its time", rest, seqStart)
	}
	if seq != c.seq+1 {
		return fmt.Errorf("got seq %d, want %d", seq, c.seq+1)
	}
	if !json.Valid(line) {
		return errors.New("got a line that is not JSON")
	}
	if c.unsigned == maxUnsigned {
		return fmt.Errorf("got more than %d records without a checkpoint: checkpoints were removed", maxUnsigned)
	}
	c.seq = seq
	c.unsigned++
	return nil
}

func digitCount(b []byte) int {
	n := 0
	for n < len(b) && n < 20 && '0' <= b[n] && b[n] <= '9' {
		n++
	}
	return n
}

// stepCheckpoint demands the one encoding that appendLine makes: nothing
// chains over the last line of a log, so no byte of it may be free.
func (c *chain) stepCheckpoint(line []byte, public ed25519.PublicKey) (*Checkpoint, error) {
	var got struct {
		Checkpoint Checkpoint `json:"checkpoint"`
		Sig        string     `json:"sig"`
	}
	if err := json.Unmarshal(line, &got); err != nil {
		return nil, fmt.Errorf("read checkpoint: %w", err)
	}
	point := got.Checkpoint
	point.Sig = got.Sig
	if !bytes.Equal(point.appendLine(nil), line) {
		return nil, errors.New("got a checkpoint that is not in the one form a checkpoint has")
	}
	if point.Seq != c.seq {
		return nil, fmt.Errorf("got a checkpoint of seq %d, want %d", point.Seq, c.seq)
	}
	if err := point.verify(public); err != nil {
		return nil, err
	}
	c.unsigned = 0
	return &point, nil
}

// torn reports whether rest, which has no newline, is what a write cut short
// leaves behind: the start of a line that follows c, then maybe the zeros of
// blocks that never reached the disk.
func (c *chain) torn(rest []byte) bool {
	text := bytes.TrimRight(rest, "\x00")
	want := c.appendPrev(nil)
	n := min(len(text), len(want))
	if !bytes.Equal(text[:n], want[:n]) {
		return false
	}
	var value json.RawMessage
	switch err := json.NewDecoder(bytes.NewReader(text)).Decode(&value); {
	case err == nil:
		return len(value) == len(rest) // all there but the newline
	default:
		return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
	}
}

// message returns the bytes that are signed.
func (p *Checkpoint) message() []byte {
	b := append([]byte(nil), checkpointDomain...)
	b = strconv.AppendUint(b, p.Seq, 10)
	b = append(b, '\n')
	b = append(appendTime(b, p.Time), '\n')
	b = append(b, p.Head...)
	return append(b, '\n')
}

// appendLine appends p's line without the newline. A checkpoint's "prev" is
// its own head.
func (p *Checkpoint) appendLine(b []byte) []byte {
	b = append(b, lineStart...)
	b = append(b, p.Head...)
	b = append(b, `","checkpoint":{"seq":`...)
	b = strconv.AppendUint(b, p.Seq, 10)
	b = append(b, timeStart...)
	b = appendTime(b, p.Time)
	b = append(b, `","head":"`...)
	b = append(b, p.Head...)
	b = append(b, `"},"sig":"`...)
	b = append(b, p.Sig...)
	return append(b, `"}`...)
}

func (p *Checkpoint) verify(public ed25519.PublicKey) error {
	sig, err := base64.StdEncoding.Strict().DecodeString(p.Sig)
	if err != nil || !ed25519.Verify(public, p.message(), sig) {
		return fmt.Errorf("got a checkpoint of seq %d whose signature is not by key %s: is that the key of another log?", p.Seq, Fingerprint(public))
	}
	return nil
}

// same reports whether p and q state the same.
func (p *Checkpoint) same(q *Checkpoint) bool {
	return p.Seq == q.Seq && p.Head == q.Head && p.Time.Equal(q.Time)
}
