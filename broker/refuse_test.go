package broker_test

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"mintmark/broker/audit"
	"mintmark/internal/fault"
	"mintmark/internal/trustdomain"
)

// row is a call that must be refused.
type row struct {
	name    string
	request request
	want    want
}

func (w *world) run(t *testing.T, rows []row) {
	if len(rows) == 0 {
		t.Fatal("got no rows")
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			w.in(t)
			w.wantRefused(r.request, r.want)
		})
	}
	w.in(t)
	w.wantOK(w.call(), "result") // the broker is none the worse for it
}

// in makes failures those of t, a subtest.
func (w *world) in(t *testing.T) { w.t = t }

func TestRefusesEvidenceThatProvesNothing(t *testing.T) {
	t.Parallel()
	w := open(t)
	foreign := trustdomain.New("elsewhere.example", trustdomain.Options{})
	forger := trustdomain.New("example.org", trustdomain.Options{})
	jwt := func(token string) request { return w.call(with("Authorization", "Bearer "+token)) }
	cert := func(d *trustdomain.Domain, r trustdomain.X509Request) request {
		c := w.call(presenting(w.certificate(d, "shop", r)))
		delete(c.header, "Authorization")
		return c
	}
	without := w.call()
	delete(without.header, "Authorization")
	unproven := func(says string) want {
		return want{http.StatusUnauthorized, -31401, "attest", fault.Unauthenticated, says, "", false}
	}
	w.run(t, []row{
		{"no evidence", without, unproven(`expected an X.509-SVID as TLS client certificate, or a JWT-SVID for audience "mintmark" as bearer token, got no evidence`)},
		{"another scheme", w.call(with("Authorization", "Basic c2hvcDpzZWNyZXQ=")), unproven("as bearer token, got no evidence but an Authorization header of scheme Basic")},
		{"JWT of another trust domain", jwt(w.token(foreign, "shop", trustdomain.JWTRequest{})), unproven("trust domain")},
		{"certificate of another trust domain", cert(foreign, trustdomain.X509Request{}), unproven("trust domain")},
		{"expired JWT", jwt(w.token(w.domain, "shop", trustdomain.JWTRequest{Lifetime: -2 * time.Minute})), unproven("exp: expected a time after now")},
		{"expired certificate", cert(w.domain, trustdomain.X509Request{Lifetime: -time.Minute}), unproven("expired")},
		{"certificate of the future", cert(w.domain, trustdomain.X509Request{NotBefore: time.Hour, Lifetime: 2 * time.Hour}), unproven("begins in")},
		{"JWT for another audience", jwt(w.token(w.domain, "shop", trustdomain.JWTRequest{Audience: []string{"vault"}})), unproven(`aud: expected exactly "mintmark"`)},
		{"JWT for two audiences", jwt(w.token(w.domain, "shop", trustdomain.JWTRequest{Audience: []string{audience, "vault"}})), unproven(`aud: expected exactly "mintmark"`)},
		{"JWT by an unknown key", jwt(w.token(forger, "shop", trustdomain.JWTRequest{})), unproven("kid")},
		{"JWT with a forged signature", jwt(w.token(forger, "shop", trustdomain.JWTRequest{KeyID: w.keyID()})), unproven("signature")},
		{"forged certificate", cert(forger, trustdomain.X509Request{}), unproven("leads to none")},
		{"JWT without a signature", jwt(unsigned(w.agent)), unproven("bearer token")},
		{"not a JWT", jwt("sk-made-up-key"), unproven("expected a JWT-SVID")},
		{"JWT of the trust domain itself", jwt(w.token(w.domain, "shop", trustdomain.JWTRequest{Claims: map[string]any{"sub": "spiffe://example.org"}})), unproven("SPIFFE ID of a workload")},
		{"two Authorization headers", w.call(with("Authorization", "Bearer "+w.agent, "Bearer "+w.agent)), unproven("expected one header, got 2")},
		{"evidence of two agents", w.call(presenting(w.certificate(w.domain, "clerk", trustdomain.X509Request{}))), unproven("expected evidence of one workload")},
	})
}

// What a stranger called is on record as far as the head of its call says it,
// and is counted under registered names alone.
func TestWhatAStrangerCalledIsOnRecord(t *testing.T) {
	t.Parallel()
	w := open(t)
	for _, c := range []struct {
		change           func(*request)
		upstream, method string
	}{
		{to("/mcp/orders"), "orders", ""},
		{get("/mcp/orders"), "orders", "stream"},
		{get("/http/api/x"), "api", "http/GET"},
		{to("/mcp/nobody"), "nobody", ""},
		{method("PUT"), "orders", ""},
		{to("/elsewhere"), "", ""},
	} {
		stranger := w.call(c.change, with("Authorization", "Bearer forged"))
		got := w.do(stranger)
		if got.status != http.StatusUnauthorized || got.header.Get("Allow") != "" {
			t.Errorf("%s %s: got %d with Allow %q, want 401 and no more", stranger.method, stranger.target, got.status, got.header.Get("Allow"))
		}
		rec := w.decision(got.refusal(t).Call)
		if rec.Upstream != c.upstream || rec.Method != c.method || rec.Step != "attest" {
			t.Errorf("%s %s: got a record of %q of %q, refused by %q", stranger.method, stranger.target, rec.Method, rec.Upstream, rec.Step)
		}
	}
	w.records(audit.Filter{Upstream: "orders", Outcome: "deny"}, 3)
	w.wantMetric(`mintmark_calls_total{outcome="deny",step="attest",upstream="orders"} 3`)
	w.wantMetric(`mintmark_calls_total{outcome="deny",step="attest",upstream="api"} 1`)
	w.wantMetric(`mintmark_calls_total{outcome="deny",step="attest",upstream=""} 2`)
}

// A stranger cannot make the broker wait for a body, or hold one.
func TestAStrangersBodyIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	w := open(t)
	stranger := w.call(body("{"), with("Content-Length", "60000"))
	delete(stranger.header, "Authorization")
	began := time.Now()
	w.wantRefused(stranger, want{http.StatusUnauthorized, -31401, "attest", fault.Unauthenticated, "got no evidence", "", false})
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the refusal took %s", took)
	}
}

// A step that panics is a refusal like any other, and what was thrown is not
// shown to anyone.
func TestAPanicIsARefusal(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.waiting.throw.Store(true)
	said := w.wantRefused(w.call(), want{500, -31500, "internal", fault.Internal, "internal error; the broker's log has the cause", "", false})
	if log := string(w.logged.bytes()); !strings.Contains(log, "a call panicked") || !strings.Contains(log, said.Call) {
		t.Errorf("the broker's log says nothing of the panic in call %s", said.Call)
	}
	w.wantOK(w.call(), "result")
}

// A refusal in the middle of an answer would be taken for a part of it.
func TestAPanicInAnAnswerCutsIt(t *testing.T) {
	t.Parallel()
	w := open(t)
	r := httptest.NewRequest(http.MethodPost, "http://"+w.plain+"/mcp/orders", strings.NewReader(toolCall("lookup_order")))
	r.Header = w.call().header.Clone()
	got := &throwing{ResponseRecorder: httptest.NewRecorder()}
	defer func() {
		if err, _ := recover().(error); !errors.Is(err, http.ErrAbortHandler) || !got.thrown || got.Body.Len() > 0 {
			t.Errorf("got %v and %q, want the answer cut", err, got.Body)
		}
		if rec := w.outcome(w.lastAllowed().Call); rec.Fault != "internal" {
			t.Errorf("outcome: got %q %q, want internal", rec.Fault, rec.Reason)
		}
	}()
	w.broker.Handler(1).ServeHTTP(got, r)
}

// throwing panics at the first piece of an answer's body.
type throwing struct {
	*httptest.ResponseRecorder
	thrown bool
}

// Write implements http.ResponseWriter.
func (w *throwing) Write(p []byte) (int, error) {
	if !w.thrown {
		w.thrown = true
		panic("the client secret is " + clientSecret)
	}
	return w.ResponseRecorder.Write(p)
}

// keyID returns the id of the key that signs the domain's tokens.
func (w *world) keyID() string {
	w.t.Helper()
	head, err := base64.RawURLEncoding.DecodeString(strings.Split(w.agent, ".")[0])
	if err != nil {
		w.t.Fatal(err)
	}
	var h struct {
		KeyID string `json:"kid"`
	}
	mustJSON(w.t, head, &h)
	return h.KeyID
}

// unsigned returns token with "alg":"none" and no signature.
func unsigned(token string) string {
	head := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"JWT"}`))
	return head + "." + strings.Split(token, ".")[1] + "."
}

func TestRefusesWhatTwoParsersCouldReadTwoWays(t *testing.T) {
	t.Parallel()
	w := open(t)
	bad := func(code int, says string) want {
		return want{http.StatusBadRequest, code, "receive", fault.Invalid, says, "shop", false}
	}
	unsupported := func(says string) want {
		return want{http.StatusUnsupportedMediaType, -32600, "receive", fault.Invalid, says, "shop", false}
	}
	const version = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}`
	stateless := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"lookup_order",` + version + `}}`
	modern := func(method, name string) request {
		return w.call(body(stateless), with("MCP-Protocol-Version", "2026-07-28"), with("Mcp-Method", method), with("Mcp-Name", name))
	}
	w.run(t, []row{
		{"no body", w.call(body("")), bad(-32700, "empty body")},
		{"not JSON", w.call(body("hello")), bad(-32700, "expected")},
		{"truncated", w.call(body(toolCall("lookup_order")[:40])), bad(-32700, "expected")},
		{"trailing message", w.call(body(toolCall("lookup_order") + toolCall("refund"))), bad(-32700, "end of the body")},
		{"trailing NUL", w.call(body(toolCall("lookup_order") + "\x00")), bad(-32700, "end of the body")},
		{"byte order mark", w.call(body("\ufeff" + toolCall("lookup_order"))), bad(-32700, "valid JSON")},
		{"duplicate method", w.call(body(`{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call","params":{"name":"refund"}}`)), bad(-32700, `"/method" twice`)},
		{"duplicate tool", w.call(body(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"lookup_order","name":"refund"}}`)), bad(-32700, `"/params/name" twice`)},
		{"duplicate through an escape", w.call(body(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"lookup_order","n\u0061me":"refund"}}`)), bad(-32700, "twice")},
		{"name that differs in case", w.call(body(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"lookup_order","Name":"refund"}}`)), bad(-32600, "some servers read")},
		{"invalid UTF-8", w.call(body("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"p\xff\"}")), bad(-32700, "valid JSON")},
		{"lone surrogate", w.call(body(`{"jsonrpc":"2.0","id":1,"method":"\ud800"}`)), bad(-32700, "valid JSON")},
		{"UTF-16", w.call(body("\xff\xfe{\x00}\x00")), bad(-32700, "valid JSON")},
		{"too deep", w.call(body(`{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":` + repeat("[", 64) + repeat("]", 64) + `}}`)), bad(-32700, "64 levels")},
		{"batch in a revision without them", w.call(with("MCP-Protocol-Version", "2025-06-18"), body("["+toolCall("lookup_order")+"]")), bad(-32600, "which only revision 2025-03-26 has")},
		{"batch of none", w.call(body("[]")), bad(-32600, "at least one message")},
		{"batch that names a tool in a header", w.call(with("Mcp-Name", "lookup_order"), body("["+toolCall("lookup_order")+"]")), bad(-32020, "which has no one method")},
		{"duplicate in a batch", w.call(body("[" + toolCall("lookup_order") + `,{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"lookup_order","name":"refund"}}]`)), bad(-32700, `message 2 of the batch: expected each name once, got "/1/params/name" twice`)},
		{"scalar", w.call(body("7")), bad(-32600, "a number")},
		{"no JSON-RPC version", w.call(body(`{"id":1,"method":"ping"}`)), bad(-32600, "jsonrpc")},
		{"id null", w.call(body(`{"jsonrpc":"2.0","id":null,"method":"ping"}`)), bad(-32600, "null")},
		{"id that readers round", w.call(body(`{"jsonrpc":"2.0","id":9007199254740993,"method":"ping"}`)), bad(-32600, `"id"`)},
		{"parameters in a list", w.call(body(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":["lookup_order"]}`)), bad(-32600, "an object")},
		{"no tool", w.call(body(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{}}`)), bad(-32602, "tool")},
		{"no content type", w.call(func(r *request) { delete(r.header, "Content-Type") }), unsupported("got 0")},
		{"two content types", w.call(with("Content-Type", "application/json", "text/plain")), unsupported("got 2")},
		{"text/plain", w.call(with("Content-Type", "text/plain")), unsupported("text/plain")},
		{"UTF-16 by its name", w.call(with("Content-Type", "application/json; charset=utf-16")), unsupported("UTF-8")},
		{"compressed", w.call(with("Content-Encoding", "gzip"), body(gzipped(t, toolCall("lookup_order")))), unsupported("uncompressed")},
		{"header names another method", modern("tools/list", "lookup_order"), bad(-32020, "Mcp-Method")},
		{"header names another tool", modern("tools/call", "refund"), bad(-32020, "Mcp-Name")},
		{"header repeated", w.call(body(stateless), with("MCP-Protocol-Version", "2026-07-28"), with("Mcp-Method", "tools/call"), with("Mcp-Name", "lookup_order", "refund")), bad(-32020, "once")},
		{"version in the header alone", w.call(with("MCP-Protocol-Version", "2026-07-28")), bad(-32602, "in params._meta, got none")},
		{"version in the body alone", w.call(body(stateless)), bad(-32020, "MCP-Protocol-Version")},
		{"unsupported version", w.call(with("MCP-Protocol-Version", "2031-01-01")), bad(-32022, "2026-07-28")},
		{"query", w.call(to("/mcp/orders?api_key=1")), bad(-32600, "no query on an MCP call, got one of 9 bytes")},
	})
}

func gzipped(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestRefusesRoutesThatDoNotExist(t *testing.T) {
	t.Parallel()
	w := open(t)
	refused := func(status, code int, kind fault.Kind, step, says string) want {
		return want{status, code, step, kind, says, "shop", false}
	}
	noPath := refused(404, -31404, fault.NotFound, "receive", "call /mcp/NAME or /http/NAME/PATH")
	noMethod := refused(405, -32600, fault.Invalid, "receive", "expected method")
	noMethodPlain := noMethod
	noMethodPlain.code = 0
	w.run(t, []row{
		{"root", w.call(to("/")), noPath},
		{"no upstream", w.call(to("/mcp/")), noPath},
		{"below an upstream", w.call(to("/mcp/orders/x")), noPath},
		{"empty segment before", w.call(to("//mcp/orders")), noPath},
		{"PUT", w.call(method("PUT")), noMethod},
		{"PATCH", w.call(method("PATCH")), noMethod},
		{"OPTIONS", w.call(method("OPTIONS")), refused(405, -32600, fault.Invalid, "receive", `on this path, got "OPTIONS"`)},
		{"a method of any length", w.call(method(repeat("X", 99))), refused(405, -32600, fault.Invalid, "receive", `on this path, got "XXXXXXXXXXXXXXXX"`)},
		{"method in lower case", w.call(method("post")), noMethod},
		{"TRACE of a plain upstream", w.call(get("/http/api/x"), method("TRACE")), noMethodPlain},
		{"GET with a body", w.call(method("GET")), refused(400, -32600, fault.Invalid, "receive", "neither a body nor a query with GET")},
		{"DELETE with a query", w.call(get("/mcp/orders?x=1"), method("DELETE")), refused(400, -32600, fault.Invalid, "receive", "neither a body nor a query with DELETE, got 0 bytes of body and 3 of query")},
	})
}

func TestAnswersOtherMethodsWithThoseThatAre(t *testing.T) {
	t.Parallel()
	w := open(t)
	if got := w.do(w.call(method("PUT"))).header.Get("Allow"); got != "POST, GET, DELETE" {
		t.Errorf("Allow: got %q", got)
	}
	if got := w.do(w.call(get("/http/api/x"), method("TRACE"))).header.Get("Allow"); got != "GET, HEAD, POST, PUT, PATCH, DELETE" {
		t.Errorf("Allow of a plain upstream: got %q", got)
	}
}

func TestRefusesPathsThatServersReadDifferently(t *testing.T) {
	t.Parallel()
	w := open(t)
	path := want{400, 0, "receive", fault.Invalid, "expected a plain path", "shop", false}
	query := want{400, 0, "receive", fault.Invalid, "expected a query of name=value pairs", "shop", false}
	var rows []row
	for _, p := range []string{
		"/../orders", "/a/../b", "/a/./b", "/.", "/..", "/a/.", "//", "/a//b", "/a//", "//a",
		"/a%2fb", "/a%2Fb", "/a%5cb", `/a\b`, "/%2e%2e/b", "/a%2eb", "/a%252fb", "/a;b", "/a%3bb", "/a%00b",
	} {
		rows = append(rows, row{"path " + p, w.call(get("/http/api" + p)), path})
	}
	for _, q := range []string{"a=1;b=2", "a=%zz", "%zz=1", "a=%00%zz"} {
		rows = append(rows, row{"query " + q, w.call(get("/http/api/x?" + q)), query})
	}
	w.run(t, rows)
}

func TestRefusesHostsAndOriginsOfOthers(t *testing.T) {
	t.Parallel()
	w := open(t)
	denied := func(says string) want {
		return want{403, -31403, "receive", fault.Denied, says, "shop", false}
	}
	host := denied("the Host header names another server")
	problem := host
	problem.code = 0
	origin := denied("the Origin header names a site that may not call")
	w.run(t, []row{
		{"another host", w.call(with("Host", "evil.example")), host},
		{"another host of a plain call", w.call(get("/http/api/x"), with("Host", "evil.example")), problem},
		{"another host in the request line", w.call(to("http://evil.example/mcp/orders")), host},
		{"no host", w.call(with("Host", "")), host},
		{"foreign origin", w.call(with("Origin", "https://evil.example")), origin},
		{"origin null", w.call(with("Origin", "null")), origin},
		{"two origins", w.call(with("Origin", "http://"+w.plain, "https://evil.example")), origin},
		{"origin that is no URL", w.call(with("Origin", "http://%zz")), origin},
	})
	w.wantOK(w.call(with("Host", "localhost")), "result")
	w.wantOK(w.call(with("Origin", "http://"+w.plain)), "result")
}

func TestRefusesWhatIsTooLargeOrTooSlow(t *testing.T) {
	t.Parallel()
	w := open(t, func(s *setup) { s.Limits = "body: 4KiB, body_time: 250ms" })
	large := toolCall(repeat("x", 8<<10))
	tooLarge := want{413, -31413, "receive", fault.TooLarge, "at most 4KiB", "shop", false}
	invalid := func(says string) want {
		return want{400, -32600, "receive", fault.Invalid, says, "shop", false}
	}
	w.run(t, []row{
		{"by its length", w.call(body(large)), tooLarge},
		{"by its announced length alone", w.call(body("{"), with("Content-Length", "99999999999")), tooLarge},
		{"in chunks", w.call(body("2000\r\n"+repeat("x", 8<<10)+"\r\n0\r\n\r\n"), with("Transfer-Encoding", "chunked")), tooLarge},
		{"slower than the limit", w.call(body("{"), with("Content-Length", "100")), invalid("within the time limit")},
		{"chunks slower than the limit", w.call(body("1\r\n{\r\n"), with("Transfer-Encoding", "chunked")), invalid("within the time limit")},
	})
}

func TestTakesAChunkedBodyWhole(t *testing.T) {
	t.Parallel()
	w := open(t)
	text := toolCall("lookup_order")
	w.wantOK(w.call(body("10\r\n"+text[:16]+"\r\n"+hex(len(text)-16)+"\r\n"+text[16:]+"\r\n0\r\n\r\n"), with("Transfer-Encoding", "chunked")), "result")
	if got := w.upstream.last(t).body; got != text {
		t.Errorf("body: got %q, want %q", got, text)
	}
}

func hex(n int) string {
	const digits = "0123456789abcdef"
	if n < 16 {
		return digits[n : n+1]
	}
	return hex(n/16) + digits[n%16:n%16+1]
}

// What net/http refuses by itself never becomes a call, and goes no further.
func TestHeadsThatAreNoHTTPGoNoFurther(t *testing.T) {
	t.Parallel()
	w := open(t, func(s *setup) { s.Limits = "header: 4KiB" })
	for name, c := range map[string]struct {
		head   string
		status int
	}{
		"too large":           {"POST /mcp/orders HTTP/1.1\r\nHost: " + w.plain + "\r\nX-A: " + repeat("x", 64<<10) + "\r\n\r\n", 431},
		"two lengths":         {"POST /mcp/orders HTTP/1.1\r\nHost: " + w.plain + "\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}", 400},
		"unknown encoding":    {"POST /mcp/orders HTTP/1.1\r\nHost: " + w.plain + "\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501},
		"space before colon":  {"POST /mcp/orders HTTP/1.1\r\nHost: " + w.plain + "\r\nContent-Length : 2\r\n\r\n{}", 400},
		"folded header":       {"POST /mcp/orders HTTP/1.1\r\nHost: " + w.plain + "\r\nX-A: b\r\n c\x00\r\n\r\n", 400},
		"two hosts":           {"POST /mcp/orders HTTP/1.1\r\nHost: " + w.plain + "\r\nHost: evil.example\r\n\r\n", 400},
		"bare LF and garbage": {"POST /mcp/orders\n\n", 400},
	} {
		got := w.do(request{method: "POST", head: c.head})
		if got.status != c.status || w.upstream.bytes.Load() != 0 {
			t.Errorf("%s: got %d and %d bytes at the upstream, want %d and none", name, got.status, w.upstream.bytes.Load(), c.status)
		}
	}
	w.records(audit.Filter{Kind: audit.Decision}, 0)
}

func TestRefusesCallsBeyondTheLimit(t *testing.T) {
	t.Parallel()
	w := open(t, func(s *setup) { s.Limits = "concurrent: 2" })
	begun, free := make(chan struct{}, 2), make(chan struct{})
	w.upstream.does(func(rw http.ResponseWriter, r *http.Request) {
		begun <- struct{}{}
		<-free
		answerOK(rw, r)
	})
	ended := make(chan answer, 2)
	for range 2 {
		go func() { ended <- w.do(w.call()) }()
	}
	recv(t, "the first call", begun)
	recv(t, "the second call", begun)
	// Nothing of a call beyond the limit was read, so that there is no id to answer to.
	got := w.wantRefused(w.call(), want{503, -31503, "receive", fault.Unavailable, "too many calls are under way", "", false})
	if string(got.ID) != "null" {
		t.Errorf("id: got %s, want null", got.ID)
	}
	if retry := w.do(w.call()).header.Get("Retry-After"); retry != "1" {
		t.Errorf("Retry-After: got %q, want 1", retry)
	}
	close(free)
	for range 2 {
		if got := recv(t, "the end of a call", ended); got.status != 200 {
			t.Errorf("a call within the limit: got %d %q", got.status, got.body)
		}
	}
	w.upstream.does(answerOK)
	w.wantOK(w.call(), "result")
}

func TestDeniesWhatPolicyDoesNotAllow(t *testing.T) {
	t.Parallel()
	w := open(t)
	denied := func(says string) want {
		return want{200, -31403, "decide", fault.Denied, says, "shop", false}
	}
	clerk := denied("no policy permits this agent to do that there")
	clerk.agent = "clerk"
	unknown := denied("not one that policies know")
	unknown.code = -32601
	stateless := unknown
	stateless.status = 404
	notification := denied("not one that policies know")
	notification.status = 403 // nobody waits for an answer with an id
	plain := want{403, 0, "decide", fault.Denied, "no policy permits", "clerk", false}
	asClerk := with("Authorization", "Bearer "+w.token(w.domain, "clerk", trustdomain.JWTRequest{}))
	w.run(t, []row{
		{"unknown method", w.call(body(`{"jsonrpc":"2.0","id":1,"method":"tools/delete"}`)), unknown},
		{"unknown method without sessions", w.call(with("MCP-Protocol-Version", "2026-07-28"), with("Mcp-Method", "tools/delete"),
			body(`{"jsonrpc":"2.0","id":1,"method":"tools/delete","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}`)), stateless},
		{"unknown notification", w.call(body(`{"jsonrpc":"2.0","method":"notifications/own"}`)), notification},
		{"tool that no policy permits", w.call(body(toolCall("refund"))), denied(`the conditions were not met of policy "shop-looks-up"`)},
		{"agent that no policy permits", w.call(to("/mcp/tools"), asClerk), clerk},
		{"forbidden, with its hint", w.call(body(toolCall("refund_all"))), denied(`forbidden by policy "nobody-refunds-all": refunds are made one by one`)},
		{"no credential for this tool", w.call(to("/mcp/tools"), body(toolCall("refund_all"))), denied("no credential is registered for this call")},
		{"no credential for no tool", w.call(to("/mcp/tools"), body(`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`)), denied("no credential is registered for this call")},
		{"plain call", w.call(get("/http/api/orders/7"), asClerk), plain},
	})
	w.wantOK(w.call(to("/mcp/tools"), body(toolCall("lookup_order"))), "result")
}

func TestARefusalAnswersTheCallsOwnID(t *testing.T) {
	t.Parallel()
	w := open(t)
	for _, id := range []string{`"a-\u00e9"`, `0`, `-7`, `9007199254740991`} {
		got := w.do(w.call(body(`{"jsonrpc":"2.0","id":` + id + `,"method":"tools/call","params":{"name":"refund"}}`))).refusal(t)
		var want, have any
		mustJSON(t, []byte(id), &want)
		mustJSON(t, got.ID, &have)
		if want != have {
			t.Errorf("id: got %s, want %s", got.ID, id)
		}
	}
}

func TestDeniesOnPosture(t *testing.T) {
	t.Parallel()
	w := open(t)
	denied := func(says string) want {
		return want{200, -31403, "decide", fault.Denied, says, "shop", false}
	}
	hint := `forbidden by policy "only-scanned": this agent has no passing scan`
	w.scan.state(w.id("shop"), "fail", time.Now())
	said := w.wantRefused(w.call(), denied(hint))
	if facts := w.decision(said.Call).Posture; len(facts) != 1 || facts[0].Name != "scan" || facts[0].Value != "fail" || facts[0].Issuer != "scan/test" {
		t.Errorf("facts in the record: got %+v", facts)
	}
	w.scan.state(w.id("shop"), "pass", time.Now().Add(-2*time.Hour))
	said = w.wantRefused(w.call(), denied(hint))
	if facts := w.decision(said.Call).Posture; len(facts) != 0 {
		t.Errorf("stale facts in the record: got %+v, want none", facts)
	}
	w.scan.state(w.id("shop"), "", time.Now())
	w.wantRefused(w.call(), denied(hint))
	w.scan.state(w.id("shop"), "pass", time.Now())
	w.wantOK(w.call(), "result")
	changes := w.records(audit.Filter{Kind: audit.Posture}, 5)
	for i, want := range []string{"changed pass", "changed fail", "changed pass", "retracted pass", "changed pass"} {
		if got := changes[i].Event + " " + changes[i].Posture[0].Value; got != want || changes[i].Subject != w.id("shop").String() {
			t.Errorf("posture record %d: got %q of %s, want %q", i, got, changes[i].Subject, want)
		}
	}
}

func TestDeniesOutsideHours(t *testing.T) {
	t.Parallel()
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	// The evidence must be good at the present time and at the clock's.
	today := time.Now().In(berlin)
	monday := time.Date(today.Year(), today.Month(), today.Day()+8-int(today.Weekday()), 0, 0, 0, 0, berlin)
	for _, c := range []struct {
		name  string
		at    time.Duration // after the next Monday's midnight, by the clock on the wall
		allow bool
	}{
		{"before nine", 8*time.Hour + 59*time.Minute + 59*time.Second, false},
		{"nine", 9 * time.Hour, true},
		{"a moment before five", 17*time.Hour - time.Second, true},
		{"five", 17 * time.Hour, false},
		{"saturday noon", 5*24*time.Hour + 12*time.Hour, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			day := monday.AddDate(0, 0, int(c.at/(24*time.Hour)))
			rest := c.at % (24 * time.Hour)
			now := time.Date(day.Year(), day.Month(), day.Day(), int(rest/time.Hour), int(rest/time.Minute)%60, int(rest/time.Second)%60, 0, berlin)
			w := open(t, func(s *setup) { s.Clock = func() time.Time { return now } })
			svid := presenting(w.certificate(w.domain, "shop", trustdomain.X509Request{}))
			call := w.call(to("/mcp/payroll"), svid)
			delete(call.header, "Authorization")
			if c.allow {
				w.wantOK(call, "result")
				return
			}
			w.wantRefused(call, want{200, -31403, "decide", fault.Denied,
				`forbidden by policy "office-hours": payroll answers on weekdays from 09:00 to 17:00, Berlin time`, "shop", false})
		})
	}
}

// A caller without an identity can make only so many records, and what it is
// spared is counted: it must not fill the disk under the log.
func TestStrangersCannotFloodTheLog(t *testing.T) {
	t.Parallel()
	w := open(t)
	stranger := w.call(body(""))
	delete(stranger.header, "Authorization")
	x := w.keepAlive()
	const calls = 1500
	for range calls {
		if got := x.do(stranger); got.status != 401 {
			t.Fatalf("got %d %q, want 401", got.status, got.body)
		}
	}
	w.wantRefused(w.call(body("")), want{400, -32700, "receive", fault.Invalid, "empty body", "shop", false})
	if err := w.stop(); err != nil {
		t.Fatal(err)
	}
	recorded, skipped := int64(0), int64(0)
	for r, err := range audit.Query(w.logDir(), audit.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		if r.Kind == audit.Decision && r.Agent == "" {
			recorded++
		}
		if r.Event == "strangers_skipped" {
			skipped += r.Count
		}
	}
	if recorded+skipped != calls || skipped == 0 {
		t.Errorf("got %d records and %d counted, want %d in all, and some of them only counted", recorded, skipped, calls)
	}
}

// What is judged as POST must not be done as DELETE.
func TestAPlainPostThatNamesAnotherMethodIsRefused(t *testing.T) {
	t.Parallel()
	w := open(t)
	form := w.call(to("/http/api/items/7"), body("_method=DELETE"), with("Content-Type", "application/x-www-form-urlencoded"))
	w.wantRefused(form, want{400, 0, "receive", fault.Invalid, `expected no "_method" in the body`, "shop", false})
	w.do(w.call(to("/http/api/items/7"), body("_method=DELETE"), with("Content-Type", "application/json"), with("Connection", "Content-Type")))
	if got := w.upstream.last(t); got.header.Get("Content-Type") != "application/json" {
		t.Errorf("a body that was judged as JSON: got it sent with %v", got.header)
	}
	w.wantRefused(w.call(to("/http/api/items/7?a=1%20#x"), body("{}")), want{400, 0, "receive", fault.Invalid, "expected a query", "shop", false})
}

// What a caller without an identity can have written is bounded.
func TestAStrangersReasonIsShort(t *testing.T) {
	t.Parallel()
	w := open(t)
	encoded := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	for name, token := range map[string]string{
		"long":      repeat("x", 3000),
		"algorithm": encoded(`{"alg":"`+repeat(`\u0001`, 900)+`"}`) + "." + encoded(`{}`) + ".eA",
		"subject":   encoded(`{"alg":"ES256","kid":"a"}`) + "." + encoded(`{"sub":"spiffe://`+repeat(`\u0001`, 800)+`"}`) + ".eA",
	} {
		got := w.do(w.call(with("Authorization", "Bearer "+token)))
		said := got.refusal(t)
		if rec := w.decision(said.Call); got.status != 401 || len(rec.Reason) > 210 || strings.Contains(rec.Reason, "\x01") {
			t.Errorf("%s: got %d and a reason of %d bytes, want 401 and at most 210 that print: %q", name, got.status, len(rec.Reason), rec.Reason)
		}
		for line := range bytes.Lines(w.logged.bytes()) {
			if bytes.Contains(line, []byte(said.Call)) && len(line) > 1000 {
				t.Errorf("%s: got a log line of %d bytes, want at most 1000", name, len(line))
			}
		}
	}
}
