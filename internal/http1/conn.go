package http1

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"syscall"
	"time"
)

// conn is one connection. It serves one call at a time.
type conn struct {
	client *Client
	net    net.Conn
	raw    syscall.RawConn // nil: it can't be looked at without reading
	look   func(fd uintptr) bool
	open   bool  // look found it so
	heed   heed  // of the end of the call under way
	in     input // what was read and not yet taken
	since  time.Time
}

func newConn(c *Client, nc net.Conn) *conn {
	k := &conn{client: c, net: nc}
	k.heed.open(k.interrupt)
	k.in.from = nc
	if s, ok := nc.(syscall.Conn); ok {
		k.raw, _ = s.SyscallConn()
	}
	k.look = func(fd uintptr) bool {
		k.open = silent(fd)
		return true
	}
	return k
}

// quiet reports whether a kept connection is still open and nothing came on it:
// bytes that no request asked for would be read as the answer to the next.
func (k *conn) quiet() bool {
	if k.raw == nil {
		return true
	}
	k.open = false
	return k.raw.Read(k.look) == nil && k.open
}

// limit sets how long the call may wait.
func (k *conn) limit() {
	var until time.Time
	if wait := k.client.options.Wait; wait > 0 {
		until = time.Now().Add(wait)
	}
	_ = k.net.SetDeadline(until)
}

func (k *conn) close() { _ = k.net.Close() }

// exchange writes a request and reads the head of its answer.
func (k *conn) exchange(ctx context.Context, req *Request) (*http.Response, error) {
	a := &answer{conn: k, ctx: ctx}
	k.heed.begin(ctx)
	err := ctx.Err()
	if err == nil {
		err = k.send(req, a)
	}
	if err == nil {
		err = a.begin(req.Method == http.MethodHead)
	}
	if err != nil {
		a.abandon()
		return nil, fmt.Errorf("call over HTTP/1.1: %w", cause(ctx, err))
	}
	return &a.response, nil
}

// interrupt ends whatever is under way.
func (k *conn) interrupt() { _ = k.net.SetDeadline(time.Unix(1, 0)) }

// cause returns what ended a call that was interrupted, and err for another.
func cause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}
