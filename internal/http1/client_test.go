package http1_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"mintmark/internal/http1"
)

// server answers each request on a connection with what respond writes; it counts
// the connections it was asked for.
type server struct {
	net.Listener
	connections atomic.Int32
}

// serve starts a server that is as rude as respond makes it: respond gets each
// request that was read whole, and returns whether the connection goes on.
func serve(t *testing.T, respond func(conn net.Conn, r *http.Request, body []byte) bool) *server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{Listener: l}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s.connections.Add(1)
			go s.converse(conn, respond)
		}
	}()
	return s
}

func (s *server) converse(conn net.Conn, respond func(net.Conn, *http.Request, []byte) bool) {
	defer func() { _ = conn.Close() }()
	in := bufio.NewReader(conn)
	for {
		r, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil || !respond(conn, r, body) {
			return
		}
	}
}

// answers is a server's respond that writes text, and keeps the connection.
func answers(text string) func(net.Conn, *http.Request, []byte) bool {
	return func(conn net.Conn, _ *http.Request, _ []byte) bool {
		_, err := io.WriteString(conn, text)
		return err == nil
	}
}

func newClient(t *testing.T, addr string) *http1.Client {
	t.Helper()
	return dialing(t, func(ctx context.Context) (net.Conn, error) { return new(net.Dialer).DialContext(ctx, "tcp", addr) })
}

func dialing(t *testing.T, dial func(ctx context.Context) (net.Conn, error)) *http1.Client {
	t.Helper()
	c := http1.New(http1.Options{Dial: dial, Wait: time.Minute, MaxHead: 64 << 10, MaxIdle: 8, Idle: time.Minute})
	t.Cleanup(c.Close)
	return c
}

func post(body string) *http1.Request {
	return &http1.Request{Method: http.MethodPost, Target: "/mcp?x=1", Host: "upstream.test", Header: http.Header{"Authorization": {"Bearer s"}}, Body: []byte(body)}
}

func yes() error { return nil }

// call sends req and reads the answer to its end.
func call(ctx context.Context, c *http1.Client, req *http1.Request) (int, string, error) {
	resp, err := c.Send(ctx, req, yes)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(iotest.OneByteReader(resp.Body))
	return resp.StatusCode, string(body), err
}

// What a well-behaved server gets is the request, and what it says is the answer,
// over one connection for as long as it is kept.
func TestARequestAndItsAnswer(t *testing.T) {
	for name, size := range map[string]int{"no body": 0, "a body": 600, "a body in several writes": 1 << 20} {
		t.Run(name, func(t *testing.T) {
			body := strings.Repeat("b", size)
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				got, _ := io.ReadAll(r.Body)
				if r.Method != http.MethodPost || r.URL.String() != "/mcp?x=1" || r.Host != "upstream.test" || r.Header.Get("Authorization") != "Bearer s" || string(got) != body {
					t.Errorf("got %s %s at %s with %v and %d bytes", r.Method, r.URL, r.Host, r.Header, len(got))
				}
				w.Header().Set("Content-Type", "text/plain")
				if r.ContentLength != int64(size) {
					t.Errorf("got length %d, want %d", r.ContentLength, size)
				}
				_, _ = w.Write(got[:len(got)/2])
				_ = http.NewResponseController(w).Flush()
				_, _ = w.Write(got[len(got)/2:])
			}))
			defer s.Close()
			c := newClient(t, s.Listener.Addr().String())
			for range 3 {
				status, got, err := call(t.Context(), c, post(body))
				if err != nil || status != 200 || got != body {
					t.Fatalf("got %d, %d bytes, %v; want 200 and %d bytes", status, len(got), err, size)
				}
			}
		})
	}
}

// Each of these is read as the same answer by every reader, and leaves the
// connection to the next call or doesn't.
func TestAnswersThatAreRead(t *testing.T) {
	for _, test := range []struct {
		name, answer string
		status       int
		body         string
		kept         bool
	}{
		{"length", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, "ok", true},
		{"no reason", "HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", 200, "ok", true},
		{"lower case", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", 200, "ok", true},
		{"space about the value", "HTTP/1.1 200 OK\r\nContent-Length: \t2 \r\n\r\nok", 200, "ok", true},
		{"chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n001;x=\"y\"\r\nk\r\n0\r\n\r\n", 200, "ok", true},
		{"trailer", "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\nA\r\n0123456789\r\n0\r\nX: y\r\n\r\n", 200, "0123456789", true},
		{"nothing", "HTTP/1.1 204 No Content\r\n\r\n", 204, "", true},
		{"not modified, with the length of what is not sent", "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", 304, "", true},
		{"interim", "HTTP/1.1 103 Early Hints\r\nLink: </s>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, "ok", true},
		{"another protocol, unasked", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nabc", 101, "", false},
		{"a status that is none", "HTTP/1.1 000 Nothing\r\nContent-Length: 0\r\n\r\n", 0, "", false},
		{"close", "HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 2\r\n\r\nok", 200, "ok", false},
		{"old", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", 200, "ok", false},
		{"more than the answer", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother", 200, "ok", false},
		{"more than nothing", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nother", 204, "", false},
		{"more than the chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n\r\n", 200, "ok", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := serve(t, answers(test.answer))
			c := newClient(t, s.Addr().String())
			for range 2 {
				status, body, err := call(t.Context(), c, post("x"))
				if err != nil || status != test.status || body != test.body {
					t.Fatalf("got %d %q %v, want %d %q", status, body, err, test.status, test.body)
				}
			}
			if kept := s.connections.Load() == 1; kept != test.kept {
				t.Errorf("got %d connections, want kept %t", s.connections.Load(), test.kept)
			}
		})
	}
}

func TestAnEndOfTheConnectionEndsABodyWithoutLength(t *testing.T) {
	s := serve(t, func(conn net.Conn, _ *http.Request, _ []byte) bool {
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\nall of it")
		return false
	})
	if status, body, err := call(t.Context(), newClient(t, s.Addr().String()), post("x")); err != nil || status != 200 || body != "all of it" {
		t.Errorf("got %d %q %v", status, body, err)
	}
}

// None of these is read alike by all who may read it. The error quotes nothing.
func TestAnswersThatAreRefused(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	for name, answer := range map[string]string{
		"nothing":                       "",
		"another protocol":              "SSH-2.0-canary\r\n\r\n",
		"HTTP/2":                        "HTTP/2.0 200 OK\r\n\r\n",
		"lower case protocol":           "http/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
		"a code of two digits":          "HTTP/1.1 20 OK\r\n\r\n",
		"a code of four digits":         "HTTP/1.1 2000 OK\r\n\r\n",
		"a code with a sign":            "HTTP/1.1 +20 OK\r\n\r\n",
		"interim without end":           strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 100),
		"bare LF":                       "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
		"one bare LF":                   ok + "X: canary\nContent-Length: 0\r\n\r\n",
		"bare CR":                       ok + "X: canary\rContent-Length: 0\r\n\r\n",
		"NUL":                           ok + "X: can\x00ary\r\nContent-Length: 0\r\n\r\n",
		"a line that goes on":           ok + "X: a\r\n canary\r\nContent-Length: 0\r\n\r\n",
		"a first line that goes on":     ok + " X: canary\r\nContent-Length: 0\r\n\r\n",
		"a space before the colon":      ok + "Content-Length : 0\r\n\r\n",
		"no colon":                      ok + "canary\r\nContent-Length: 0\r\n\r\n",
		"no name":                       ok + ": canary\r\nContent-Length: 0\r\n\r\n",
		"two lengths":                   ok + "Content-Length: 2\r\nContent-Length: 3\r\n\r\nokk",
		"one length twice":              ok + "Content-Length: 2\r\nContent-Length: 2\r\n\r\nok",
		"a list of lengths":             ok + "Content-Length: 2, 2\r\n\r\nok",
		"a length with a sign":          ok + "Content-Length: +2\r\n\r\nok",
		"a negative length":             ok + "Content-Length: -2\r\n\r\nok",
		"a length in hex":               ok + "Content-Length: 0x2\r\n\r\nok",
		"an empty length":               ok + "Content-Length:\r\n\r\nok",
		"a huge length":                 ok + "Content-Length: 9999999999999999999\r\n\r\nok",
		"length and chunks":             ok + "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
		"chunked twice":                 ok + "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
		"two codings":                   ok + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
		"identity":                      ok + "Transfer-Encoding: identity\r\n\r\nok",
		"codings in two lines":          ok + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
		"chunks in HTTP/1.0":            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"an unfinished head":            ok + "X: canary",
		"a head that is too long":       ok + "X: " + strings.Repeat("canary", 20000) + "\r\n\r\n",
		"a short body":                  ok + "Content-Length: 9\r\n\r\ncanary",
		"a chunk without size":          ok + "Transfer-Encoding: chunked\r\n\r\n\r\ncanary\r\n0\r\n\r\n",
		"a chunk's size with a sign":    ok + "Transfer-Encoding: chunked\r\n\r\n+2\r\nok\r\n0\r\n\r\n",
		"a chunk's size with 0x":        ok + "Transfer-Encoding: chunked\r\n\r\n0x2\r\nok\r\n0\r\n\r\n",
		"a chunk's size that is huge":   ok + "Transfer-Encoding: chunked\r\n\r\n10000000000000002\r\nok\r\n0\r\n\r\n",
		"a chunk's size and text":       ok + "Transfer-Encoding: chunked\r\n\r\n2canary\r\nok\r\n0\r\n\r\n",
		"a chunk's line with bare LF":   ok + "Transfer-Encoding: chunked\r\n\r\n2\nok\r\n0\r\n\r\n",
		"a chunk's line with bare CR":   ok + "Transfer-Encoding: chunked\r\n\r\n2;\rcanary\r\nok\r\n0\r\n\r\n",
		"a chunk without end":           ok + "Transfer-Encoding: chunked\r\n\r\n2\r\nokcanary\r\n0\r\n\r\n",
		"a chunk that ends in LF":       ok + "Transfer-Encoding: chunked\r\n\r\n2\r\nok\n0\r\n\r\n",
		"a long extension":              ok + "Transfer-Encoding: chunked\r\n\r\n2;" + strings.Repeat("canary", 100) + "\r\nok\r\n0\r\n\r\n",
		"a long trailer":                ok + "Transfer-Encoding: chunked\r\n\r\n0\r\n" + strings.Repeat("X: canary\r\n", 2000) + "\r\n",
		"no last chunk":                 ok + "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
		"chunks that end in the middle": ok + "Transfer-Encoding: chunked\r\n\r\n9\r\nok",
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, func(conn net.Conn, _ *http.Request, _ []byte) bool {
				_, _ = io.WriteString(conn, answer)
				return false
			})
			status, body, err := call(t.Context(), newClient(t, s.Addr().String()), post("x"))
			if err == nil {
				t.Fatalf("got %d %q, want an error", status, body)
			}
			if strings.Contains(err.Error(), "canary") {
				t.Errorf("the error quotes what was read: %v", err)
			}
		})
	}
}

// A request that could be read as two, or as another one, is not written.
func TestRequestsThatAreRefused(t *testing.T) {
	s := serve(t, func(net.Conn, *http.Request, []byte) bool {
		t.Error("a request came")
		return false
	})
	c := newClient(t, s.Addr().String())
	for name, spoil := range map[string]func(*http1.Request){
		"no method":             func(r *http1.Request) { r.Method = "" },
		"a method with a space": func(r *http1.Request) { r.Method = "GET /other HTTP/1.1\r\nX:" },
		"CONNECT":               func(r *http1.Request) { r.Method = http.MethodConnect },
		"no target":             func(r *http1.Request) { r.Target = "" },
		"an absolute target":    func(r *http1.Request) { r.Target = "http://other/" },
		"a target with a space": func(r *http1.Request) { r.Target = "/a HTTP/1.1" },
		"a target with a line":  func(r *http1.Request) { r.Target = "/a\r\nX:y" },
		"a target beyond ASCII": func(r *http1.Request) { r.Target = "/ä" },
		"no host":               func(r *http1.Request) { r.Host = "" },
		"a host with a line":    func(r *http1.Request) { r.Host = "a\r\nX: y" },
		"a header with a line":  func(r *http1.Request) { r.Header.Set("X", "a\r\nY: b") },
		"a header with a LF":    func(r *http1.Request) { r.Header.Set("X", "a\nY: b") },
		"a header with NUL":     func(r *http1.Request) { r.Header.Set("X", "a\x00") },
		"a name with a colon":   func(r *http1.Request) { r.Header["X:"] = []string{"a"} },
		"a name with a space":   func(r *http1.Request) { r.Header["X "] = []string{"a"} },
		"an empty name":         func(r *http1.Request) { r.Header[""] = []string{"a"} },
		"a host header":         func(r *http1.Request) { r.Header["Host"] = []string{"other"} },
		"a length":              func(r *http1.Request) { r.Header["Content-Length"] = []string{"0"} },
		"a length, lower case":  func(r *http1.Request) { r.Header["content-length"] = []string{"0"} },
		"a coding":              func(r *http1.Request) { r.Header["Transfer-Encoding"] = []string{"chunked"} },
		"a connection option":   func(r *http1.Request) { r.Header["Connection"] = []string{"close"} },
		"an expectation":        func(r *http1.Request) { r.Header["Expect"] = []string{"100-continue"} },
		"an upgrade":            func(r *http1.Request) { r.Header["Upgrade"] = []string{"h2c"} },
		"codings that it takes": func(r *http1.Request) { r.Header["TE"] = []string{"trailers"} },
		"a trailer":             func(r *http1.Request) { r.Header["Trailer"] = []string{"X"} },
		"how long it is kept":   func(r *http1.Request) { r.Header["keep-alive"] = []string{"timeout=5"} },
		"a proxy's connection":  func(r *http1.Request) { r.Header["Proxy-Connection"] = []string{"close"} },
	} {
		t.Run(name, func(t *testing.T) {
			req := post("x")
			spoil(req)
			if _, _, err := call(t.Context(), c, req); err == nil {
				t.Error("got no error")
			}
		})
	}
	if n := s.connections.Load(); n != 0 {
		t.Errorf("got %d connections, want none", n)
	}
}

// Bytes that came when nothing was asked would be read as the next call's answer.
func TestAnAnswerToNoRequestIsNoAnswer(t *testing.T) {
	speak, spoke := make(chan struct{}), make(chan struct{}, 1)
	s := serve(t, func(conn net.Conn, r *http.Request, body []byte) bool {
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		if string(body) == "first" {
			<-speak // the call has its answer
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother")
			spoke <- struct{}{}
			_, _ = io.Copy(io.Discard, conn)
			return false
		}
		return true
	})
	c := newClient(t, s.Addr().String())
	if _, body, err := call(t.Context(), c, post("first")); err != nil || body != "ok" {
		t.Fatalf("got %q %v", body, err)
	}
	speak <- struct{}{}
	<-spoke
	if _, body, err := call(t.Context(), c, post("second")); err != nil || body != "ok" {
		t.Errorf("got %q %v, want the answer to this call", body, err)
	}
	if n := s.connections.Load(); n != 2 {
		t.Errorf("got %d connections, want 2", n)
	}
}

// A connection that the server ended while it was idle is not used, so that no call
// fails for it.
func TestAConnectionThatEndedIsNotUsed(t *testing.T) {
	closed := make(chan struct{}, 8)
	s := serve(t, func(conn net.Conn, _ *http.Request, _ []byte) bool {
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		_ = conn.Close()
		closed <- struct{}{}
		return false
	})
	c := newClient(t, s.Addr().String())
	for range 4 {
		if _, body, err := call(t.Context(), c, post("x")); err != nil || body != "ok" {
			t.Fatalf("got %q %v", body, err)
		}
		<-closed
	}
}

// What is refused at the connection is not written, and the connection serves the
// next call.
func TestTheLastCheckIsBeforeTheFirstByte(t *testing.T) {
	var bodies sync.Map
	s := serve(t, func(conn net.Conn, _ *http.Request, body []byte) bool {
		bodies.Store(string(body), true)
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		return true
	})
	c := newClient(t, s.Addr().String())
	refused := errors.New("refused")
	if _, err := c.Send(t.Context(), post("refused"), func() error { return refused }); !errors.Is(err, refused) { //nolint:bodyclose // there is none
		t.Errorf("got %v, want the refusal", err)
	}
	if _, body, err := call(t.Context(), c, post("served")); err != nil || body != "ok" {
		t.Errorf("got %q %v", body, err)
	}
	if _, came := bodies.Load("refused"); came || s.connections.Load() != 1 {
		t.Errorf("the refused call came: %t; got %d connections, want 1", came, s.connections.Load())
	}
}

// A call ends with its context wherever it is.
func TestACallEndsWithItsContext(t *testing.T) {
	for name, before := range map[string]string{
		"before the answer": "",
		"in the head":       "HTTP/1.1 200 OK\r\nX: ",
		"in the body":       "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",
		"in a stream":       "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			ended := make(chan struct{})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			s := serve(t, func(conn net.Conn, _ *http.Request, _ []byte) bool {
				defer close(ended)
				_, _ = io.WriteString(conn, before)
				cancel()
				_, _ = io.Copy(io.Discard, conn)
				return false
			})
			if _, _, err := call(ctx, newClient(t, s.Addr().String()), post("x")); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v, want the end of the context", err)
			}
			<-ended // the server hears of it
		})
	}
}

// The time to wait is for the head: a stream may be silent for longer.
func TestOnlyTheHeadIsWaitedForInTime(t *testing.T) {
	answer := make(chan bool)
	s := serve(t, func(conn net.Conn, _ *http.Request, body []byte) bool {
		if string(body) == "silent" {
			_, _ = io.Copy(io.Discard, conn)
			return false
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		<-answer
		_, _ = io.WriteString(conn, "2\r\nok\r\n0\r\n\r\n")
		return true
	})
	const wait = 100 * time.Millisecond
	c := http1.New(http1.Options{
		Dial: func(ctx context.Context) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", s.Addr().String())
		},
		Wait:    wait,
		MaxHead: 1 << 10, MaxIdle: 1, Idle: time.Minute,
	})
	defer c.Close()
	var timeout net.Error
	if _, _, err := call(t.Context(), c, post("silent")); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("got %v, want a timeout", err)
	}
	var timed *timedConn
	c2 := http1.New(http1.Options{
		Dial: func(ctx context.Context) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, "tcp", s.Addr().String())
			timed = &timedConn{Conn: conn}
			return timed, err
		},
		Wait:    time.Minute,
		MaxHead: 1 << 10, MaxIdle: 1, Idle: time.Minute,
	})
	defer c2.Close()
	resp, err := c2.Send(t.Context(), post("x"), yes)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if !timed.read.IsZero() {
		t.Errorf("after the head alone: a read may wait until %v, want no end", timed.read)
	}
	close(answer)
	body, err := io.ReadAll(resp.Body)
	if err != nil || string(body) != "ok" {
		t.Errorf("got %q %v", body, err)
	}
}

// timedConn knows until when a read may wait.
type timedConn struct {
	net.Conn
	read time.Time
}

func (c *timedConn) SetDeadline(t time.Time) error {
	c.read = t
	return c.Conn.SetDeadline(t)
}

func (c *timedConn) SetReadDeadline(t time.Time) error {
	c.read = t
	return c.Conn.SetReadDeadline(t)
}

// A server may answer before it has the whole request. The rest isn't left on the
// connection for the next one.
func TestAnAnswerBeforeTheEndOfTheRequest(t *testing.T) {
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
			go func() {
				head := make([]byte, 10)
				_, _ = io.ReadFull(conn, head)
				_, _ = io.WriteString(conn, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig")
				_, _ = io.Copy(io.Discard, conn) // the client closes it
				_ = conn.Close()
			}()
		}
	}()
	c := newClient(t, l.Addr().String())
	big := string(bytes.Repeat([]byte("b"), 32<<20))
	for range 2 {
		if status, body, err := call(t.Context(), c, post(big)); err != nil || status != 413 || body != "big" {
			t.Errorf("got %d %q %v, want 413", status, body, err)
		}
	}
}

// Many calls at once are answered each with its own.
func TestManyCallsAtOnce(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = w.Write(body)
	}))
	defer s.Close()
	c := newClient(t, s.Listener.Addr().String())
	var all sync.WaitGroup
	for i := range 32 {
		all.Go(func() {
			body := strings.Repeat(string(rune('A'+i)), 100*i)
			for range 20 {
				if status, got, err := call(t.Context(), c, post(body)); err != nil || status != 200 || got != body {
					t.Errorf("call %d: got %d, %d bytes, %v", i, status, len(got), err)
					return
				}
			}
		})
	}
	all.Wait()
}

// A body that is closed before its end takes its connection with it.
func TestAnAnswerThatIsNotReadEndsItsConnection(t *testing.T) {
	s := serve(t, answers("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n123456789"))
	c := newClient(t, s.Addr().String())
	for range 2 {
		resp, err := c.Send(t.Context(), post("x"), yes)
		if err != nil {
			t.Fatal(err)
		}
		if err := resp.Body.Close(); err != nil {
			t.Error(err)
		}
		if n, err := resp.Body.Read(make([]byte, 1)); n != 0 || err == nil {
			t.Errorf("got %d bytes and %v of a closed body", n, err)
		}
	}
	if n := s.connections.Load(); n != 2 {
		t.Errorf("got %d connections, want 2", n)
	}
}
