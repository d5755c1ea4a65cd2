package broker_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"

	"mintmark/injector/mcp"
)

// BenchmarkCall is an allowed call whose evidence and credential are held
// already, to an upstream that answers with JSON. "handler" leaves out the
// agent's side of the network, "socket" has all of it.
func BenchmarkCall(b *testing.B) {
	fast := newFastUpstream(b)
	w := open(b, func(s *setup) { s.Quiet, s.Upstream, s.Audit = true, fast, "segment_size: 1GiB" })
	w.unread = true // verifying a log of this size would be most of the profile
	w.wantOK(w.call(), "result")
	b.Run("handler", func(b *testing.B) {
		h := w.broker.Handler(1)
		peer := &tls.ConnectionState{PeerCertificates: w.certificates("shop")}
		text := toolCall("lookup_order")
		b.ReportAllocs()
		b.RunParallel(func(p *testing.PB) {
			for p.Next() {
				got := sink{header: http.Header{}}
				h.ServeHTTP(&got, &http.Request{Method: "POST", URL: &url.URL{Path: "/mcp/orders"}, Host: w.plain, TLS: peer, ContentLength: int64(len(text)),
					Header: http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"}},
					Body:   io.NopCloser(strings.NewReader(text))})
				if got.status != 200 || got.n != len(okAnswer) {
					b.Errorf("got %d and %d bytes", got.status, got.n)
					return
				}
			}
		})
	})
	socket := func(call request) func(*testing.B) {
		return func(b *testing.B) {
			request := call.bytes(w.plain)
			b.ReportAllocs()
			b.RunParallel(func(p *testing.PB) {
				c, request := w.keepAlive(), bytes.Clone(request)
				for i := uint64(0); p.Next(); i++ {
					trace(request, i)
					if err := c.exchange(request); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
	}
	b.Run("socket", socket(w.call()))
	b.Run("stateless", socket(w.stateless()))
}

// trace gives a request that is of a trace one of its own, as each call has.
func trace(request []byte, i uint64) {
	const name = "Traceparent: 00-"
	if at := bytes.Index(request, []byte(name)); at >= 0 {
		at += len(name)
		strconv.AppendUint(request[at:at], 1<<63|i, 16) // 16 digits, in their place
	}
}

// stateless makes the upstream one of MCP 2026-07-28, and returns a tool call of
// that revision, with all its headers.
func (w *world) stateless() request {
	w.t.Helper()
	if err := w.change("mintmark.yaml", "  orders: {url:", "  orders: {protocol: stateless, url:"); err != nil {
		w.t.Fatal(err)
	}
	return w.call(with(mcp.HeaderVersion, mcp.Stateless), with(mcp.HeaderMethod, "tools/call"), with(mcp.HeaderName, "lookup_order"),
		with("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
		body(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}},"name":"lookup_order","arguments":{"order":"7"}}}`))
}

// TestCallAllocs holds what a whole call may allocate, net/http's two ends and
// the writing of the record among it: that is most of it.
func TestCallAllocs(t *testing.T) {
	w := open(t, func(s *setup) { s.Quiet, s.Upstream = true, newFastUpstream(t) })
	for _, tc := range []struct {
		name string
		call func() request
		most float64
	}{
		{"sessions", func() request { return w.call() }, 28 + raceAllocs},
		{"stateless", w.stateless, 29 + raceAllocs},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, request := w.keepAlive(), tc.call().bytes(w.plain)
			i := uint64(0)
			one := func() {
				i++
				trace(request, i)
				if err := c.exchange(request); err != nil {
					t.Fatal(err)
				}
			}
			one() // makes the connection and the credential
			if n := testing.AllocsPerRun(200, one); n > tc.most {
				t.Errorf("got %v allocations a call, want at most %v", n, tc.most)
			}
		})
	}
}

// exchange writes a request and reads okAnswer, at no cost that would hide the
// broker's.
func (c *connection) exchange(request []byte) error { return c.exchanges(request, len(okAnswer)) }

// exchanges writes a request and reads an answer of known length.
func (c *connection) exchanges(request []byte, length int) error {
	if _, err := c.conn.Write(request); err != nil {
		return err
	}
	head, err := c.in.ReadSlice('\n')
	if err != nil || !bytes.HasPrefix(head, []byte("HTTP/1.1 200 ")) {
		return fmt.Errorf("got %q, %w", head, err)
	}
	for len(head) > 2 {
		if head, err = c.in.ReadSlice('\n'); err != nil {
			return err
		}
	}
	_, err = c.in.Discard(length)
	return err
}

// sink is a response that is counted and thrown away.
type sink struct {
	header    http.Header
	status, n int
}

// Header implements http.ResponseWriter.
func (s *sink) Header() http.Header { return s.header }

// WriteHeader implements http.ResponseWriter.
func (s *sink) WriteHeader(status int) { s.status = status }

// Write implements http.ResponseWriter.
func (s *sink) Write(p []byte) (int, error) {
	s.n += len(p)
	return len(p), nil
}

// newFastUpstream answers every request with okAnswer, at no cost that would hide
// the broker's.
func newFastUpstream(t testing.TB) (address string) {
	t.Helper()
	return newUpstreamOf(t, okAnswer)
}

// newUpstreamOf answers every request with the same text.
func newUpstreamOf(t testing.TB, text string) (address string) {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conns.Go(func() { answerFast(conn, text) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); conns.Wait() })
	return l.Addr().String()
}

func answerFast(conn net.Conn, text string) {
	defer conn.Close()
	answer := fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(text), text)
	in, length := bufio.NewReader(conn), []byte("Content-Length: ")
	for {
		body := 0
		for {
			line, err := in.ReadSlice('\n')
			if err != nil {
				return
			}
			if rest, ok := bytes.CutPrefix(line, length); ok {
				body = 0
				for _, c := range bytes.TrimSpace(rest) {
					body = 10*body + int(c-'0')
				}
			}
			if len(line) == 2 {
				break
			}
		}
		if _, err := in.Discard(body); err != nil {
			return
		}
		if _, err := conn.Write(answer); err != nil {
			return
		}
	}
}
