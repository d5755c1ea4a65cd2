package broker_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// crowd is an upstream with many streams under way: all get what is broadcast.
type crowd struct {
	mu   sync.Mutex
	send map[chan string]bool
	here atomic.Int64 // streams under way

	written atomic.Int64 // events written
}

func newCrowd() *crowd { return &crowd{send: map[chan string]bool{}} }

// ServeHTTP implements http.Handler. What it can't write within the test's
// patience ends the stream: nobody reads it.
func (c *crowd) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	mine := make(chan string, 8)
	c.mu.Lock()
	c.send[mine] = true
	c.mu.Unlock()
	c.here.Add(1)
	defer func() {
		c.mu.Lock()
		delete(c.send, mine)
		c.mu.Unlock()
		c.here.Add(-1)
	}()
	control := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/event-stream")
	_ = control.Flush()
	for {
		select {
		case text := <-mine:
			_, _ = io.WriteString(w, text)
			_ = control.Flush()
			c.written.Add(1)
		case <-r.Context().Done():
			return
		}
	}
}

func (c *crowd) broadcast(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for stream := range c.send {
		select {
		case stream <- text:
		default: // its reader is slow, and others must not wait for it
		}
	}
}

// flood sends to the streams under way until all that lies between is full.
func (c *crowd) flood(t *testing.T) {
	t.Helper()
	text := "data: " + strings.Repeat("y", 256<<10) + "\n\n"
	last, same := int64(0), 0
	await(t, "a reader that is stuck", func() bool {
		c.broadcast(text)
		if now := c.written.Load(); now != last || now == 0 {
			last, same = now, 0
		} else {
			same++
		}
		return same == 100
	})
}

// A thousand streams at the same time: each gets every event and heartbeat, one
// that nobody reads holds up none, each agent that leaves is seen to leave by the
// upstream, and nothing of them is left behind.
func TestAThousandStreams(t *testing.T) {
	const many = 1000
	w := open(t)
	c := newCrowd()
	w.upstream.does(c.ServeHTTP)
	before, idle := runtime.NumGoroutine(), inUse()
	slow := openStream(t, w)
	await(t, "the slow stream at the upstream", func() bool { return c.here.Load() == 1 })
	c.flood(t)
	conns := make([]*heldStream, many)
	for i := range conns {
		conns[i] = openStream(t, w)
	}
	await(t, "every stream at the upstream", func() bool { return c.here.Load() == many+1 })
	for i := range 10 {
		event := fmt.Sprintf("data: %d %s\n\n", i, strings.Repeat("x", 256))
		if i%5 == 4 {
			event = ": heartbeat\n\n"
		}
		c.broadcast(event)
		for _, s := range conns {
			if got := s.read(len(event)); got != event {
				t.Fatalf("event %d: got %q, want %q", i, got, event)
			}
		}
	}
	wantPerStream(t, idle, many)
	leave(conns)
	await(t, "the upstream to see the agents leave", func() bool { return c.here.Load() <= 1 })
	leave([]*heldStream{slow})
	await(t, "the upstream to see the slow agent leave", func() bool { return c.here.Load() == 0 })
	await(t, "the calls to end", func() bool { return w.broker.Waiting() == 0 })
	w.broker.DropIdle()
	await(t, "the goroutines to end", func() bool { return runtime.NumGoroutine() <= before+8 }) // those of idle connections
}

// perStream is what one stream may take: twice what was measured, and in that is the
// agent's end and the upstream's, of one process with the broker here.
const perStream = 256 << 10

// wantPerStream holds what many streams take since idle to a bound.
func wantPerStream(t *testing.T, idle uint64, many int) {
	t.Helper()
	each := (inUse() - min(idle, inUse())) / uint64(many)
	t.Logf("%d streams: %d KiB each, agent and upstream included", many, each>>10)
	if each > perStream {
		t.Errorf("got %d KiB for a stream, want at most %d", each>>10, perStream>>10)
	}
}

// inUse returns the bytes of heap and stacks that are in use and not garbage.
func inUse() uint64 {
	runtime.GC()
	runtime.GC() // what pools and finalizers kept over the first
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}

// heldStream is a stream that an agent has open.
type heldStream struct {
	t    *testing.T
	conn net.Conn
	resp *http.Response
}

func openStream(t *testing.T, w *world) *heldStream {
	t.Helper()
	conn, err := net.Dial("tcp", w.plain)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience)) // a thousand of them take a while
	if _, err := conn.Write(w.call().bytes(w.plain)); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReaderSize(conn, 512), &http.Request{Method: http.MethodPost}) //nolint:bodyclose // it ends with its connection
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("open a stream: got %+v, %v", resp, err)
	}
	return &heldStream{t, conn, resp}
}

// read returns the next n bytes.
func (s *heldStream) read(n int) string {
	s.t.Helper()
	buf := make([]byte, n)
	if _, err := io.ReadFull(s.resp.Body, buf); err != nil {
		s.t.Fatalf("read an event: %v", err)
	}
	return string(buf)
}

func leave(streams []*heldStream) {
	for _, s := range streams {
		_ = s.conn.Close()
	}
}
