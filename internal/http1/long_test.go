package http1_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// plainConn can't be asked for its socket.
type plainConn struct{ net.Conn }

// A long body arrives as it is, whether the system takes all of it at once, some of
// it, or can't be asked.
func TestALongBodyArrivesWhole(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = w.Write(body)
	}))
	defer s.Close()
	dial := func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", s.Listener.Addr().String())
	}
	for name, dial := range map[string]func(context.Context) (net.Conn, error){
		"at once": dial,
		"in parts": func(ctx context.Context) (net.Conn, error) {
			nc, err := dial(ctx)
			if err == nil {
				err = nc.(*net.TCPConn).SetWriteBuffer(4 << 10)
			}
			return nc, err
		},
		"no socket": func(ctx context.Context) (net.Conn, error) {
			nc, err := dial(ctx)
			return plainConn{nc}, err
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := dialing(t, dial)
			for _, size := range []int{32<<10 - 1, 32 << 10, 32<<10 + 1, 64 << 10, 1 << 20} {
				var b strings.Builder
				for i := 0; b.Len() < size; i++ {
					b.WriteByte(byte('a' + i%23))
				}
				if status, got, err := call(t.Context(), c, post(b.String())); err != nil || status != 200 || got != b.String() {
					t.Errorf("got %d, %d bytes, %v; want 200 and the %d bytes that were sent", status, len(got), err, size)
				}
			}
		})
	}
}

// stuckConn takes a head, and of a body nothing until it is closed.
type stuckConn struct {
	net.Conn
	writes  atomic.Int32
	closed  chan struct{}
	writing atomic.Bool
	last    atomic.Int32
}

func (c *stuckConn) Write(b []byte) (int, error) {
	if c.writes.Add(1) == 1 {
		return c.Conn.Write(b)
	}
	c.writing.Store(true)
	defer c.writing.Store(false)
	<-c.closed
	c.last.Store(int32(b[len(b)-1])) // what reads the body last
	return 0, net.ErrClosed
}

func (c *stuckConn) Close() error {
	close(c.closed)
	return c.Conn.Close()
}

// Once an answer has ended nobody reads the body of its request: it may be another's
// by then.
func TestTheBodyIsNotReadAfterTheAnswer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 10))
			_, _ = io.WriteString(conn, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig")
		}
	}()
	for name, end := range map[string]func(*http.Response){
		"read":   func(r *http.Response) { _, _ = io.Copy(io.Discard, r.Body) },
		"closed": func(r *http.Response) { _ = r.Body.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			nc, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			stuck := &stuckConn{Conn: nc, closed: make(chan struct{})}
			c := dialing(t, func(context.Context) (net.Conn, error) { return stuck, nil })
			req := post(strings.Repeat("b", 64<<10))
			resp, err := c.Send(t.Context(), req, yes)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = resp.Body.Close() }()
			end(resp)
			if stuck.writing.Load() {
				t.Error("got a body that is still being written")
			}
			clear(req.Body) // the race detector sees who reads it
		})
	}
}
