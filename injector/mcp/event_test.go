package mcp_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"mintmark/injector/mcp"
)

// all reads every event of a stream.
func all(r io.Reader, limit int) (events []mcp.Event, err error) {
	in := mcp.NewEvents(r, limit)
	for {
		e, err := in.Next()
		if errors.Is(err, io.EOF) {
			return events, nil
		}
		if err != nil {
			return events, err
		}
		events = append(events, e)
	}
}

func TestEvents(t *testing.T) {
	for name, c := range map[string]struct {
		stream string
		text   []string
		data   []string
	}{
		"one":                    {"data: 1\n\n", []string{"data: 1\n\n"}, []string{"1"}},
		"lines that end in CRLF": {"id: 1\r\ndata: 1\r\n\r\ndata: 2\r\n\r\n", []string{"id: 1\ndata: 1\n\n", "data: 2\n\n"}, []string{"1", "2"}},
		"lines that end in CR":   {"data: 1\r\rdata: 2\r\r", []string{"data: 1\n\n", "data: 2\n\n"}, []string{"1", "2"}},
		"data in parts":          {"data: a\ndata:b\ndata\n\n", []string{"data: a\ndata:b\ndata\n\n"}, []string{"a\nb\n"}},
		"a comment before":       {": ping\ndata: 1\n\n", []string{": ping\n", "data: 1\n\n"}, []string{"", "1"}},
		"a comment within":       {"data: 1\n: ping\n\n", []string{"data: 1\n: ping\n\n"}, []string{"1"}},
		"a byte order mark":      {"\uFEFFdata: 1\n\n\uFEFFdata: 2\n\n", []string{"data: 1\n\n", "\uFEFFdata: 2\n\n"}, []string{"1", ""}},
		"cut short":              {"data: 1\n\ndata: 2\n", []string{"data: 1\n\n"}, []string{"1"}},
		"a name like data":       {"Data: 1\ndata : 2\n\n", []string{"Data: 1\ndata : 2\n\n"}, []string{""}},
	} {
		t.Run(name, func(t *testing.T) {
			events, err := all(iotest.OneByteReader(strings.NewReader(c.stream)), 1<<10)
			if err != nil || len(events) != len(c.text) {
				t.Fatalf("got %q, %v, want %q", events, err, c.text)
			}
			for i, e := range events {
				if string(e.Text) != c.text[i] || string(e.Data) != c.data[i] {
					t.Errorf("event %d: got %q with %q, want %q with %q", i, e.Text, e.Data, c.text[i], c.data[i])
				}
			}
		})
	}
}

func TestEventsAreBounded(t *testing.T) {
	for name, stream := range map[string]string{
		"a long line": "data: " + strings.Repeat("x", 100) + "\n\n",
		"many lines":  strings.Repeat("data: x\n", 20) + "\n",
	} {
		if _, err := all(strings.NewReader(stream), 64); err == nil {
			t.Errorf("%s: got no error, want one", name)
		}
	}
}

func TestEditEvents(t *testing.T) {
	upper := func(m []byte) ([]byte, error) { return bytes.ToUpper(m), nil }
	in := ": a\nid: 7\ndata: x\ndata: y\n\nid: 8\ndata:\n\nevent: message\ndata: z\n\n"
	want := ": a\nid: 7\ndata: X\ndata: Y\n\nid: 8\ndata:\n\nevent: message\ndata: Z\n\n"
	got, err := io.ReadAll(mcp.EditEvents(strings.NewReader(in), 1<<10, upper))
	if err != nil || string(got) != want {
		t.Errorf("got %q, %v\nwant %q", got, err, want)
	}
	broken := errors.New("broken")
	got, err = io.ReadAll(mcp.EditEvents(strings.NewReader(in), 1<<10, func([]byte) ([]byte, error) { return nil, broken }))
	if !errors.Is(err, broken) || string(got) != ": a\n" {
		t.Errorf("an edit that fails: got %q, %v", got, err)
	}
}

// An event read and written anew reads as the same event, however the stream is
// cut into pieces.
func FuzzEvents(f *testing.F) {
	for _, seed := range []string{"data: 1\n\n", "id: 1\r\ndata: a\r\ndata: b\r\n\r\n", ": c\n\n", "\uFEFFdata:x\r\r", "data\n\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		whole, err := all(bytes.NewReader(stream), 1<<10)
		pieces, piecesErr := all(iotest.OneByteReader(bytes.NewReader(stream)), 1<<10)
		if len(whole) != len(pieces) || (err == nil) != (piecesErr == nil) {
			t.Fatalf("got %d events and %v whole, %d and %v in pieces", len(whole), err, len(pieces), piecesErr)
		}
		for _, e := range whole {
			if bytes.HasPrefix(e.Text, []byte(":")) || bytes.HasPrefix(e.Text, []byte("\uFEFF")) {
				continue // a comment is none, and a mark counts at the start alone
			}
			again, err := all(bytes.NewReader(e.Text), 1<<11)
			if err != nil || len(again) != 1 || !bytes.Equal(again[0].Data, e.Data) || !bytes.Equal(again[0].Text, e.Text) {
				t.Fatalf("event %q: read again as %q, %v", e.Text, again, err)
			}
			if e.Data == nil {
				continue
			}
			edited, err := all(bytes.NewReader(e.WithData([]byte("a\nb"))), 1<<11)
			if err != nil || len(edited) != 1 || string(edited[0].Data) != "a\nb" {
				t.Fatalf("event %q with other data: read as %q, %v", e.Text, edited, err)
			}
		}
	})
}
