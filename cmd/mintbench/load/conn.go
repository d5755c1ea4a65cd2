package load

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"time"

	"mintmark/cmd/mintbench/wire"
)

// conn is a connection to a target and the memory for one call on it.
type conn struct {
	net.Conn
	r         *bufio.Reader
	head      wire.Head
	out, body []byte
	spent     bool // no further call can be made on it
	release   func() bool
}

// dial opens a connection that ends with ctx, or at until.
func dial(ctx context.Context, t *Target, until time.Time) (*conn, error) {
	raw, err := t.Dial(ctx)
	if err != nil {
		return &conn{spent: true}, fmt.Errorf("connect: %w", err)
	}
	c := &conn{Conn: raw, r: bufio.NewReaderSize(raw, 32<<10)}
	c.release = context.AfterFunc(ctx, func() { _ = raw.Close() })
	return c, raw.SetDeadline(until)
}

func (c *conn) close() {
	if c.Conn == nil {
		return
	}
	c.release()
	_ = c.Conn.Close() // the answers are read, or their absence is counted
	c.Conn = nil
	c.spent = true
}

// call makes one call and checks its answer.
func (c *conn) call(t *Template, number uint64) error {
	if err := c.send(t, number); err != nil {
		return err
	}
	if err := wire.ReadHead(c.r, &c.head); err != nil {
		return c.fail("read answer", err)
	}
	return c.finish(number)
}

func (c *conn) send(t *Template, number uint64) error {
	c.out = t.appendTo(c.out[:0], number)
	c.body = c.body[:0]
	if _, err := c.Write(c.out); err != nil {
		return c.fail("send call", err)
	}
	return nil
}

// begin reads the first event of an answer that streams.
func (c *conn) begin() (err error) {
	if err := wire.ReadHead(c.r, &c.head); err != nil {
		return c.fail("read answer", err)
	}
	status, err := c.head.Status()
	if err != nil || status != 200 || !c.head.Chunked {
		c.spent = true
		return fmt.Errorf("got status %d and %.100q, want 200 and a stream", status, c.head.Start)
	}
	for last := false; !bytes.Contains(c.body, []byte("\n\n")); {
		if last {
			return fmt.Errorf("got %.300q and the end, want an event", c.body)
		}
		if c.body, last, err = wire.ReadChunk(c.r, c.body); err != nil {
			return c.fail("read event", err)
		}
	}
	if !bytes.Contains(c.body, []byte(Progress)) {
		return fmt.Errorf("got %.300q, want an event of %s", c.body, Progress)
	}
	return nil
}

// finish reads the answer, or what is left of it, and checks it.
func (c *conn) finish(number uint64) (err error) {
	if c.body, err = wire.ReadBody(c.r, &c.head, c.body); err != nil {
		return c.fail("read answer", err)
	}
	c.spent = c.head.Close
	return check(&c.head, c.body, number)
}

func (c *conn) fail(doing string, err error) error {
	c.spent = true
	return fmt.Errorf("%s: %w", doing, err)
}
