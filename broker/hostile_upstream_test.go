package broker_test

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

// attack is how a hostile upstream answers to show what it got.
type attack func(rw http.ResponseWriter, r *http.Request, loot string)

// passing are the headers that an agent may get, and others that it may not.
func passing() []string {
	return []string{
		"Content-Type", "Cache-Control", "Retry-After", "Allow", "Location", "Mcp-Protocol-Version", "Etag", "Last-Modified", "Content-Range",
		"Accept-Ranges", "Content-Disposition", "Content-Language", "Expires", "Vary", "Link",
		"Set-Cookie", "Set-Cookie2", "Www-Authenticate", "Proxy-Authenticate", "Authentication-Info", "Proxy-Authentication-Info", "Dpop-Nonce",
		"X-Amz-Request-Id", "X-Amz-Security-Token", "X-Debug", "Server", "Via", "Warning", "Refresh", "Trailer", "X-Accel-Redirect", "Mcp-Method",
	}
}

func typed(kind string, status int, body func(loot string) string) attack {
	return func(rw http.ResponseWriter, _ *http.Request, loot string) {
		rw.Header().Set("Content-Type", kind)
		rw.WriteHeader(status)
		_, _ = io.WriteString(rw, body(loot))
	}
}

// wire answers with bytes of its own, % being the loot.
func wire(format string) attack {
	return func(rw http.ResponseWriter, r *http.Request, loot string) {
		raw(strings.ReplaceAll(format, "@", strings.ReplaceAll(loot, "\n", " ")))(rw, r)
	}
}

func quoted(s string) string { return strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) }

// attacks are the places where an HTTP server can say something.
func attacks() map[string]attack {
	const rpc, sse = "application/json", "text/event-stream"
	m := map[string]attack{
		"reason phrase":       wire("HTTP/1.1 200 @\r\nContent-Length: 0\r\n\r\n"),
		"status line alone":   wire("HTTP/1.1 @\r\n\r\n"),
		"protocol":            wire("@ 200 OK\r\n\r\n"),
		"informational":       wire("HTTP/1.1 103 @\r\nLink: <@>\r\nX-A: @\r\n\r\nHTTP/1.1 102 @\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
		"continue":            wire("HTTP/1.1 100 @\r\nX-A: @\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
		"header name":         wire("HTTP/1.1 200 OK\r\nX-@: 1\r\nContent-Length: 0\r\n\r\n"),
		"bad header":          wire("HTTP/1.1 200 OK\r\n@\r\nContent-Length: 0\r\n\r\n"),
		"folded header":       wire("HTTP/1.1 200 OK\r\nEtag: a\r\n @\r\nContent-Length: 0\r\n\r\n"),
		"bad length":          wire("HTTP/1.1 200 OK\r\nContent-Length: @\r\n\r\n"),
		"bad coding":          wire("HTTP/1.1 200 OK\r\nTransfer-Encoding: @\r\n\r\n"),
		"chunk extension":     wire("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=\"@\"\r\n{}\r\n0;@\r\n\r\n"),
		"chunk size":          wire("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n@\r\n\r\n"),
		"trailer":             wire("HTTP/1.1 200 OK\r\nTrailer: Etag, X-A\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nEtag: @\r\nX-A: @\r\n\r\n"),
		"undeclared trailer":  wire("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n@\r\n\r\n"),
		"switch":              wire("HTTP/1.1 101 @\r\nUpgrade: @\r\nConnection: Upgrade\r\n\r\n@"),
		"no content":          wire("HTTP/1.1 204 @\r\nContent-Length: 5\r\n\r\n@"),
		"not modified":        wire("HTTP/1.1 304 @\r\nEtag: @\r\nContent-Length: 5\r\n\r\n@"),
		"after the end":       wire("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 200 @\r\n\r\n@"),
		"huge header":         wire("HTTP/1.1 200 OK\r\nEtag: " + repeat("x", 70<<10) + "@\r\n\r\n"),
		"many headers":        wire("HTTP/1.1 200 OK\r\n" + repeat("Etag: @\r\n", 3) + "Content-Length: 0\r\n\r\n"),
		"no HTTP":             wire("@"),
		"to the end":          wire("HTTP/1.1 200 OK\r\n\r\n@"),
		"cut short":           wire("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n@"),
		"HTTP/0.9":            wire("<html>@"),
		"gzip, declared":      wire("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n@"),
		"coding that is text": wire("HTTP/1.1 200 OK\r\nContent-Encoding: identity, @\r\n\r\n@"),

		"range": func(rw http.ResponseWriter, r *http.Request, loot string) {
			rw.Header().Set("Content-Range", "bytes 0-9/"+loot)
			typed("text/plain", 206, func(s string) string { return s })(rw, r, loot)
		},
		"byte by byte": func(rw http.ResponseWriter, _ *http.Request, loot string) {
			for _, c := range []byte(loot) {
				_, _ = rw.Write([]byte{c})
				_ = http.NewResponseController(rw).Flush()
			}
		},
		"session id": func(rw http.ResponseWriter, r *http.Request, loot string) {
			rw.Header().Set("Mcp-Session-Id", strings.ReplaceAll(loot, " ", ".")[:min(1000, len(loot))])
			answerOK(rw, r)
		},
		"bad session id": func(rw http.ResponseWriter, r *http.Request, loot string) {
			rw.Header().Set("Mcp-Session-Id", loot)
			answerOK(rw, r)
		},
		"gzip, undeclared": func(rw http.ResponseWriter, _ *http.Request, loot string) {
			rw.Header().Set("Content-Type", rpc)
			_, _ = io.WriteString(rw, zipped(loot))
		},

		"no type":   typed("", 200, func(s string) string { return s }),
		"HTML":      typed("text/html", 500, func(s string) string { return "<pre>" + s + "</pre>" }),
		"multipart": typed(`multipart/mixed; boundary="b"`, 200, func(s string) string { return "--b\r\nX-A: " + s + "\r\n\r\n" + s + "\r\n--b--" }),
		"forbidden": typed("text/plain", 403, func(s string) string { return s }),
		"refused":   typed("text/plain", 401, func(s string) string { return s }),
		"not found": typed(rpc, 404, func(s string) string {
			return `{"jsonrpc":"2.0","id":1,"error":{"code":-32001,"message":"` + quoted(s) + `"}}`
		}),
		"bad": typed(rpc, 400, func(s string) string {
			return `{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"` + quoted(s) + `"}}`
		}),
		"error": typed(rpc, 200, func(s string) string {
			return `{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"m","data":{"` + quoted(s) + `":["` + quoted(s) + `"]}}}`
		}),
		"not JSON": typed(rpc, 200, func(s string) string { return `{"jsonrpc":"2.0","id":1,` + s }),
		"other id": typed(rpc, 200, func(s string) string { return `{"jsonrpc":"2.0","id":"` + quoted(s) + `","result":{}}` }),
		"result": typed(rpc, 200, func(s string) string {
			return `{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"` + quoted(s) + `"}]}}`
		}),
		"resource": typed(rpc, 200, func(s string) string {
			return `{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"resource_link","uri":"file:///` + quoted(s) + `","name":"` + quoted(s) + `"}]}}`
		}),
		"list": typed(rpc, 200, func(s string) string {
			return `{"jsonrpc":"2.0","id":1,"result":{"nextCursor":"` + quoted(s) + `","tools":[{"name":"lookup_` + quoted(s) + `","description":"` + quoted(s) + `","inputSchema":{"type":"object","title":"` + quoted(s) + `"}},{"name":"lookup_order","description":"` + quoted(s) + `","inputSchema":{"type":"object"}}]}}`
		}),
		"events": typed(sse, 200, func(s string) string {
			return "id: " + s + "\nretry: " + s + "\nevent: " + s + "\n: " + s + "\n" + s + "\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{\"data\":\"" + quoted(s) + "\"}}\n\n" + answerEvent
		}),
		"events that are no JSON": typed(sse, 200, func(s string) string { return "data: " + s + "\n\n" + answerEvent }),
		"request of its own": typed(sse, 200, func(s string) string {
			return `data: {"jsonrpc":"2.0","id":"` + quoted(s) + `","method":"` + quoted(s) + `","params":{"` + quoted(s) + `":1}}` + "\n\n" + answerEvent
		}),
	}
	for size := range 9 {
		m[fmt.Sprintf("tokens of %d", size+1)] = typed(sse, 200, func(loot string) string { return tokens(strings.Fields(loot), size+1) })
	}
	maps.Copy(m, codedAttacks())
	for _, name := range passing() {
		m["header "+name] = func(rw http.ResponseWriter, _ *http.Request, loot string) {
			rw.Header()[name] = []string{loot, loot}
			rw.WriteHeader(http.StatusFound)
		}
	}
	return m
}

// tokens says texts in events of so many characters, of JSON that has no escapes.
func tokens(texts []string, size int) string {
	var b strings.Builder
	for _, s := range texts {
		if strings.ContainsAny(s, `\"`) {
			continue
		}
		for i := 0; i < len(s); i += size {
			fmt.Fprintf(&b, "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"delta\":\"%s\",\"progress\":%d}}\n\n", s[i:min(i+size, len(s))], i)
		}
		b.WriteString(": and\n\n")
	}
	return b.String() + answerEvent
}

// approaches are the ways in which an agent calls an upstream of this name.
func (w *world) approaches(name string) map[string]request {
	all := map[string]request{
		"call":   w.call(to("/mcp/" + name)),
		"list":   w.call(to("/mcp/"+name), body(`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`)),
		"stream": w.call(get("/mcp/" + name)),
		"plain":  w.call(get("/http/" + name + "-http/x")),
		"HEAD":   w.call(get("/http/"+name+"-http/x"), method("HEAD")),
		"newer":  w.stateless2026("tools/call", 1, `"name":"lookup_order","arguments":{}`, "", to("/mcp/"+name)),
	}
	if name != "bearer" { // how it was asked and what was injected have nothing to do with each other
		delete(all, "list")
		delete(all, "newer")
		delete(all, "HEAD")
	}
	return all
}

// Whatever an upstream answers, and however an agent asked, the agent, the log and
// the metrics have nothing of what was injected; the end of the world looks at the
// record too.
func TestAHostileUpstreamShowsNothing(t *testing.T) {
	w := hostile(t)
	all := attacks()
	tried := 0
	for name := range shapes() {
		t.Run(name, func(t *testing.T) {
			w.in(t)
			for place, does := range all {
				for how, call := range w.approaches(name) {
					var got atomic.Int64
					w.upstream.does(func(rw http.ResponseWriter, r *http.Request) {
						got.Add(int64(len(stolen(r))))
						does(rw, r, loot(r))
					})
					answer := w.do(call)
					for again := 0; got.Load() == 0 && again < 5; again++ { // the connection of the one before had ended
						answer = w.do(call)
					}
					if got.Load() == 0 {
						t.Errorf("%s by %s: the upstream got no credential; the answer was %d %.200q %v", place, how, answer.status, answer.body, answer.err)
					}
					w.wantNoSighting(answer)
					if t.Failed() {
						t.Fatalf("%s by %s", place, how)
					}
					tried++
				}
			}
		})
	}
	w.in(t)
	if want := len(all) * (3*len(shapes()) + 3); tried != want {
		t.Errorf("tried %d answers, want %d", tried, want)
	}
	t.Logf("%d answers of %d kinds: %v", tried, len(all), slices.Sorted(maps.Keys(all)))
}
