package http1

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"testing"
)

// readWith reads one head with what was remembered of those before.
func readWith(l lines, raw []byte) (head, lines, error) {
	in := input{from: bytes.NewReader(raw), lines: l}
	h, err := in.readRequest(1 << 16)
	return h, in.lines, err
}

// FuzzHeadAfterAnother holds the reading of a head to what it is by itself, whatever
// came on the connection before.
func FuzzHeadAfterAnother(f *testing.F) {
	const plain = "POST /mcp/a HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer a\r\nContent-Length: 2\r\n\r\n"
	for _, seed := range [][2]string{
		{plain, plain},
		{plain, "POST /mcp/a HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer b\r\nContent-Length: 2\r\n\r\n"},
		{plain, "POST /mcp/b HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nAuthorization: Bearer a\r\n\r\n"},
		{plain, "POST /mcp/a HTTP/1.1\r\nHost: h\r\n\r\n"},
		{plain, "POST /mcp/a HTTP/1.1\r\nHost: h\r\nHost: h\r\nAuthorization: Bearer a\r\n\r\n"},
		{plain, "POST /mcp/a HTTP/1.0\r\nauthorization: Bearer a\r\nAuthorization: Bearer a\r\n\r\n"},
		{"GET / HTTP/1.1\r\nHost: h\r\nX: a\r\nbroken\r\n\r\n", "GET / HTTP/1.1\r\nHost: h\r\nX: a\r\nX: a\r\n\r\n"},
		{"GET / HTTP/1.1\r\n\r\n", "\r\n\r\n"},
	} {
		f.Add([]byte(seed[0]), []byte(seed[1]))
	}
	f.Fuzz(func(t *testing.T, first, second []byte) {
		_, before, _ := readWith(lines{}, first)
		if len(before.fields) > mostLines {
			t.Fatalf("%d lines are remembered, want at most %d", len(before.fields), mostLines)
		}
		got, _, err := readWith(before, second)
		want, _, alone := readWith(lines{}, second)
		if (err == nil) != (alone == nil) || err != nil && err.Error() != alone.Error() {
			t.Fatalf("got %v, and %v alone", err, alone)
		}
		same := maps.EqualFunc(got.header, want.header, slices.Equal[[]string]) && got.host == want.host && got.lengths == want.lengths
		if !same || !equalHeads(got, want) {
			t.Errorf("got another head than alone: %+v and %+v", got, want)
		}
	})
}

// A client whose heads have ever fewer lines, with a long one in another place each
// time, has no more remembered than one head.
func TestNoMoreThanOneHeadIsRemembered(t *testing.T) {
	const limit = 4 << 10
	var l lines
	for n := mostLines; n > 0; n-- {
		raw := "GET / HTTP/1.1\r\nHost: h\r\n" + strings.Repeat("X: y\r\n", n-1) + "Long: " + strings.Repeat("z", limit/2) + "\r\n\r\n"
		var err error
		if _, l, err = readWith(l, []byte(raw)); err != nil {
			t.Fatal(err)
		}
	}
	sum := len(l.start)
	for _, f := range l.fields {
		sum += len(f.text)
	}
	if sum > limit {
		t.Errorf("%d bytes are remembered, want no more than of a head: %d", sum, limit)
	}
}

// equalHeads compares what heads say beside their headers.
func equalHeads(a, b head) bool {
	return a.method == b.method && a.target == b.target && a.old == b.old && a.length == b.length && a.chunked == b.chunked && a.close == b.close
}

// What one handler does with a request's headers, no later request sees.
func TestHeadersAreEachRequestsOwn(t *testing.T) {
	raw := []byte("GET / HTTP/1.1\r\nHost: h\r\nX: mine\r\n\r\n")
	first, remembered, err := readWith(lines{}, raw)
	if err != nil {
		t.Fatal(err)
	}
	first.header["X"][0] = "changed"
	first.header["Y"] = []string{"added"}
	second, _, err := readWith(remembered, raw)
	if err != nil || len(second.header) != 1 || !slices.Equal(second.header["X"], []string{"mine"}) {
		t.Errorf("got %v %v, want what came", second.header, err)
	}
}

// A connection on which nothing is said keeps little of a long head that came on it.
func TestALongHeadIsNotKept(t *testing.T) {
	raw := "GET / HTTP/1.1\r\nHost: h\r\nLong: " + strings.Repeat("z", 30<<10) + "\r\n\r\n"
	in := input{from: strings.NewReader(raw)}
	if _, err := in.readRequest(32 << 10); err != nil {
		t.Fatal(err)
	}
	in.rest()
	kept := len(in.buf) + len(in.lines.start)
	for _, f := range in.lines.fields {
		kept += len(f.text)
	}
	if kept > 2*firstBuffer+mostText {
		t.Errorf("%d bytes are kept, want at most %d", kept, 2*firstBuffer+mostText)
	}
	in.from = strings.NewReader("GET /2 HTTP/1.1\r\nHost: h\r\n\r\n")
	if h, err := in.readRequest(32 << 10); err != nil || h.target != "/2" {
		t.Errorf("the next head: got %q, %v", h.target, err)
	}
}
