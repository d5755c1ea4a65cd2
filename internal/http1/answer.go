package http1

import (
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
	writing  chan error      // how the writing of the rest of a long request ended, once; nil: there was none
	response http.Response

	body  body
	reuse bool // the connection may serve another call
	done  bool
	err   error // io.EOF after the end
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
	if !a.done && (a.body.chunked || a.body.left != int64(len(a.conn.in.buffered()))) {
		_ = a.conn.net.SetReadDeadline(time.Time{}) // the wait is over: a stream may be silent for long
		if a.ctx.Err() != nil {
			a.conn.interrupt() // which that may have undone
			a.reuse = false
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
		a.body.chunked = true
	case h.length >= 0:
		if a.body.left = h.length; a.body.left == 0 {
			a.end(io.EOF)
		}
	default:
		a.body.left, a.reuse = -1, false
	}
}

// Read implements io.Reader. It returns what has come, and io.EOF when the body is
// whole.
func (a *answer) Read(p []byte) (int, error) {
	if a.done || len(p) == 0 {
		return 0, a.err
	}
	n, err := a.body.read(&a.conn.in, p)
	if err != nil {
		a.end(err)
	}
	return n, a.err
}

// end notes the end of the body, and gives the connection back where it is as it
// was before the call.
func (a *answer) end(err error) {
	a.done, a.err = true, err
	whole := errors.Is(err, io.EOF)
	if !whole {
		a.err = fmt.Errorf("read an answer over HTTP/1.1: %w", cause(a.ctx, err))
	}
	uninterrupted := a.conn.heed.end()
	// What came after the answer was not asked for: it would be the next one's.
	if whole && uninterrupted && a.reuse && a.written() == nil && len(a.conn.in.buffered()) == 0 {
		a.conn.client.put(a.conn)
		return
	}
	a.close()
}

// abandon ends a call that came to no answer.
func (a *answer) abandon() {
	a.done = true
	a.conn.heed.end()
	a.close()
}

var errClosed = errors.New("the answer's body was closed")

// Close implements io.Closer.
func (a *answer) Close() error {
	if !a.done {
		a.end(errClosed)
	}
	return nil
}
