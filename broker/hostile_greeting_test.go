package broker_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

// greetings are what a server says that speaks another protocol than was agreed on, or
// this one wrongly, before it is asked anything.
func greetings() map[string]string {
	goAway := string([]byte{0, 0, 200, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1})
	return map[string]string{
		"HTTP/1.1":              "HTTP/1.1 200 @\r\nX-A: @\r\n\r\n@",
		"HTTP/0.9":              "@",
		"going away":            string([]byte{0, 0, 0, 4, 0, 0, 0, 0, 0}) + goAway + "@",
		"going away at once":    goAway + "@",
		"a setting":             "\x00\x00\x06\x04\x00\x00\x00\x00\x00@",
		"an unknown frame":      "\x00\x00\x40\xbe\x00\x00\x00\x00\x00@",
		"another protocol":      "SSH-2.0-@\r\n",
		"a frame of any length": "\x01@",
	}
}

// greeter is an upstream of HTTP/1.1 over TLS that says what it got on one connection
// at the beginning of the next, before it has read what it is asked.
type greeter struct {
	greet atomic.Pointer[string] // nil: it answers
	loot  atomic.Pointer[string]
}

// serve runs it and returns its URL.
func (g *greeter) serve(w *world) (url, also string) {
	w.t.Helper()
	root := newAuthority(w.t)
	shown := root.signed(w.t, &x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}})
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{*shown}})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go g.connection(conn.(*tls.Conn))
		}
	}()
	w.trust(root.certificate.Raw)
	return "https://" + l.Addr().String(), "ca: upstream.pem, "
}

func (g *greeter) connection(conn *tls.Conn) {
	defer func() { _ = conn.Close() }()
	in := bufio.NewReader(conn)
	if _, err := in.Peek(1); err != nil {
		return
	}
	if greet := g.greet.Load(); greet != nil { // only now: the connection may be made ahead of its call
		_, _ = io.WriteString(conn, *greet)
		_ = conn.CloseWrite()
		_, _ = io.Copy(io.Discard, in)
		return
	}
	r, err := http.ReadRequest(in)
	if err != nil {
		return
	}
	said := loot(r)
	g.loot.Store(&said)
	_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
}

// Nor what it says before it is asked, of what it got on another connection. The client
// of HTTP/2 quotes nothing of that today, so that what is shown here is that it is a
// refusal, and would be that it began to.
func TestAHostileUpstreamsGreetingInHTTP2ShowsNothing(t *testing.T) {
	t.Parallel()
	g := &framing{}
	w := open(t, func(s *setup) {
		s.Policy = `permit (principal == Agent::"spiffe://example.org/agent/shop", action in [Action::"http", Action::"tools/call"], resource);`
	})
	url, also := g.serve(w)
	w.registerShapes(url, also, "bearer")
	fine := frames()["going away in peace"]
	g.answer.Store(&fine)
	w.wantOK(w.call(get("/http/bearer-http/x")), "{}")
	for name, text := range greetings() {
		t.Run(name, func(t *testing.T) {
			w.in(t)
			greet := func(conn wired) { _, _ = io.WriteString(conn, strings.ReplaceAll(text, "@", *g.loot.Load())) }
			g.greet.Store(&greet)
			w.broker.DropIdle()
			got := w.do(w.call(get("/http/bearer-http/x")))
			if got.err != nil || got.status < 500 {
				t.Errorf("got %d %.200q, %v, want a refusal", got.status, got.body, got.err)
			}
			w.wantNoSighting(got)
		})
	}
	w.in(t)
	w.wantNoTrace()
}

// Over HTTP/1.1 it is read as the answer, which the error quotes.
func TestAHostileUpstreamsGreetingShowsNothing(t *testing.T) {
	t.Parallel()
	g := &greeter{}
	w := open(t, func(s *setup) {
		s.Policy = `permit (principal == Agent::"spiffe://example.org/agent/shop", action in [Action::"http", Action::"tools/call"], resource);`
	})
	url, also := g.serve(w)
	w.registerShapes(url, also, "bearer")
	call := w.call(get("/http/bearer-http/x"))
	w.wantOK(call, "{}")
	for name, text := range greetings() {
		t.Run(name, func(t *testing.T) {
			w.in(t)
			said := strings.ReplaceAll(text, "@", strings.ReplaceAll(*g.loot.Load(), "\n", " "))
			g.greet.Store(&said)
			got := w.do(call)
			if got.err != nil || got.status < 500 && !strings.HasPrefix(text, "HTTP/1.1 200") {
				t.Errorf("got %d %.200q, %v, want a refusal", got.status, got.body, got.err)
			}
			w.wantNoSighting(got)
		})
	}
	w.in(t)
	w.wantNoTrace()
}
