package http1

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"syscall"
	"time"
)

// inOne is the longest body that is written together with its head, and by the
// goroutine that asks: what the system takes at once, so that an answer before the
// end of the request can't leave both sides waiting.
const inOne = 32 << 10

// conn is one connection. It serves one call at a time.
type conn struct {
	client *Client
	net    net.Conn
	raw    syscall.RawConn // nil: it can't be looked at without reading
	look   func(fd uintptr) bool
	open   bool   // look found it so
	cut    func() // interrupt, made once
	in     input  // what was read and not yet taken
	since  time.Time
}

func newConn(c *Client, nc net.Conn) *conn {
	k := &conn{client: c, net: nc}
	k.cut = k.interrupt
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
	a.stop = context.AfterFunc(ctx, k.cut)
	err := k.send(req, a)
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

// send writes req: whole, or its head and the beginning of a long body, with the
// rest written meanwhile.
func (k *conn) send(req *Request, a *answer) error {
	pooled := k.client.writers.Get().(*[]byte)
	b := req.appendHead((*pooled)[:0])
	rest := req.Body
	if len(rest) <= inOne {
		b = append(b, rest...)
		rest = nil
	}
	_, err := k.net.Write(b)
	clear(b) // it holds a credential
	if cap(b) <= 2*inOne {
		*pooled = b[:0]
		k.client.writers.Put(pooled)
	}
	if err == nil && rest != nil {
		a.writing = make(chan error, 1)
		go func() {
			_, err := k.net.Write(rest)
			a.writing <- err
		}()
	}
	return err
}

var errEarly = errors.New("the server answered before it had the whole request")

// written returns nil when the whole request has been written.
func (a *answer) written() error {
	if a.writing == nil {
		return nil
	}
	select {
	case err := <-a.writing:
		return err
	default:
		return errEarly
	}
}
