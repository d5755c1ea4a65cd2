// Package http1 serves HTTP/1.1 (RFC 9112), and sends requests to one server over kept
// connections. A message is written and its answer read by one goroutine, so that no
// call waits for another to be woken. It reads what the other side may send in one way
// only: where servers and proxies are known to differ, the message is refused and the
// connection closed.
package http1

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"
)

// Options is how a Client reaches its server.
type Options struct {
	// Dial makes a connection. Its error is returned as it is. Required.
	Dial func(ctx context.Context) (net.Conn, error)
	// Wait bounds the time from the first byte that is written to the end of the
	// answer's head; 0: no bound.
	Wait time.Duration
	// MaxHead is the longest head of an answer, in bytes. Required.
	MaxHead int
	// MaxIdle is how many connections are kept, and Idle for how long.
	MaxIdle int
	Idle    time.Duration
}

// Client sends requests to one server. It is safe for concurrent use.
type Client struct {
	options Options
	writers sync.Pool // of *[]byte, heads and short bodies under way

	life context.Context // of connections that Ready makes: until Close
	end  context.CancelFunc

	mu       sync.Mutex
	idle     []*conn // the one that was used last is last
	readying bool    // Ready makes one
	prune    *time.Timer
	closed   bool
}

// New returns a Client. It makes no connection.
func New(o Options) *Client {
	c := &Client{options: o}
	c.life, c.end = context.WithCancel(context.Background())
	c.writers.New = func() any {
		b := make([]byte, 0, 4<<10)
		return &b
	}
	return c
}

// Request is what is sent, and asks for no content coding unless Header does. Header
// holds neither Host nor what says how the body is delimited. Body is not changed and
// may be read until the answer's body is closed.
type Request struct {
	Method string
	Target string // origin-form: the path and query as they are sent (RFC 9112, section 3.2.1)
	Host   string
	Header http.Header
	Body   []byte
}

// Send writes req on a connection and returns the head of the answer, with its body
// to be read; Response has Status, StatusCode, Proto, Header, ContentLength and Body.
// It calls before when it has a connection and has written nothing; the error of
// before is returned, and nothing is sent. A request is never sent twice. When ctx
// ends, so does the call, and the reading of the answer's body. Closing the body
// before its end closes the connection.
func (c *Client) Send(ctx context.Context, req *Request, before func() error) (*http.Response, error) {
	if err := req.check(); err != nil {
		return nil, err
	}
	conn, err := c.connection(ctx)
	if err != nil {
		return nil, err
	}
	if err := before(); err != nil {
		c.put(conn)
		return nil, err
	}
	return conn.exchange(ctx, req)
}

// Ready has a connection made where none is kept, for a request that is about to be
// sent. It does not wait for that, and nothing is sent on it. One is made at a time. That
// it can't be made is for Send to find: it makes its own.
func (c *Client) Ready() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.readying || len(c.idle) > 0 {
		return
	}
	c.readying = true
	go c.ready()
}

func (c *Client) ready() {
	nc, err := c.options.Dial(c.life)
	if err == nil {
		c.put(newConn(c, nc))
	}
	c.mu.Lock() // after it is kept: or another would be made meanwhile
	defer c.mu.Unlock()
	c.readying = false
}

// connection returns a kept connection that is still good, or a new one.
func (c *Client) connection(ctx context.Context) (*conn, error) {
	for {
		k := c.take()
		if k == nil {
			break
		}
		k.limit() // before the look: a deadline that has passed would hide what is there
		if k.quiet() {
			return k, nil
		}
		k.close()
	}
	nc, err := c.options.Dial(ctx)
	if err != nil {
		return nil, err
	}
	k := newConn(c, nc)
	k.limit()
	return k, nil
}

func (c *Client) take() *conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := len(c.idle)
	if n == 0 {
		return nil
	}
	k := c.idle[n-1]
	c.idle[n-1] = nil
	c.idle = c.idle[:n-1]
	return k
}

// put keeps a connection on which nothing is under way.
func (c *Client) put(k *conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || len(c.idle) >= c.options.MaxIdle {
		k.close()
		return
	}
	k.since = time.Now()
	k.in.rest()
	c.idle = append(c.idle, k)
	if c.prune == nil {
		c.prune = time.AfterFunc(c.options.Idle, c.pruned)
	}
}

// pruned closes the connections that were idle for too long.
func (c *Client) pruned() {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for n < len(c.idle) && time.Since(c.idle[n].since) >= c.options.Idle {
		c.idle[n].close()
		n++
	}
	c.idle = append(c.idle[:0:0], c.idle[n:]...)
	if len(c.idle) == 0 || c.closed {
		c.prune = nil
		return
	}
	c.prune.Reset(c.options.Idle - time.Since(c.idle[0].since))
}

// Close closes the connections that are idle now, and the others when their call
// ends. It ends what Ready has begun.
func (c *Client) Close() {
	c.end()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for _, k := range c.idle {
		k.close()
	}
	c.idle = nil
	if c.prune != nil {
		c.prune.Stop()
	}
}
