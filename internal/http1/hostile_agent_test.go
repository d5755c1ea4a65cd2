package http1_test

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"mintmark/internal/http1"
)

// A handler leaves its deadline set, since the last of its answer is written when it
// has returned. It is not the next request's.
func TestTheDeadlineOfAnAnswerIsNotTheNextOnes(t *testing.T) {
	_, address := start(t, func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength == 0 {
			w.Header().Set("Content-Length", "0")
			_ = http.NewResponseController(w).Flush()
			_ = http.NewResponseController(w).SetWriteDeadline(time.Unix(1, 0)) // as if it had passed meanwhile
			return
		}
		echo(w, r)
	})
	conn := dial(t, address)
	in := bufio.NewReader(conn)
	_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	first, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = first.Body.Close()
	_, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
	line, err := in.ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "HTTP/1.1 100 ") {
		t.Errorf("got %q, %v, want to be told to go on", line, err)
	}
}

// Who connects and says nothing has the time of a head, and not that of a client
// who is known to come back.
func TestAConnectionThatSaysNothingEnds(t *testing.T) {
	_, address := start(t, echo, func(s *http1.Server) { s.HeadTime = 50 * time.Millisecond })
	conn := dial(t, address)
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("got %v, want the end of the connection", err)
	}
}
