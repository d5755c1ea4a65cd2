package http1_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"mintmark/internal/http1"
)

// one is a listener of one connection.
type one struct {
	net.Listener // none: a method that is not below panics
	conns        chan net.Conn
}

func (o *one) Close() error { return nil }

func (o *one) Accept() (net.Conn, error) {
	if conn, ok := <-o.conns; ok {
		return conn, nil
	}
	return nil, net.ErrClosed
}

// said is a connection on which everything has come, and then the end.
type said struct {
	canned
	once  sync.Once
	ended chan struct{}
}

func (s *said) RemoteAddr() net.Addr { return &net.TCPAddr{} }

func (s *said) Close() error {
	s.once.Do(func() { close(s.ended) })
	return nil
}

// heard is what a handler got.
type heard struct {
	request *http.Request
	body    []byte
	err     error
}

// Whatever is read here as a request, net/http reads as the same one, and so the
// next on its connection.
func FuzzRequest(f *testing.F) {
	for _, seed := range []string{
		"GET /a?b HTTP/1.1\r\nHost: h\r\n\r\nPOST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nokGET / HTTP/1.1\r\nHost: h\r\n\r\n",
		"POST /mcp HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1;x\r\no\r\n1\r\nk\r\n0\r\nX: y\r\n\r\nGET / HTTP/1.1\r\nHost: i\r\n\r\n",
		"GET http://other/ HTTP/1.1\r\nHost: h\r\nX-A: b\r\nx-a: c\r\n\r\n",
		"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET / HTTP/1.0\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2, 2\r\n\r\nok",
		"POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nok",
		"GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n",
		"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n",
		"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n",
		"GET / HTTP/1.1\nHost: h\n\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		in := bufio.NewReader(bytes.NewReader(raw))
		for i, ours := range hear(t, raw) {
			theirs, err := http.ReadRequest(in)
			if err != nil {
				t.Fatalf("request %d is %s %q here, and refused by net/http: %v", i, ours.request.Method, ours.request.RequestURI, err)
			}
			body, err := io.ReadAll(theirs.Body)
			r := ours.request
			if r.Method != theirs.Method || r.RequestURI != theirs.RequestURI || r.Host != theirs.Host || !sameHeader(theirs.Header, r.Header) {
				t.Fatalf("request %d: got %s %q to %q %v, net/http reads %s %q to %q %v",
					i, r.Method, r.RequestURI, r.Host, r.Header, theirs.Method, theirs.RequestURI, theirs.Host, theirs.Header)
			}
			if ours.err == nil && (err != nil || !bytes.Equal(ours.body, body)) {
				t.Fatalf("request %d: got body %q, net/http reads %q, %v", i, ours.body, body, err)
			}
		}
	})
}

// hear returns what comes of raw on one connection.
func hear(t *testing.T, raw []byte) (all []heard) {
	t.Helper()
	s := &http1.Server{HeadTime: time.Minute, Idle: time.Minute, MaxHead: 1 << 20, MaxConns: 1}
	s.Handler = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		all = append(all, heard{r, body, err})
	})
	conn := &said{canned: canned{answer: bytes.NewReader(raw)}, ended: make(chan struct{})}
	l := &one{conns: make(chan net.Conn, 1)}
	l.conns <- conn
	close(l.conns)
	if err := s.Serve(l); !errors.Is(err, net.ErrClosed) {
		t.Fatalf("serve: got %v, want the end of the listener", err)
	}
	<-conn.ended
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	return all
}
