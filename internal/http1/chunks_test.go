package http1_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"mintmark/internal/http1"
)

// An answer in chunks of a byte costs no step for each byte.
func TestSmallChunksThatCameTogetherAreReadTogether(t *testing.T) {
	const size = 1 << 16
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		_, _ = conn.Read(make([]byte, 4096))
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"+strings.Repeat("1;x\r\na\r\n", size)+"0\r\n\r\n")
	}()
	client := http1.New(http1.Options{
		Dial: func(ctx context.Context) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String())
		},
		MaxHead: 8 << 10, MaxIdle: 1, Idle: time.Minute,
	})
	t.Cleanup(client.Close)
	resp, err := client.Send(t.Context(), &http1.Request{Method: http.MethodGet, Target: "/", Host: "h", Header: http.Header{}}, func() error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	reads, total, room := 0, 0, make([]byte, 32<<10)
	for err == nil {
		var n int
		n, err = resp.Body.Read(room)
		reads, total = reads+1, total+n
	}
	if !errors.Is(err, io.EOF) || total != size || reads > size/16 {
		t.Errorf("got %d bytes in %d reads, then %v, want %d in far fewer, then the end", total, reads, err, size)
	}
}
