package wire_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"mintmark/cmd/mintbench/wire"
)

func ExampleReadHead() {
	r := bufio.NewReader(strings.NewReader("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"))
	var h wire.Head
	_ = wire.ReadHead(r, &h)
	status, _ := h.Status()
	body, _ := wire.ReadBody(r, &h, nil)
	fmt.Println(status, string(body))
	// Output: 200 hello
}

func read(message string) (wire.Head, string, error) {
	r := bufio.NewReaderSize(strings.NewReader(message), 64)
	var h wire.Head
	if err := wire.ReadHead(r, &h); err != nil {
		return h, "", err
	}
	body, err := wire.ReadBody(r, &h, nil)
	return h, string(body), err
}

func TestReadsWhatServersSend(t *testing.T) {
	long := strings.Repeat("x", 1000) // longer than the reader's buffer
	for _, c := range []struct{ name, message, body string }{
		{"length", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "ok"},
		{"other case, other spaces", "HTTP/1.1 200 OK\r\nCONTENT-LENGTH:2 \r\n\r\nok", "ok"},
		{"no body", "HTTP/1.1 202 Accepted\r\n\r\n", ""},
		{"long", "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + long, long},
		{"chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n3;x=y\r\n!!!\r\n0\r\n\r\n", "ok!!!"},
		{"long chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3E8\r\n" + long + "\r\n0\r\n\r\n", long},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, body, err := read(c.message)
			if err != nil || body != c.body {
				t.Errorf("got %q, %v, want %q", body, err, c.body)
			}
		})
	}
}

func TestRefuses(t *testing.T) {
	for _, c := range []struct{ name, message string }{
		{"cut head", "HTTP/1.1 200 OK\r\nContent-Le"},
		{"cut body", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok"},
		{"cut chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nok"},
		{"no last chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n"},
		{"chunk too long", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nokay\r\n0\r\n\r\n"},
		{"negative chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n"},
		{"negative length", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"},
		{"huge length", "HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n"},
		{"no header", "HTTP/1.1 200 OK\r\nnonsense\r\n\r\n"},
		{"endless line", strings.Repeat("x", 1000)},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, body, err := read(c.message); err == nil || errors.Is(err, io.EOF) {
				t.Errorf("got %q, %v, want an error that is not io.EOF", body, err)
			}
		})
	}
}

func TestEndBetweenMessagesIsEOF(t *testing.T) {
	if _, _, err := read(""); err != io.EOF { //nolint:errorlint // the very value is the contract
		t.Errorf("got %v, want io.EOF", err)
	}
}

func TestHeadIsReadAnew(t *testing.T) {
	r := bufio.NewReader(strings.NewReader(
		"POST / HTTP/1.1\r\nAuthorization: Bearer a\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx" +
			"POST / HTTP/1.1\r\n\r\n"))
	var h wire.Head
	for i, want := range []string{"Bearer a", ""} {
		if err := wire.ReadHead(r, &h); err != nil {
			t.Fatal(err)
		}
		if string(h.Authorization) != want || h.Close != (i == 0) {
			t.Errorf("message %d: got %q, close %v, want %q, %v", i, h.Authorization, h.Close, want, i == 0)
		}
		if _, err := wire.ReadBody(r, &h, nil); err != nil {
			t.Fatal(err)
		}
	}
}

// TestWhatEndsTheConnection: HTTP/1.0 does by itself, and its speakers know no
// chunks.
func TestWhatEndsTheConnection(t *testing.T) {
	for _, c := range []struct {
		message    string
		old, close bool
	}{
		{"POST /mcp HTTP/1.1\r\n\r\n", false, false},
		{"POST /mcp HTTP/1.1\r\nConnection: keep-alive\r\n\r\n", false, false},
		{"POST /mcp HTTP/1.1\r\nConnection: close\r\n\r\n", false, true},
		{"POST /mcp HTTP/1.0\r\n\r\n", true, true},
		{"POST /mcp HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", true, true},
		{"HTTP/1.1 200 OK\r\nConnection: Close\r\n\r\n", false, true},
	} {
		if h, _, err := read(c.message); err != nil || h.Old != c.old || h.Close != c.close {
			t.Errorf("%q: got old %v, close %v, %v, want %v, %v", c.message, h.Old, h.Close, err, c.old, c.close)
		}
	}
}

func TestStatus(t *testing.T) {
	for start, want := range map[string]int{"HTTP/1.1 200 OK": 200, "HTTP/1.1 401": 401, "HTTP/1.0 200 OK": 0, "HTTP/1.1 abc": 0, "": 0} {
		got, err := (&wire.Head{Start: []byte(start)}).Status()
		if got != want || (err == nil) != (want != 0) {
			t.Errorf("%q: got %d, %v, want %d", start, got, err, want)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	f.Add("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")
	f.Fuzz(func(t *testing.T, message string) {
		h, body, err := read(message)
		if len(h.Start)+len(body) > len(message) {
			t.Errorf("made %d bytes of %d", len(h.Start)+len(body), len(message))
		}
		if err == nil && !h.Chunked && int64(len(body)) != max(0, h.Length) {
			t.Errorf("got %d bytes, want %d", len(body), h.Length)
		}
	})
}
