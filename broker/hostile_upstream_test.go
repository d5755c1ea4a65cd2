package broker_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"maps"
	"net/http"
	"net/url"
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

// attacks are the places where an HTTP/1.1 server can say something.
func attacks() map[string]attack {
	m := spoken()
	maps.Copy(m, wires())
	return m
}

// wires are those that no library for servers writes.
func wires() map[string]attack {
	return map[string]attack{
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
		"split by CR LF":      wire("HTTP/1.1 200 OK\r\nLocation: /\r\nX-A: @\r\nEtag: a\r\nContent-Length: 0\r\n\r\n"),
		"split by CR":         wire("HTTP/1.1 200 OK\r\nEtag: a\rSet-Cookie: @\r\nContent-Length: 0\r\n\r\n"),
		"split by LF":         wire("HTTP/1.1 200 OK\r\nEtag: a\nSet-Cookie: @\nContent-Length: 0\r\n\r\n"),
		"split by a body":     wire("HTTP/1.1 200 OK\r\nEtag: a\r\n\r\nHTTP/1.1 200 OK\r\nX-A: @\r\nContent-Length: 1\r\n\r\n@"),
		"many informational":  wire(repeat("HTTP/1.1 103 Early Hints\r\nLink: <@>\r\n\r\n", 12) + "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
		"only informational":  wire("HTTP/1.1 103 Early Hints\r\nLink: <@>\r\n\r\n"),
		"frames of HTTP/2":    wire("\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x40\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01@"),
		"a preface of HTTP/2": wire("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n@"),
	}
}

// spoken are those that servers of any version can make.
func spoken() map[string]attack {
	const rpc, sse = "application/json", "text/event-stream"
	m := map[string]attack{
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
		if strings.ContainsAny(s, `\"`) || len(s) > 150 { // what is escaped twice is looked for in one piece
			continue
		}
		for i := 0; i < len(s); i += size {
			fmt.Fprintf(&b, "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"delta\":\"%s\",\"progress\":%d}}\n\n", s[i:min(i+size, len(s))], i)
		}
		b.WriteString(": and\n\n")
	}
	return b.String() + answerEvent
}

// echoes are how servers repeat what a client sent: the body of the request, within a
// text or a JSON text, and within another in that.
func echoes() map[string]attack {
	echo := func(kind string, of func(body string) string) attack {
		return func(rw http.ResponseWriter, r *http.Request, _ string) {
			rw.Header().Set("Content-Type", kind)
			_, _ = io.WriteString(rw, of(bodyOf(r)))
		}
	}
	asJSON := func(s string) string { b, _ := json.Marshal(s); return string(b) }
	return map[string]attack{
		"body as it is":        echo("text/plain", func(s string) string { return s }),
		"body in JSON":         echo(jsonType, func(s string) string { return `{"request":` + asJSON(s) + `}` }),
		"body in JSON in JSON": echo(jsonType, func(s string) string { return `{"error":` + asJSON(`{"request":`+asJSON(s)+`}`) + `}` }),
		"body in HTML":         echo("text/html", func(s string) string { return "<pre>" + html.EscapeString(s) }),
		"body in HTML in JSON": echo(jsonType, func(s string) string { return `{"page":` + asJSON(html.EscapeString(s)) + `}` }),
		"body in a URL":        echo("text/plain", func(s string) string { return "/?q=" + url.QueryEscape(s) }),
		"body in a URL twice":  echo("text/plain", func(s string) string { return "/?q=" + url.QueryEscape("/?q="+url.QueryEscape(s)) }),
		"body in base64":       echo("text/plain", func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }),
		"body in an event":     echo("text/event-stream", func(s string) string { return "data: " + asJSON(asJSON(s)) + "\n\n" }),
	}
}

// approaches are the ways in which an agent calls an upstream of this name.
func (w *world) approaches(name string) map[string]request {
	plain := "/http/" + name + "-http/x"
	if shapes()[name].only == "api" {
		return map[string]request{"post": w.call(to(plain)), "put": w.call(to(plain), method("PUT"), body("{ }"))}
	}
	all := map[string]request{
		"call":   w.call(to("/mcp/" + name)),
		"list":   w.call(to("/mcp/"+name), body(`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`)),
		"stream": w.call(get("/mcp/" + name)),
		"plain":  w.call(get(plain)),
		"HEAD":   w.call(get(plain), method("HEAD")),
		"newer":  w.stateless2026("tools/call", 1, `"name":"lookup_order","arguments":{}`, "", to("/mcp/"+name)),
	}
	if name != "bearer" { // how it was asked and what was injected have nothing to do with each other
		delete(all, "list")
		delete(all, "newer")
		delete(all, "HEAD")
	}
	return all
}

// wantNothingOf has the upstream answer by an attack, and makes a call.
func (w *world) wantNothingOf(what string, does attack, call func() answer) {
	w.t.Helper()
	var got atomic.Int64
	w.upstream.does(func(rw http.ResponseWriter, r *http.Request) {
		got.Add(int64(len(stolen(r)) + len(proof(r))))
		does(rw, r, loot(r))
	})
	answer := call()
	for again := 0; got.Load() == 0 && again < 5; again++ { // the connection of the one before had ended
		answer = call()
	}
	if got.Load() == 0 {
		w.t.Errorf("%s: the upstream got no credential; the answer was %d %.200q %v", what, answer.status, answer.body, answer.err)
	}
	if w.wantNoSighting(answer); w.t.Failed() {
		w.t.Fatal(what)
	}
}

// suiting returns the calls by which an attack is tried. How long the tokens of an
// answer are has nothing to do with how it was asked.
func suiting(place string, calls map[string]request) map[string]request {
	if !strings.HasPrefix(place, "tokens of ") || place == "tokens of 3" {
		return calls
	}
	suit := maps.Clone(calls)
	maps.DeleteFunc(suit, func(how string, _ request) bool { return how != "plain" && how != "post" })
	return suit
}

// wantNothing tries attacks on the calls by which upstreams of some shapes are asked,
// and demands as many as there are.
func (w *world) wantNothing(t *testing.T, all map[string]attack, names ...string) {
	tried, want := 0, 0
	for _, name := range names {
		calls := w.approaches(name)
		for place := range all {
			want += len(suiting(place, calls))
		}
		t.Run(name, func(t *testing.T) {
			w.in(t)
			for place, does := range all {
				for how, call := range suiting(place, calls) {
					w.wantNothingOf(place+" by "+how, does, func() answer { return w.do(call) })
					tried++
				}
			}
			w.wantNoTrace()
		})
	}
	if w.in(t); tried != want || tried == 0 {
		t.Errorf("tried %d answers, want %d", tried, want)
	}
	t.Logf("%d answers of %d kinds: %v", tried, len(all), slices.Sorted(maps.Keys(all)))
}

// Whatever an upstream answers, and however an agent asked, the agent, the log and
// the metrics have nothing of what was injected; the end of the world looks at the
// record too.
func TestAHostileUpstreamShowsNothing(t *testing.T) {
	t.Parallel()
	w := hostile(t)
	w.wantNothing(t, attacks(), "bearer", "basic", "header", "password", "query", "cookie", "body", "sigv4", "sigv4a", "dpop")
}

// Nor of what it got in the body of the request, where it repeats that.
func TestAnUpstreamThatRepeatsTheBodyShowsNothing(t *testing.T) {
	t.Parallel()
	w := hostile(t)
	w.wantNothing(t, echoes(), "body")
}

// It is the same over TLS, by either version of HTTP; what answers is another client.
// What was injected there, and how it was asked, have nothing to do with that, but for
// a certificate: of the other shapes one call of each is tried.
func TestAHostileUpstreamOverTLSShowsNothing(t *testing.T) {
	t.Parallel()
	first := []string{"bearer", "dpop", "mtls"}
	for way, all := range map[string]map[string]attack{"https": attacks(), "h2": spoken()} {
		t.Run(way, func(t *testing.T) {
			w := hostileOver(t, way, slices.Collect(maps.Keys(shapes()))...)
			w.wantNothing(t, all, first...)
			tried := 0
			for name := range shapes() {
				if slices.Contains(first, name) {
					continue
				}
				t.Run(name, func(t *testing.T) {
					w.in(t)
					call := w.call(to("/http/" + name + "-http/x"))
					for place, does := range all {
						if strings.HasPrefix(place, "tokens of ") && place != "tokens of 3" {
							continue
						}
						w.wantNothingOf(place+" by post", does, func() answer { return w.do(call) })
						tried++
					}
				})
			}
			if w.in(t); tried < 8*(len(all)-8) {
				t.Errorf("tried %d answers, want %d", tried, 8*(len(all)-8))
			}
			w.wantNoTrace()
		})
	}
}
