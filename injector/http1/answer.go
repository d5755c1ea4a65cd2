package http1

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// answer is one answer under way: its head, and its body as an io.ReadCloser.
type answer struct {
	conn     *conn
	ctx      context.Context //nolint:containedctx // of the call, which lasts until the body is closed
	stop     func() bool     // no longer interrupts; false: it has
	writing  chan error      // the end of a long request's writing; nil: it was written at once
	response http.Response

	left    int64 // of the body, or of the chunk; -1: until the connection ends
	chunked bool
	within  bool // a chunk's data came before
	reuse   bool // the connection may serve another call
	done    bool
	err     error // io.EOF after the end
}

// begin reads the head.
func (a *answer) begin(bodyless bool) error {
	h, err := a.conn.in.readHead(a.conn.client.options.MaxHead)
	if err != nil {
		return err
	}
	a.response = http.Response{
		Status: h.reason, StatusCode: h.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: h.header, ContentLength: h.length, Body: a,
	}
	a.reuse = !h.close
	a.delimit(h, bodyless)
	if !a.done && a.left != int64(len(a.conn.in.buffered())) {
		_ = a.conn.net.SetReadDeadline(time.Time{}) // the wait is over: a stream may be silent for long
		if a.ctx.Err() != nil {
			a.conn.interrupt() // which that may have undone
		}
	}
	return nil
}

// delimit sets out where the body ends.
func (a *answer) delimit(h head, bodyless bool) {
	switch {
	case bodyless, h.status < 200, h.status == http.StatusNoContent, h.status == http.StatusNotModified:
		a.end(io.EOF)
	case h.chunked:
		a.chunked = true
	case h.length >= 0:
		if a.left = h.length; a.left == 0 {
			a.end(io.EOF)
		}
	default:
		a.left, a.reuse = -1, false
	}
}

// Read implements io.Reader. It returns what has come, and io.EOF when the body is
// whole.
func (a *answer) Read(p []byte) (int, error) {
	if a.done || len(p) == 0 {
		return 0, a.err
	}
	n, err := a.read(p)
	if err != nil {
		a.end(err)
	}
	return n, a.err
}

// read returns with some of the body or an error, of which io.EOF may come with the
// last of it.
func (a *answer) read(p []byte) (int, error) {
	if a.chunked {
		return a.readChunked(p)
	}
	if a.left < 0 {
		return a.conn.in.read(p)
	}
	n, err := a.conn.in.read(p[:min(int64(len(p)), a.left)])
	if a.left -= int64(n); a.left == 0 {
		return n, io.EOF
	}
	return n, cut(err)
}

func (a *answer) readChunked(p []byte) (int, error) {
	for a.left == 0 {
		if err := a.nextChunk(); err != nil {
			return 0, err
		}
	}
	n, err := a.conn.in.read(p[:min(int64(len(p)), a.left)])
	a.left -= int64(n)
	return n, cut(err)
}

const (
	maxChunkLine = 256
	maxTrailer   = 8 << 10
)

// nextChunk reads the end of the chunk before and the size of the next, and after the
// last one the trailer, which is dropped (RFC 9112, section 7.1). It is called when
// the data of a chunk has been given out, so that an event never waits for it.
func (a *answer) nextChunk() error {
	if a.within {
		if line, err := a.conn.in.line(0); err != nil || len(line) > 0 {
			return cmp.Or(err, errors.New("expected the end of a chunk"))
		}
	}
	line, err := a.conn.in.line(maxChunkLine)
	if err != nil {
		return err
	}
	if a.left, err = chunkSize(line); err != nil || a.left > 0 {
		a.within = true
		return err
	}
	for room := maxTrailer; room > 0; room -= len(line) {
		if line, err = a.conn.in.line(maxTrailer); err != nil {
			return err
		}
		if len(line) == 0 {
			return io.EOF
		}
		if _, _, err := parseLine(string(line)); err != nil {
			return err
		}
	}
	return errTooLong
}

func chunkSize(line []byte) (int64, error) {
	size, digits := int64(0), 0
	for digits < len(line) {
		d, ok := hexDigit(line[digits])
		if !ok {
			break
		}
		if digits++; digits > 15 {
			return 0, errors.New("expected a chunk of at most 15 hex digits")
		}
		size = size<<4 | int64(d)
	}
	rest := bytes.TrimRight(line[digits:], " \t") // old servers pad it
	if digits == 0 || len(rest) > 0 && rest[0] != ';' || !isValue(string(rest)) {
		return 0, errors.New("expected the size of a chunk in hex")
	}
	return size, nil
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

// end notes the end of the body, and gives the connection back where it is as it
// was before the call.
func (a *answer) end(err error) {
	a.done, a.err = true, err
	whole := errors.Is(err, io.EOF)
	if !whole {
		a.err = fmt.Errorf("read an answer over HTTP/1.1: %w", cause(a.ctx, err))
	}
	uninterrupted := a.stop()
	// What came after the answer was not asked for: it would be the next one's.
	if whole && uninterrupted && a.reuse && a.written() == nil && len(a.conn.in.buffered()) == 0 {
		a.conn.client.put(a.conn)
		return
	}
	a.conn.close()
}

// abandon ends a call that came to no answer.
func (a *answer) abandon() {
	a.done = true
	a.stop()
	a.conn.close()
}

var errClosed = errors.New("the answer's body was closed")

// Close implements io.Closer.
func (a *answer) Close() error {
	if !a.done {
		a.end(errClosed)
	}
	return nil
}
