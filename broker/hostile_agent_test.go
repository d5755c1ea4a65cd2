package broker_test

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// smuggled is the authority that a hostile agent wants at the upstream, in place of
// the broker's or beside it.
const smuggled = "sk-smuggled-0123456789"

// reflection is an upstream that shows all it got, as debug pages do.
func reflection(rw http.ResponseWriter, r *http.Request) {
	rw.Header().Set("Content-Type", "text/plain")
	rw.Header().Set("Etag", loot(r))
	_, _ = fmt.Fprintf(rw, "%s %s %s\n%v\n%v\n", r.Method, r.RequestURI, r.Host, r.Header, r.Trailer)
	_, _ = io.WriteString(rw, loot(r))
}

// mayReach are the headers in which a request comes to an upstream, beside those of
// the credential.
func mayReach() []string {
	return []string{
		"Accept", "Accept-Encoding", "Accept-Language", "Cache-Control", "Content-Disposition", "Content-Language", "Content-Length", "Content-Type",
		"If-Match", "If-Modified-Since", "If-None-Match", "If-Unmodified-Since", "Mcp-Method", "Mcp-Name", "Mcp-Protocol-Version",
		"Traceparent", "Tracestate", "User-Agent",
	}
}

// heads are what an agent adds to the head of an ordinary request. @ is what it
// smuggles.
func heads() map[string]string {
	m := map[string]string{
		"a header twice":           "X-Api-Key: @\r\nX-Api-Key: @\r\n",
		"Authorization twice":      "Authorization: Bearer @\r\n",
		"its case":                 "aUTHORIZATION: Bearer @\r\n",
		"a fold":                   "X-A: en\r\n Authorization: Bearer @\r\n",
		"a fold by tab":            "X-A: en\r\n\tCookie: sid=@\r\n",
		"a blank before the colon": "X-Api-Key : @\r\n",
		"a blank in the name":      "X Api Key: @\r\n",
		"no name":                  ": @\r\n",
		"a lone CR":                "Accept-Language: en\rAuthorization: Bearer @\r\n",
		"a lone LF":                "Accept-Language: en\nCookie: sid=@\r\n",
		"NUL":                      "Accept-Language: en\x00Cookie: @\r\n",
		"a name beyond ASCII":      "X-Äpi-Key: @\r\n",
		"named by Connection":      "Connection: X-Api-Key, Accept\r\nX-Api-Key: @\r\n",
		"Connection of ours":       "Connection: close, Authorization, Content-Length, Host\r\nCookie: @\r\n",
		"Keep-Alive":               "Keep-Alive: @\r\nProxy-Connection: @\r\n",
		"TE":                       "TE: trailers, @\r\n",
		"a trailer announced":      "Trailer: Authorization, X-Api-Key\r\nX-A: @\r\n",
		"an upgrade":               "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: @\r\n",
		"an upgrade to HTTP/2":     "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: @\r\n",
		"an expectation":           "Expect: 100-continue\r\nX-Api-Key: @\r\n",
		"an odd expectation":       "Expect: @\r\n",
		"another method":           "X-HTTP-Method-Override: DELETE\r\nX-HTTP-Method: DELETE\r\nX-Method-Override: @\r\n",
		"another path":             "X-Original-URL: /@\r\nX-Rewrite-URL: /@\r\n",
		"another host":             "X-Forwarded-Host: @\r\nX-Host: @\r\nForwarded: host=@\r\n",
		"hops":                     "Max-Forwards: 0\r\nVia: 1.1 @\r\n",
		"a range":                  "Range: bytes=0-3\r\nIf-Range: \"@\"\r\n",
		"a range in a unit":        "Range: items=@\r\n",
		"a coding":                 "Accept-Encoding: gzip, br, @\r\n",
		"a charset":                "Accept-Charset: utf-7, @\r\n",
		"a very long one":          "X-Api-Key: @" + repeat("x", 30<<10) + "\r\n",
		"very many":                repeat("X-Api-Key: @\r\n", 400),
		"resuming":                 "Last-Event-ID: @\r\n",
		"a length of its own":      "Content-Length: 0\r\n",
		"a coding of the body":     "Transfer-Encoding: gzip, chunked\r\nX-Api-Key: @\r\n",
		"a length twice":           "Content-Length: 3\r\nContent-Length: 4\r\n",
		"a hidden coding":          "Transfer-Encoding : chunked\r\nX-Api-Key: @\r\n",
	}
	for _, name := range []string{
		"Proxy-Authorization", "Cookie", "Cookie2", "X-Api-Key", "X_Api_Key", "x-api_key", "Api-Key", "Apikey", "X-Auth-Token", "X_AUTH_TOKEN", "Private-Token",
		"X-Gitlab-Token", "X-Vault-Token", "X-Amz-Security-Token", "X-Amz-Date", "X-Amz-Content-Sha256", "X-Amz-Target", "X-Goog-Api-Key", "X-Goog-Iam-Authorization-Token",
		"X-Ms-Token-Aad-Access-Token", "Ocp-Apim-Subscription-Key", "Dpop", "Signature", "Signature-Input", "X-Forwarded-User", "X-Forwarded-Client-Cert",
		"X-Forwarded-For", "X-Forwarded-Access-Token", "X-Remote-User", "Remote-User", "X-Real-Ip", "Forwarded", "X-Client-Cert", "Ssl-Client-Cert", "X-Csrf-Token",
		"Authorization_", "Authorisation", "X-Authorization", "Http-Authorization", "X-Login", "X-Session-Id", "Sec-Fetch-Site", "Referer", "Origin2", "X-Anything",
		"Www-Authenticate", "Authentication-Info", "X-Request-Id", "User-Agent", "From", "Host2", "Content-Md5", "Mcp-Param-Token", "Mcp-Session-Token",
	} {
		m["header "+name] = name + ": @\r\n"
	}
	return m
}

// wantNothingSmuggled looks at what came to the upstream, where anything did.
func (w *world) wantNothingSmuggled(what string, got answer, before int) {
	w.t.Helper()
	if w.upstream.taken() == before {
		if got.status >= 200 && got.status < 400 && got.err == nil && !strings.Contains(got.body, `"error"`) {
			w.t.Errorf("%s: got %d %.200q without the upstream", what, got.status, got.body)
		}
		return
	}
	reached := w.upstream.last(w.t)
	for name, values := range reached.header {
		ours := name == "Authorization" && len(values) == 1 && values[0] == "Bearer "+w.issuer.last()
		if !ours && !slices.Contains(mayReach(), name) || name == "Accept-Encoding" && !slices.Equal(values, []string{"identity"}) {
			w.t.Errorf("%s: the upstream got %s: %q", what, name, values)
		}
	}
	if all := fmt.Sprint(reached.method, reached.target, reached.host, reached.header); strings.Contains(all, smuggled) {
		w.t.Errorf("%s: the upstream got what was smuggled: %s", what, all)
	}
	if reached.host != w.upstream.address {
		w.t.Errorf("%s: the upstream got host %q", what, reached.host)
	}
}

func TestAHostileAgentSmugglesNothing(t *testing.T) {
	t.Parallel()
	w := hostile(t)
	w.upstream.does(reflection)
	const get, post = "GET /http/bearer-http/x HTTP/1.1\r\n", "POST /mcp/bearer HTTP/1.1\r\n"
	for name, head := range heads() {
		t.Run(name, func(t *testing.T) {
			w.in(t)
			for _, line := range []string{get, post} {
				text := ""
				if line == post {
					text = toolCall("lookup_order")
				}
				r := request{method: strings.Fields(line)[0], body: text, head: line + "Host: " + w.plain + "\r\nAuthorization: Bearer " + w.agent + "\r\n" +
					"Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n" + strings.ReplaceAll(head, "@", smuggled)}
				if text != "" && !strings.Contains(head, "Content-Length") && !strings.Contains(head, "Transfer-Encoding") {
					r.head += fmt.Sprintf("Content-Length: %d\r\n", len(text))
				}
				r.head += "\r\n"
				before := w.upstream.taken()
				got := w.do(r)
				w.wantNothingSmuggled(name, got, before)
				w.wantNoSighting(got)
			}
		})
	}
	w.in(t)
}

// targets are what an agent asks for, with what the upstream may be asked for then;
// "" where the call is refused.
func targets(w *world) map[string][2]string {
	h := "/http/bearer-http"
	m := map[string][2]string{
		"GET " + h + "/x?a=1":                           {"GET", "/v1/x?a=1"},
		"GET http://" + w.plain + h + "/x":              {"GET", "/v1/x"},
		"GET http://elsewhere.example" + h + "/x":       {},
		"GET https://u:" + smuggled + "@" + w.plain + h: {"GET", "/v1/"},
		"GET //elsewhere.example" + h + "/x":            {},
		"GET \\\\elsewhere.example\\x":                  {},
		"GET elsewhere.example:80":                      {},
		"GET *":                                         {},
		"GET " + h + "/../payroll":                      {},
		"GET " + h + "/a/../../b":                       {},
		"GET " + h + "/%2e%2e/b":                        {},
		"GET " + h + "/a%2f..%2fb":                      {},
		"GET " + h + "/a%2fb":                           {},
		"GET " + h + "/a%5cb":                           {},
		"GET " + h + "/a\\b":                            {},
		"GET " + h + "/a;b=1":                           {},
		"GET " + h + "/a%00b":                           {},
		"GET " + h + "/a%0d%0aX-Api-Key:%20" + smuggled: {},
		"GET " + h + "//elsewhere.example/x":            {},
		"GET " + h + "/a%252e%252e/b":                   {},
		"GET " + h + "/x?a=1#" + smuggled:               {},
		"GET " + h + "/x?a;access_token=" + smuggled:    {},
		"GET " + h + "/x?a=%zz":                         {},
		"GET /http/bearer-http%2f..%2fapi/x":            {},
		"GET /mcp/bearer?access_token=" + smuggled:      {},
		"TRACE " + h + "/x":                             {},
		"TRACE /mcp/bearer":                             {},
		"TRACK " + h + "/x":                             {},
		"DEBUG " + h + "/x":                             {},
		"OPTIONS " + h + "/x":                           {},
		"OPTIONS *":                                     {},
		"CONNECT " + w.upstream.address:                 {},
		"CONNECT " + h:                                  {},
		"PRI *":                                         {},
		"get " + h + "/x":                               {},
		"PROPFIND " + h + "/x":                          {},
		"HEAD " + h + "/x":                              {"HEAD", "/v1/x"},
	}
	for _, name := range []string{
		"access_token", "ACCESS_TOKEN", "access%5Ftoken", "access_token[]", "access.token", "%20access_token", "access_token%00x", "api_key", "api-key", "apikey", "key",
		"token", "auth", "sig", "signature", "X-Amz-Signature", "x-amz-security-token", "X-Goog-Signature", "AWSAccessKeyId", "password", "client_secret", "jwt",
		"_method", "sessionid",
	} {
		m["GET "+h+"/x?"+name+"="+smuggled+"&a=1"] = [2]string{"GET", "/v1/x?a=1"}
	}
	return m
}

func TestAHostileAgentChoosesNoTarget(t *testing.T) {
	t.Parallel()
	w := hostile(t)
	w.upstream.does(reflection)
	for line, want := range targets(w) {
		t.Run(line, func(t *testing.T) {
			w.in(t)
			before := w.upstream.taken()
			got := w.do(request{method: strings.Fields(line)[0], head: line + " HTTP/1.1\r\nHost: " + w.plain + "\r\nAuthorization: Bearer " + w.agent + "\r\n\r\n"})
			w.wantNothingSmuggled(line, got, before)
			w.wantNoSighting(got)
			if want[0] == "" {
				if w.upstream.taken() != before {
					t.Errorf("the upstream got %+v, want it refused", w.upstream.last(t))
				}
				return
			}
			if reached := w.upstream.last(t); w.upstream.taken() == before || reached.method != want[0] || reached.target != want[1] {
				t.Errorf("got %d %.200q; the upstream got %s %s, want %s %s", got.status, got.body, reached.method, reached.target, want[0], want[1])
			}
		})
	}
	w.in(t)
}

// What follows a request on its connection is a request of its own, with its own
// evidence, or none at all.
func TestAHostileAgentHidesNoRequest(t *testing.T) {
	t.Parallel()
	w := hostile(t)
	w.upstream.does(reflection)
	hidden := "GET /http/bearer-http/hidden HTTP/1.1\r\nHost: " + w.plain + "\r\nX-Api-Key: " + smuggled + "\r\n\r\n"
	head := func(more string) string {
		return "POST /http/bearer-http/seen HTTP/1.1\r\nHost: " + w.plain + "\r\nAuthorization: Bearer " + w.agent + "\r\n" + more + "\r\n"
	}
	for name, text := range map[string]string{
		"after an empty body":         head("Content-Length: 0\r\n") + hidden,
		"after a chunked body":        head("Transfer-Encoding: chunked\r\n") + "0\r\n\r\n" + hidden,
		"in a trailer":                head("Transfer-Encoding: chunked\r\nTrailer: X-Api-Key\r\n") + "1\r\na\r\n0\r\nX-Api-Key: " + smuggled + "\r\nAuthorization: Bearer " + smuggled + "\r\n\r\n",
		"in a chunk's extension":      head("Transfer-Encoding: chunked\r\n") + "1;x=" + smuggled + "\r\na\r\n0\r\n\r\n",
		"by a length beside chunks":   head(fmt.Sprintf("Content-Length: %d\r\nTransfer-Encoding: chunked\r\n", len(hidden)+5)) + "0\r\n\r\n" + hidden,
		"by chunks that are disputed": head("Content-Length: 4\r\nTransfer-Encoding: identity, chunked\r\n") + "0\r\n\r\n" + hidden,
		"by chunks of a tab":          head("Transfer-Encoding:\tchunked\r\nContent-Length: 3\r\n") + "0\r\n\r\n" + hidden,
		"by a sign":                   head("Content-Length: +3\r\n") + "abc" + hidden,
		"by a chunk's size":           head("Transfer-Encoding: chunked\r\n") + "0x1\r\na\r\n0\r\n\r\n" + hidden,
		"after waiting":               head("Expect: 100-continue\r\nContent-Length: 1\r\n") + "a" + hidden,
	} {
		t.Run(name, func(t *testing.T) {
			w.in(t)
			before := w.upstream.taken()
			conn := w.write(request{head: text + "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"})
			all, _ := io.ReadAll(io.TeeReader(conn, &w.received)) // until the broker ends it, for the last request says so
			w.wantNoSighting(answer{body: string(all)})
			if n := w.upstream.taken() - before; n > 1 {
				t.Errorf("%d requests came to the upstream, want at most one", n)
			}
			w.wantNothingSmuggled(name, answer{status: 400}, before)
			if w.upstream.taken() > before && strings.Contains(w.upstream.last(t).target, "hidden") {
				t.Error("the hidden request came to the upstream")
			}
		})
	}
	w.in(t)
}

// What a message says does not make the broker say more than it should.
func TestAHostileAgentsMessagesShowNothing(t *testing.T) {
	t.Parallel()
	w := hostile(t)
	w.upstream.does(reflection)
	huge := repeat("9", 40<<10)
	for name, text := range map[string]string{
		"a huge number for an id": `{"jsonrpc":"2.0","id":` + huge + `,"method":"tools/call","params":{"name":"lookup_order"}}`,
		"a huge text for an id":   `{"jsonrpc":"2.0","id":"` + huge + `","method":"tools/call","params":{"name":"lookup_order"}}`,
		"an object for an id":     `{"jsonrpc":"2.0","id":{"a":1},"method":"tools/call","params":{"name":"lookup_order"}}`,
		"a huge tool":             `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"lookup_` + huge + `"}}`,
		"a huge method":           `{"jsonrpc":"2.0","id":1,"method":"` + huge + `"}`,
		"a huge cursor":           `{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"cursor":"` + huge + `"}}`,
		"a huge token":            `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"_meta":{"progressToken":"` + huge + `"},"name":"lookup_order"}}`,
		"two ids":                 `{"jsonrpc":"2.0","id":1,"id":2,"method":"tools/call","params":{"name":"lookup_order"}}`,
		"another JSON":            `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"lookup_order"}}{}`,
		"no JSON":                 "\x1f\x8b\x08",
		"very deep":               repeat("[", 20000),
		"a log level":             `{"jsonrpc":"2.0","id":1,"method":"logging/setLevel","params":{"level":"debug"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			w.in(t)
			before := w.upstream.taken()
			got := w.do(w.call(to("/mcp/bearer"), body(text)))
			if got.err == nil && got.status == 0 {
				t.Errorf("got no answer: %+v", got)
			}
			w.wantNothingSmuggled(name, got, before)
			w.wantNoSighting(got)
		})
	}
	w.in(t)
}
