package broker_test

import (
	"bytes"
	"compress/flate"
	"compress/zlib"
	"io"
	"net/http"
	"strings"
	"testing"

	"mintmark/broker"
	"mintmark/internal/fault"
)

func squeezed(open func(io.Writer) io.WriteCloser, text string) string {
	var b bytes.Buffer
	z := open(&b)
	_, _ = io.WriteString(z, text)
	_ = z.Close()
	return b.String()
}

// zlibAt is text as zlib has it at a level.
func zlibAt(level int, text string) string { return zlibWithin(level, text, nil) }

// zlibWith is that with a dictionary, which who reads it must have.
func zlibWith(level int, text string) string {
	return zlibWithin(level, text, []byte(`{"jsonrpc":"2.0","id":1}`))
}

func zlibWithin(level int, text string, dictionary []byte) string {
	return squeezed(func(b io.Writer) io.WriteCloser {
		z, err := zlib.NewWriterLevelDict(b, level, dictionary)
		if err != nil {
			panic(err)
		}
		return z
	}, text)
}

// What is compressed can't be looked through, whether or not the upstream says so.
func TestACompressedAnswerIsNotRelayed(t *testing.T) {
	t.Parallel()
	w := open(t)
	deflated := squeezed(func(b io.Writer) io.WriteCloser { z, _ := flate.NewWriter(b, 9); return z }, repeat("an answer ", 9))
	zlibbed := squeezed(func(b io.Writer) io.WriteCloser { return zlib.NewWriter(b) }, okAnswer)
	const says = "compressed answer"
	for name, c := range map[string]struct{ coding, kind, body string }{
		"one nobody knows":   {"x-odd", "application/json", "{}"},
		"one, then another":  {"gzip, x-odd", "application/json", zipped(okAnswer)},
		"three":              {"gzip, gzip, gzip", "application/json", zipped(zipped(zipped(okAnswer)))},
		"gzip in gzip":       {"gzip", "application/json", zipped(zipped(okAnswer))},
		"gzip that is none":  {"gzip", "application/octet-stream", "plain"},
		"br that is none":    {"br", "application/json", okAnswer},
		"zstd without end":   {"zstd", "text/html", "\x28\xb5\x2f\xfd\x04\x00"},
		"deflate, bare":      {"deflate", "image/png", deflated},
		"gzip, then more":    {"gzip", "text/plain", zipped("7") + "x"},
		"br within no gzip":  {"br, gzip", "application/json", "\x0b\x02\x80{}\x03"},
		"gzip":               {"", "application/json", zipped(okAnswer)},
		"gzip, without type": {"", "", zipped(okAnswer)},
		"gzip, HTML":         {"", "text/html; charset=utf-8", zipped(okAnswer)},
		"zstd":               {"", "text/plain", "\x28\xb5\x2f\xfd\x04\x00"},
		"zlib":               {"", "application/problem+json", zlibbed},
		"deflate":            {"", "application/json", deflated},
		"br":                 {"", "application/json", "\x0b\x02\x80{}\x03"},
		"LZ4":                {"", "text/plain", "\x04\x22\x4d\x18 "},
		"deflate, lines":     {"", "application/x-ndjson", deflated},
		"zlib, level 1":      {"", "text/html", zlibAt(1, okAnswer)},
		"zlib, level 5":      {"", "text/plain", zlibAt(5, okAnswer)}, // begins as text does
		"zlib, level 6":      {"", "", zlibAt(6, "x")},
		"zlib, level 9":      {"", "text/csv", zlibAt(9, repeat("an answer ", 9))},
		"zlib, dictionary 1": {"", "text/plain", zlibWith(1, okAnswer)},
		"zlib, dictionary 5": {"", "text/plain", zlibWith(5, okAnswer)},
		"zlib, dictionary 9": {"", "text/plain", zlibWith(9, okAnswer)},
	} {
		t.Run(name, func(t *testing.T) {
			w.in(t)
			w.upstream.does(func(rw http.ResponseWriter, _ *http.Request) {
				rw.Header()["Content-Type"] = []string{c.kind}
				if c.coding != "" {
					rw.Header().Set("Content-Encoding", c.coding)
				}
				_, _ = io.WriteString(rw, c.body)
			})
			step := "answer"
			if strings.Contains(c.coding, "x-odd") || strings.Count(c.coding, ",") == 2 {
				step = "forward" // its body is not read
			}
			w.wantRefused(w.call(get("/http/api/x")), want{502, 0, step, fault.BadUpstream, says, "shop", true})
		})
	}
	w.in(t)
}

// A file may be compressed: it is what was asked for, and stays as it is.
func TestAFileStaysAsItIs(t *testing.T) {
	t.Parallel()
	w := open(t)
	for kind, content := range map[string]string{
		"application/gzip": zipped(okAnswer), "application/octet-stream": "\x1f\x8b\x00", "image/png": "\x89PNG\x00",
		"text/plain": "\x1b[1mtext\x00", "text/x-none": "x?", "text/x-form": "x}\n\tx}\r\n", "text/csv": "x", "application/json": "7", "application/xml": "",
	} {
		w.upstream.does(func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Type", kind)
			_, _ = io.WriteString(rw, content)
		})
		if got := w.do(w.call(get("/http/api/x"))); got.status != 200 || got.body != content || got.err != nil {
			t.Errorf("%s: got %d %q, %v, want it as it is", kind, got.status, got.body, got.err)
		}
	}
}

// A stream whose beginning is text is cut where it stops to be.
func TestAStreamThatIsNoTextIsCut(t *testing.T) {
	t.Parallel()
	w := open(t)
	x, e := w.stream()
	e.event(t, ":\n\n") // shorter than any mark, and not held
	x.want(":\n\n")
	e.event(t, "data: "+strings.Repeat("\x1f\x8b\x08", 3)+"\n\n")
	if rest := x.wantCut(); rest != "" {
		t.Errorf("got %q, want nothing more", rest)
	}
	if rec := w.outcome(w.lastAllowed().Call); !strings.Contains(rec.Reason, "compressed") || rec.Fault != "bad_upstream" {
		t.Errorf("outcome: got %q %q", rec.Fault, rec.Reason)
	}
}

// Every character is known for what it is, wherever it stands among others.
func TestControlCharactersAreFound(t *testing.T) {
	t.Parallel()
	for c := range 256 {
		want := c < ' ' && c != '\n' && c != '\r' && c != '\t'
		for at := range 20 {
			for _, other := range []string{"x", "\n", "\xff", " "} {
				text := []byte(strings.Repeat(other, 20))
				if text[at] = byte(c); broker.HasControls(text) != want {
					t.Errorf("got %v for %q, want %v", !want, text, want)
				}
			}
		}
	}
}
