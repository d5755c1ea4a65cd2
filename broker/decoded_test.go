package broker_test

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"mintmark/internal/fault"
	"mintmark/internal/testenv"
)

func coded(coding, text string) string { return string(testenv.Encode(coding, []byte(text))) }

// encodes has the upstream answer with a body in a coding.
func encodes(kind, coding string, body func(r *http.Request) string) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		h := rw.Header()
		h["Content-Type"] = []string{kind}
		h.Set("Content-Encoding", coding)
		h.Set("Etag", `"v1"`)
		h.Set("Accept-Ranges", "bytes")
		text := body(r)
		h.Set("Content-Length", fmt.Sprint(len(text)))
		_, _ = io.WriteString(rw, text)
	}
}

// codedAttacks are how an upstream shows what it got in an answer that says how it is
// compressed.
func codedAttacks() map[string]attack {
	m := map[string]attack{
		"gzip in br": func(rw http.ResponseWriter, r *http.Request, loot string) {
			encodes("text/plain", "gzip, br", func(*http.Request) string { return coded("br", zipped(loot)) })(rw, r)
		},
		"gzip, byte by byte": func(rw http.ResponseWriter, _ *http.Request, loot string) {
			rw.Header().Set("Content-Encoding", "gzip")
			for _, c := range []byte(zipped(loot)) {
				_, _ = rw.Write([]byte{c})
				_ = http.NewResponseController(rw).Flush()
			}
		},
		"gzip, in its name": func(rw http.ResponseWriter, r *http.Request, loot string) {
			encodes("application/json", "gzip", func(*http.Request) string { return "\x1f\x8b\x08\x08\x00\x00\x00\x00\x00\x03" + loot })(rw, r)
		},
	}
	for name := range testenv.Encoders() {
		m[name+", JSON"] = func(rw http.ResponseWriter, r *http.Request, loot string) {
			encodes("application/json", name, func(*http.Request) string {
				return coded(name, `{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"`+quoted(loot)+`"}]}}`)
			})(rw, r)
		}
		m[name+", events"] = func(rw http.ResponseWriter, r *http.Request, loot string) {
			encodes("text/event-stream", name, func(*http.Request) string { return coded(name, tokens(strings.Fields(loot), 7)) })(rw, r)
		}
		m[name+", cut short"] = func(rw http.ResponseWriter, r *http.Request, loot string) {
			encodes("application/octet-stream", name, func(*http.Request) string { text := coded(name, loot); return text[:len(text)-3] })(rw, r)
		}
	}
	return m
}

// What says how it is compressed is searched, and given to the agent as if it were not.
func TestACompressedAnswerIsDecoded(t *testing.T) {
	w := open(t)
	w.wantOK(w.call(), okAnswer) // has a credential minted
	for coding := range testenv.Encoders() {
		for _, kind := range []string{"application/json", "text/html", "application/octet-stream", ""} {
			for name, encode := range map[string]func(string) string{
				coding:              func(s string) string { return coded(coding, s) },
				coding + ", X-GZIP": func(s string) string { return zipped(coded(coding, s)) },
			} {
				w.upstream.does(encodes(kind, name, func(r *http.Request) string { return encode(`{"got": "` + bearerOf(r) + `"}`) }))
				got := w.wantOK(w.call(get("/http/api/x")), `{"got": "`+strings.Repeat("*", len(w.issuer.last()))+`"}`)
				for header, want := range map[string]string{"Content-Encoding": "", "Accept-Ranges": "", "Etag": `W/"v1"`, "Content-Type": kind} {
					if got.header.Get(header) != want {
						t.Errorf("%s, %q: got %s %q, want %q", name, kind, header, got.header.Get(header), want)
					}
				}
			}
		}
		w.upstream.does(encodes("application/json", coding, func(*http.Request) string { return coded(coding, okAnswer) }))
		w.wantOK(w.call(), okAnswer)
		w.wantOK(w.call(to("/mcp/open")), okAnswer)
		w.upstream.does(encodes("text/event-stream", coding, func(*http.Request) string { return coded(coding, answerEvent) }))
		w.wantOK(w.call(), answerEvent)
	}
}

// An upstream that is not told otherwise may send any coding.
func TestNoCodingIsAskedFor(t *testing.T) {
	for _, way := range []string{"http", "https", "h2"} {
		w := hostileOver(t, way, "bearer")
		w.wantOK(w.call(get("/http/bearer-http/x"), with("Accept-Encoding", "gzip")), "")
		if got := w.upstream.last(t).header["Accept-Encoding"]; !slices.Equal(got, []string{"identity"}) {
			t.Errorf("%s: got %q, want identity alone", way, got)
		}
	}
}

// An answer without a body says how it would be compressed.
func TestAnAnswerWithoutABodyIsNotDecoded(t *testing.T) {
	w := open(t)
	for status, verb := range map[int]string{200: "HEAD", 204: "GET", 304: "GET", 302: "GET"} {
		w.upstream.does(func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Encoding", "gzip")
			rw.Header().Set("Etag", `"v1"`)
			if status != 204 {
				rw.Header().Set("Content-Length", map[bool]string{true: "0", false: "77"}[status == 302])
			}
			rw.WriteHeader(status)
		})
		got := w.do(w.call(get("/http/api/x"), method(verb)))
		if got.err != nil || got.status != status || got.body != "" || got.header.Get("Etag") != `W/"v1"` || got.header.Get("Content-Encoding") != "" || got.header.Get("Content-Length") == "77" {
			t.Errorf("%s, %d: got %d %q, %v, %v", verb, status, got.status, got.body, got.header, got.err)
		}
	}
}

// A part of something compressed can't be decoded, even where parts may be asked for.
func TestAPartOfACompressedAnswerIsRefused(t *testing.T) {
	w := open(t, func(s *setup) {
		s.Policy = `permit (principal, action == Action::"http/GET", resource);`
	})
	if err := w.change("mintmark.yaml", "  api: {", "  files: {kind: http, url: \"http://"+w.upstream.address+"/v1\", unauthenticated: true}\n  api: {"); err != nil {
		t.Fatal(err)
	}
	w.upstream.does(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Encoding", "gzip")
		rw.Header().Set("Content-Range", "bytes 0-9/100")
		rw.WriteHeader(http.StatusPartialContent)
		_, _ = io.WriteString(rw, zipped("x")[:10])
	})
	w.wantRefused(w.call(get("/http/files/x"), with("Range", "bytes=0-9")), want{502, 0, "forward", fault.BadUpstream, "a part of a compressed answer", "shop", true})
}

// An event that was flushed does not wait for the next, and no secret shows at any
// place where it may be cut.
func TestACompressedStreamIsGivenOnAsItComes(t *testing.T) {
	for coding, open := range testenv.Encoders() {
		t.Run(coding, func(t *testing.T) { testCompressedStream(t, coding, open) })
	}
}

func testCompressedStream(t *testing.T, coding string, encoder func(io.Writer) testenv.Encoder) {
	w := open(t)
	pieces := make(chan string, 1)
	w.upstream.does(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "text/event-stream")
		rw.Header().Set("Content-Encoding", coding)
		_ = http.NewResponseController(rw).Flush()
		z := encoder(rw)
		for piece := range pieces {
			_, _ = io.WriteString(z, piece)
			_ = z.Flush()
			_ = http.NewResponseController(rw).Flush()
		}
		_ = z.Close()
	})
	x := w.begin(w.call())
	secret := w.issuer.last()
	for i := 0; i <= len(secret); i++ {
		pieces <- "data: " + secret[:i]
		pieces <- secret[i:] + "\n\n"
		x.want("data: " + strings.Repeat("*", len(secret)) + "\n\n")
	}
	close(pieces)
	if rest, err := io.ReadAll(x.body); len(rest) != 0 || err != nil {
		t.Errorf("end of the stream: got %q, %v", rest, err)
	}
	if rec := w.outcome(w.lastAllowed().Call); rec.ScrubHits != len(secret)+1 || rec.Fault != "" {
		t.Errorf("outcome: got %d hits and fault %q %q, want %d and none", rec.ScrubHits, rec.Fault, rec.Reason, len(secret)+1)
	}
}

// What turns out not to be whole after its head was given on is cut, and so does not
// look whole.
func TestACompressedAnswerThatIsNotWholeIsCut(t *testing.T) {
	w := open(t)
	long := repeat("an answer that has no end of its own ", 4000)
	for coding := range testenv.Encoders() {
		whole, after := coded(coding, long), "more comes after its end"
		if coding == "br" {
			after = "it is not what it says it is" // as its decoder has it
		}
		for _, c := range []struct{ kind, body, reason string }{
			{"text/plain", whole[:len(whole)-2], "it ended before it was whole"},
			{"text/event-stream", "{}", "it"}, // its head does not wait for the first event
			{"text/plain", whole + "\x00", after},
			{"text/plain", whole + whole, after},
			{"application/octet-stream", coded(coding, repeat("\x00", 64<<20)), "it decodes to more than 200 bytes for each of its own"},
		} {
			w.upstream.does(encodes(c.kind, coding, func(*http.Request) string { return c.body }))
			got := w.do(w.call(get("/http/api/x")))
			if got.status != 200 && got.status != 0 || got.err == nil {
				t.Errorf("%s, %s: got %d with %d bytes, %v, want it cut", coding, c.reason, got.status, len(got.body), got.err)
			}
			if rec := w.outcome(w.lastAllowed().Call); rec.Fault != "bad_upstream" || !strings.Contains(rec.Reason, "compressed answer ("+coding+") can't be checked for secrets: "+c.reason) {
				t.Errorf("%s: outcome: got %q %q, want %q", coding, rec.Fault, rec.Reason, c.reason)
			}
		}
	}
}

// The limits of an answer count what it decodes to.
func TestAnAnswerIsAsLargeAsItDecodes(t *testing.T) {
	w := open(t, func(s *setup) { s.Limits = "answer: 64KiB" })
	for size, want := range map[int]bool{1 << 10: true, 100 << 10: false} {
		list := `{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"lookup_order","description":"` + repeat("orders ", size/7) + `","inputSchema":{"type":"object"}}]}}`
		w.upstream.does(encodes("application/json", "gzip", func(*http.Request) string { return zipped(list) }))
		call := w.call(body(`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`))
		if want {
			w.wantOK(call, "lookup_order")
			continue
		}
		got := w.do(call).refusal(t)
		if !strings.Contains(got.Text, "larger than limits.answer") {
			t.Errorf("%d bytes: got %q, want it refused as too large", size, got.Text)
		}
	}
}
