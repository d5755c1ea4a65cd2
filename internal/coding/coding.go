// Package coding undoes the content codings of an answer (RFC 9110, section 8.4.1):
// gzip, deflate, br and zstd. It reads as a stream, gives out what a sender flushed
// without waiting for more, and keeps no goroutine. What is cut short, followed by
// anything, or decodes to far more than it is, ends in an error.
package coding

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
)

// most is how many codings there may be, one within the other.
const most = 2

// The bounds of what a body may decode to. Text that people write comes to 20 bytes
// for each that came, and to 200 where it says one thing over and over.
const (
	Free  = 1 << 20 // bytes, of any body
	Ratio = 200     // more for each byte that came
)

// Parse returns the codings that the values of Content-Encoding name, in the order
// in which they were applied, without identity, which does nothing, and aws-chunked,
// which is of uploads alone: some servers (Ceph 16) name it with the object that they
// have unpacked. It refuses one that can't be undone here, and more than two.
func Parse(values []string) ([]string, error) {
	var names []string
	for _, value := range values {
		for name := range strings.SplitSeq(value, ",") {
			switch name = strings.ToLower(strings.Trim(name, " \t")); name {
			case "", "identity", "aws-chunked":
				continue
			case "x-gzip": // the same (RFC 9110, section 8.4.1.3)
				name = "gzip"
			case "gzip", "deflate", "br", "zstd":
			default:
				return nil, fmt.Errorf("expected the codings gzip, deflate, br or zstd, got %.32q", name)
			}
			if len(names) == most {
				return nil, fmt.Errorf("expected at most %d codings, one within the other, got more", most)
			}
			names = append(names, name)
		}
	}
	return names, nil
}

// Error is why a body could not be decoded. Its text quotes nothing of the body.
type Error struct {
	Coding string // the one that was being undone
	Reason string // what is wrong, in our own words
	Err    error  // what the decoder said, or nil
}

// Error implements error.
func (e *Error) Error() string {
	if e.Err != nil {
		return e.Coding + ": " + e.Reason + ": " + e.Err.Error()
	}
	return e.Coding + ": " + e.Reason
}

// Unwrap returns what the decoder said.
func (e *Error) Unwrap() error { return e.Err }

// Reader reads a body without its codings. It is not safe for concurrent use, but
// Close is.
type Reader struct {
	raw   source
	out   io.Reader
	body  io.Closer
	share share
	err   error
}

// NewReader returns a Reader of body with the codings that Parse returned, whose
// decoders take what they hold of room. It reads nothing yet. An empty body is an empty
// one in any coding, as servers send it. Whoever asked for the Reader closes it.
func NewReader(body io.ReadCloser, codings []string, room *Room) *Reader {
	r := &Reader{raw: source{Reader: body}, body: body, share: share{of: room}}
	r.out = &r.raw
	for i := len(codings) - 1; i >= 0; i-- { // the last applied is the first to undo
		r.out = &stage{coding: codings[i], raw: &r.raw, share: &r.share, in: bufio.NewReader(r.out)}
	}
	return r
}

// Read implements io.Reader. An error is that of the body, as it came, or an *Error.
func (r *Reader) Read(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	n, err := r.out.Read(p)
	if err != nil && !errors.Is(err, io.EOF) && r.raw.err != nil {
		err = r.raw.err // of which a decoder made another
	}
	if r.err = err; err != nil {
		r.out = nil // what the decoders hold is not wanted any more
		r.share.end()
	}
	return n, err
}

// Close closes the body.
func (r *Reader) Close() error {
	r.share.end()
	return r.body.Close()
}

// source is a body, and how much of it was read.
type source struct {
	io.Reader
	read int64
	err  error // that is not its end
}

// Read implements io.Reader.
func (s *source) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	s.read += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}
