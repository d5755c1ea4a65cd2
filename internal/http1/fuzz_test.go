package http1_test

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"testing"
	"time"

	"mintmark/internal/http1"
)

// canned is a connection on which the answer is there already.
type canned struct {
	net.Conn // none: a method that is not below panics
	answer   *bytes.Reader
}

func (c canned) Read(p []byte) (int, error)       { return c.answer.Read(p) }
func (c canned) Write(p []byte) (int, error)      { return len(p), nil }
func (c canned) Close() error                     { return nil }
func (c canned) SetDeadline(time.Time) error      { return nil }
func (c canned) SetReadDeadline(time.Time) error  { return nil }
func (c canned) SetWriteDeadline(time.Time) error { return nil }

// Whatever is read here as an answer, net/http reads as the same one.
func FuzzAnswer(f *testing.F) {
	for _, seed := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1;x\r\nk\r\n0\r\nX: y\r\n\r\nrest",
		"HTTP/1.1 204 No Content\r\nX-A: b\r\nx-a: c\r\n\r\n",
		"HTTP/1.0 200 OK\r\nConnection: close\r\n\r\nall",
		"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 404 \r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n",
		"HTTP/1.1 200 OK\nContent-Length: 1\n\nx",
	} {
		f.Add([]byte(seed), false)
		f.Add([]byte(seed), true)
	}
	f.Fuzz(func(t *testing.T, raw []byte, headOnly bool) {
		method := http.MethodPost
		if headOnly {
			method = http.MethodHead
		}
		c := http1.New(http1.Options{
			Dial:    func(context.Context) (net.Conn, error) { return canned{answer: bytes.NewReader(raw)}, nil },
			MaxHead: 1 << 20, MaxIdle: 1, Idle: time.Hour,
		})
		defer c.Close()
		resp, err := c.Send(t.Context(), &http1.Request{Method: method, Target: "/", Host: "h"}, func() error { return nil })
		if err != nil {
			return
		}
		defer func() { _ = resp.Body.Close() }()
		if resp.StatusCode < 100 {
			return // of no class: the connection ends with it, and net/http reads on
		}
		body, err := io.ReadAll(resp.Body)
		theirs, theirBody, theirErr := foreign(raw, method) //nolint:bodyclose // it was read to its end
		if theirs == nil {
			t.Fatalf("read as %d %v here, and refused by net/http: %v", resp.StatusCode, resp.Header, theirErr)
		}
		if theirs.StatusCode != resp.StatusCode || !sameHeader(theirs.Header, resp.Header) {
			t.Fatalf("got %d %v, net/http reads %d %v", resp.StatusCode, resp.Header, theirs.StatusCode, theirs.Header)
		}
		if err == nil && (theirErr != nil || !bytes.Equal(body, theirBody)) {
			t.Fatalf("got body %q, net/http reads %q, %v", body, theirBody, theirErr)
		}
	})
}

// foreign reads the answer as net/http does, past interim ones as its Transport.
func foreign(raw []byte, method string) (*http.Response, []byte, error) {
	in := bufio.NewReader(bytes.NewReader(raw))
	for {
		resp, err := http.ReadResponse(in, &http.Request{Method: method})
		if err != nil {
			return nil, nil, err
		}
		if resp.StatusCode >= 200 || resp.StatusCode == http.StatusSwitchingProtocols {
			body, err := io.ReadAll(resp.Body)
			return resp, body, err
		}
	}
}

// sameHeader compares what both show: net/http takes out what concerns the
// connection.
func sameHeader(theirs, ours http.Header) bool {
	ours = ours.Clone()
	for _, name := range []string{"Transfer-Encoding", "Connection", "Trailer", "Content-Length"} {
		delete(ours, name)
		delete(theirs, name)
	}
	return maps.EqualFunc(theirs, ours, slices.Equal)
}
