package broker_test

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/oauthex"

	"mintmark/broker"
	"mintmark/broker/audit"
	"mintmark/internal/fault"
	"mintmark/internal/trustdomain"
)

const wellKnown = "/.well-known/oauth-protected-resource"

// openIssued returns a world whose broker tells of two authorization servers.
func openIssued(t testing.TB) *world {
	t.Helper()
	w := open(t)
	if err := w.change("mintmark.yaml", "clocks:", "authorization_servers: [\"https://issuer.example/tenant\", \"http://localhost:9000\"]\nclocks:"); err != nil {
		t.Fatal(err)
	}
	return w
}

// stranger makes a call one without evidence.
func stranger(r *request) { delete(r.header, "Authorization") }

// overTLS makes a call come over TLS without a certificate.
func overTLS(r *request) { r.cert = &tls.Certificate{} }

// The reader is the Go SDK's, which holds the document to the rules.
func TestMetadataTellsWhereToGetAToken(t *testing.T) {
	t.Parallel()
	w := openIssued(t)
	base := http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}
	defer base.CloseIdleConnections()
	for _, origin := range []string{"http://" + w.plain, "https://" + w.secure, "http://localhost:" + port(t, w.plain)} {
		for _, path := range []string{"", "/mcp", "/mcp/orders", "/mcp/api", "/mcp/nobody-has-this-name"} {
			got, err := oauthex.GetProtectedResourceMetadata(t.Context(), origin+wellKnown+path, origin+path, &http.Client{Transport: &base})
			if err != nil {
				t.Errorf("%s of %q: %v", origin, path, err)
				continue
			}
			if len(got.AuthorizationServers) != 2 || got.AuthorizationServers[0] != "https://issuer.example/tenant" || got.AuthorizationServers[1] != "http://localhost:9000" ||
				len(got.BearerMethodsSupported) != 1 || got.BearerMethodsSupported[0] != "header" || got.ResourceName != "Mintmark" {
				t.Errorf("%s of %q: got %+v", origin, path, got)
			}
		}
	}
	head := w.do(w.call(get(wellKnown+"/mcp/orders"), method("HEAD"), stranger))
	if head.status != 200 || head.body != "" || head.header.Get("Content-Type") != "application/json" || head.header.Get("Cache-Control") != "max-age=300" {
		t.Errorf("HEAD: got %d %q with %v", head.status, head.body, head.header)
	}
	w.wantNothingSaid(t)
}

func port(t *testing.T, address string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// wantNothingSaid demands that what was asked so far reached neither the record
// nor an upstream.
func (w *world) wantNothingSaid(t *testing.T) {
	t.Helper()
	if err := w.broker.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.records(audit.Filter{Kind: audit.Decision}, 0)
	if n := w.upstream.bytes.Load(); n != 0 {
		t.Errorf("%d bytes reached the upstream, want none", n)
	}
}

// Nobody learns from it which upstreams there are, whoever asks.
func TestMetadataIsTheSameForEveryName(t *testing.T) {
	t.Parallel()
	w := openIssued(t)
	ask := func(name string, change ...func(*request)) answer {
		got := w.do(w.call(append([]func(*request){get(wellKnown + "/mcp/" + name), stranger}, change...)...))
		got.body = strings.ReplaceAll(got.body, "/mcp/"+name+`"`, `/mcp/NAME"`)
		got.header.Del("Date")
		got.header.Del("Content-Length")
		return got
	}
	want := ask("orders")
	evidence := with("Authorization", "Bearer "+w.agent)
	for name, got := range map[string]answer{
		"unknown": ask("a-1"), "plain HTTP": ask("api"), "with evidence": ask("orders", evidence), "unknown, with evidence": ask("b", evidence),
		"with evidence that proves nothing": ask("orders", with("Authorization", "Bearer x")),
	} {
		if got.status != 200 || got.body != want.body || len(got.header) != len(want.header) {
			t.Errorf("%s: got %d %q with %v\nwant 200 %q with %v", name, got.status, got.body, got.header, want.body, want.header)
		}
	}
	w.wantNothingSaid(t)
}

func TestMetadataIsRefused(t *testing.T) {
	t.Parallel()
	w := openIssued(t)
	for name, c := range map[string]struct {
		call   request
		status int
		says   string
	}{
		"another host":         {w.call(get(wellKnown), with("Host", "evil.example")), 403, "the Host header names another server"},
		"no host":              {w.call(get(wellKnown), with("Host", "")), 403, "the Host header names another server"},
		"another host, POST":   {w.call(to(wellKnown), with("Host", "evil.example")), 403, "the Host header names another server"},
		"another origin":       {w.call(get(wellKnown), with("Origin", "https://evil.example")), 403, "the Origin header names a site"},
		"POST":                 {w.call(to(wellKnown), body("")), 405, `expected method GET or HEAD on this path, got "POST"`},
		"DELETE":               {w.call(get(wellKnown), method("DELETE")), 405, "expected method GET or HEAD"},
		"OPTIONS":              {w.call(get(wellKnown), method("OPTIONS")), 405, "expected method GET or HEAD"},
		"a body":               {w.call(get(wellKnown), body("hello")), 400, "expected no body"},
		"a body in chunks":     {w.call(get(wellKnown), with("Transfer-Encoding", "chunked"), body("1\r\nx\r\n0\r\n\r\n")), 400, "expected no body"},
		"a body that is large": {w.call(get(wellKnown), body(repeat("x", 1<<20))), 400, "expected no body"},
		"a query":              {w.call(get(wellKnown + "/mcp/orders?x=1")), 404, "no such path"},
		"a slash":              {w.call(get(wellKnown + "/")), 404, "no such path"},
		"a slash at the end":   {w.call(get(wellKnown + "/mcp/orders/")), 404, "no such path"},
		"no name":              {w.call(get(wellKnown + "/mcp/")), 404, "no such path"},
		"plain HTTP":           {w.call(get(wellKnown + "/http/api")), 404, "no such path"},
		"below a name":         {w.call(get(wellKnown + "/mcp/orders/x")), 404, "no such path"},
		"an escaped name":      {w.call(get(wellKnown + "/mcp/%6frders")), 404, "no such path"},
		"upper case":           {w.call(get(wellKnown + "/mcp/Orders")), 404, "no such path"},
		"markup":               {w.call(get(wellKnown + "/mcp/%22%3Cscript%3E")), 404, "no such path"},
		"a long name":          {w.call(get(wellKnown + "/mcp/" + repeat("a", 64))), 404, "no such path"},
	} {
		got := w.do(c.call)
		var problem struct {
			Status int
			Detail string
		}
		mustJSON(t, []byte(got.body), &problem)
		if got.status != c.status || problem.Status != c.status || !strings.Contains(problem.Detail, c.says) || got.header.Get("Content-Type") != "application/problem+json" ||
			got.header.Get("Cache-Control") != "no-store" || got.header.Get("Access-Control-Allow-Origin") != "" || got.header["Www-Authenticate"] != nil {
			t.Errorf("%s: got %d %q with %v, want %d with %q", name, got.status, got.body, got.header, c.status, c.says)
		}
		if allow := got.header.Get("Allow"); (allow == "GET, HEAD") != (c.status == 405) {
			t.Errorf("%s: got Allow %q", name, allow)
		}
	}
	w.wantNothingSaid(t)
}

// What only resembles the path is a call, and asks for evidence.
func TestWhatIsNoMetadataIsACall(t *testing.T) {
	t.Parallel()
	w := openIssued(t)
	for _, path := range []string{wellKnown + "x", "/x" + wellKnown, "/" + wellKnown, "/.well-known/oauth-authorization-server", "/.well-known/oauth-protected%2Dresource"} {
		if got := w.do(w.call(get(path), stranger)); got.status != 401 {
			t.Errorf("%s: got %d %q, want 401", path, got.status, got.body)
		}
	}
}

// A body that does not come is not waited for.
func TestMetadataDoesNotWaitForABody(t *testing.T) {
	t.Parallel()
	w := openIssued(t)
	conn, err := net.Dial("tcp", w.plain)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(conn, "GET "+wellKnown+" HTTP/1.1\r\nHost: "+w.plain+"\r\nContent-Length: 60000\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(conn)
	if got := string(all); err != nil || !strings.HasPrefix(got, "HTTP/1.1 400 ") || !strings.Contains(got, "Connection: close") {
		t.Errorf("got %q, %v, want 400 and the end of the connection", got, err)
	}
}

// Workloads get their tokens from the Workload API: there is no server to send
// anyone to.
func TestNoMetadataWithoutAServer(t *testing.T) {
	t.Parallel()
	w := open(t)
	for _, path := range []string{"", "/mcp", "/mcp/orders"} {
		if got := w.do(w.call(get(wellKnown+path), stranger)); got.status != 404 || !strings.Contains(got.body, "Workload API") {
			t.Errorf("%q: got %d %q, want 404", path, got.status, got.body)
		}
	}
	w.wantNothingSaid(t)
	w.wantChallenge(t, w.call(stranger), nil)
	w.wantChallenge(t, w.call(with("Authorization", "Bearer x")), map[string]string{"error": "invalid_token", "error_description": "*"})
}

// wantChallenge makes a call that is refused for its evidence, and holds the one
// challenge to its parameters. A parameter of "*" may be anything. It returns
// them.
func (w *world) wantChallenge(t *testing.T, call request, want map[string]string) map[string]string {
	t.Helper()
	got := w.do(call)
	challenges, err := oauthex.ParseWWWAuthenticate(got.header["Www-Authenticate"])
	if got.status != 401 || err != nil || len(challenges) != 1 || challenges[0].Scheme != "bearer" {
		t.Fatalf("got %d with %q (%v), want 401 with one challenge", got.status, got.header["Www-Authenticate"], err)
	}
	params := challenges[0].Params
	for name, value := range want {
		if params[name] == "" || value != "*" && params[name] != value {
			t.Errorf("%s: got %q, want %q", name, params[name], value)
		}
	}
	if len(params) != len(want) {
		t.Errorf("got parameters %q, want %q", params, want)
	}
	return params
}

func TestChallengesSayWhereToGetAToken(t *testing.T) {
	t.Parallel()
	w := openIssued(t)
	at := func(path string) map[string]string {
		return map[string]string{"resource_metadata": "http://" + w.plain + wellKnown + path}
	}
	invalid := func(path string) map[string]string {
		params := map[string]string{"error": "invalid_token", "error_description": "*"}
		if path != "" {
			params["resource_metadata"] = at(path)["resource_metadata"]
		}
		return params
	}
	forged := w.certificate(trustdomain.New("example.org", trustdomain.Options{}), "shop", trustdomain.X509Request{})
	for name, c := range map[string]struct {
		call request
		want map[string]string
	}{
		"no evidence":          {w.call(stranger), at("/mcp/orders")},
		"an unknown upstream":  {w.call(stranger, to("/mcp/nobody")), at("/mcp/nobody")},
		"all upstreams":        {w.call(stranger, to("/mcp")), at("/mcp")},
		"GET":                  {w.call(stranger, get("/mcp/orders")), at("/mcp/orders")},
		"an absolute URL":      {w.call(stranger, to("http://"+w.plain+"/mcp/orders")), at("/mcp/orders")},
		"with a query":         {w.call(stranger, to("/mcp/orders?x=1")), at("/mcp/orders")},
		"no token":             {w.call(with("Authorization", "Bearer")), invalid("/mcp/orders")},
		"not a token":          {w.call(with("Authorization", "bearer x")), invalid("/mcp/orders")},
		"two tokens":           {w.call(with("Authorization", "Bearer "+w.agent, "Bearer "+w.agent)), invalid("/mcp/orders")},
		"another scheme":       {w.call(with("Authorization", "Basic c2hvcDpzZWNyZXQ=")), at("/mcp/orders")},
		"another host":         {w.call(stranger, with("Host", "evil.example")), nil},
		"another origin":       {w.call(stranger, with("Origin", "https://evil.example")), nil},
		"another path":         {w.call(stranger, to("/")), nil},
		"a name that is none":  {w.call(stranger, to("/mcp/%22")), nil},
		"plain HTTP":           {w.call(stranger, get("/http/api/x")), nil},
		"plain HTTP, no token": {w.call(get("/http/api/x"), with("Authorization", "Bearer x")), invalid("")},
		"TLS":                  {w.call(stranger, overTLS), map[string]string{"resource_metadata": "https://" + w.secure + wellKnown + "/mcp/orders"}},
		"a forged certificate": {w.call(stranger, presenting(forged)), map[string]string{"resource_metadata": "https://" + w.secure + wellKnown + "/mcp/orders"}},
	} {
		t.Run(name, func(t *testing.T) {
			w.in(t)
			w.wantChallenge(t, c.call, c.want)
		})
	}
	w.in(t)
	// A client that follows it reads of the very URL that it called.
	params := w.wantChallenge(t, w.call(stranger), at("/mcp/orders"))
	if _, err := oauthex.GetProtectedResourceMetadata(t.Context(), params["resource_metadata"], "http://"+w.plain+"/mcp/orders", &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}); err != nil {
		t.Error(err)
	}
}

// What a token holds comes back to who sent it in a description, in no other
// characters than one may have (RFC 6750, section 3).
func TestDescriptionsHoldNoOtherCharacters(t *testing.T) {
	t.Parallel()
	w := openIssued(t)
	for _, audience := range []string{"vault", `a"b\c`, "schlüssel\r\nX-Evil: 1", repeat(`"`, 2<<10), "", "*/<script>"} {
		token := w.token(w.domain, "shop", trustdomain.JWTRequest{Audience: []string{audience}})
		params := w.wantChallenge(t, w.call(with("Authorization", "Bearer "+token)), map[string]string{"error": "*", "error_description": "*", "resource_metadata": "*"})
		text := params["error_description"]
		if !strings.HasPrefix(text, "aud: expected exactly 'mintmark', got '") || len(text) > 256 || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' }) {
			t.Errorf("audience %.20q: got %q", audience, text)
		}
	}
}

// Where nothing that an attestor takes can be asked for by name, nothing is: a
// client that is asked for a token nobody takes would go and look for one.
func TestWithoutTokensThereIsNothingToAskFor(t *testing.T) {
	t.Parallel()
	w := open(t)
	if err := w.change("mintmark.yaml", "  - {kind: jwt-svid, audience: mintmark}\n", ""); err != nil {
		t.Fatal(err)
	}
	refused := want{http.StatusForbidden, -31401, "attest", fault.Unauthenticated, "expected an X.509-SVID as TLS client certificate, got no evidence", "", false}
	for _, call := range []request{w.call(stranger), w.call(), w.call(stranger, overTLS)} {
		said := w.wantRefused(call, refused)
		if rec := w.decision(said.Call); rec.Status != http.StatusForbidden {
			t.Errorf("record: got status %d, want 403", rec.Status)
		}
		if got := w.do(call); got.header["Www-Authenticate"] != nil {
			t.Errorf("got the challenge %q, want none", got.header["Www-Authenticate"])
		}
	}
	if got := w.do(w.call(get(wellKnown), stranger)); got.status != 404 {
		t.Errorf("metadata: got %d, want 404", got.status)
	}
	w.wantOK(w.call(stranger, presenting(w.certificate(w.domain, "shop", trustdomain.X509Request{}))), "result")
}

// No token of another scope would make policy allow it.
func TestADenialIsNoChallenge(t *testing.T) {
	t.Parallel()
	w := openIssued(t)
	for _, call := range []request{
		w.call(body(toolCall("refund"))), w.call(get("/http/api/x"), method("DELETE"), with("Host", "evil.example")),
		w.call(get("/http/api/x"), with("Authorization", "Bearer "+w.token(w.domain, "clerk", trustdomain.JWTRequest{}))),
	} {
		if got := w.do(call); got.status != 200 && got.status != 403 || got.header["Www-Authenticate"] != nil {
			t.Errorf("%s: got %d with the challenge %q, want none", call.target, got.status, got.header["Www-Authenticate"])
		}
	}
}

// A Unix socket has no name of its own: what stands in Host is checked for what
// could stand in a URL.
func TestOriginsAreURLs(t *testing.T) {
	for host, want := range map[string]string{
		"mintmark.example.org": "http://mintmark.example.org", "127.0.0.1:8443": "http://127.0.0.1:8443", "[::1]:8443": "http://[::1]:8443", "LOCALHOST": "http://LOCALHOST",
		"": "", "a b": "", `a"b`: "", "a/b": "", "user@host": "", "a?b": "", "a#b": "", "a,b": "", "ä": "", "a%2fb": "",
	} {
		got, ok := broker.OriginOf(&http.Request{Host: host}, false)
		if ok != (want != "") || ok && got != want {
			t.Errorf("%q: got %q, %t, want %q", host, got, ok, want)
		}
	}
	if got, _ := broker.OriginOf(&http.Request{Host: "a"}, true); got != "https://a" {
		t.Errorf("with TLS: got %q", got)
	}
}

// FuzzStranger sends whatever can be read as an HTTP request without proof.
// Whatever it is: nothing reaches an upstream, what is told of a resource is
// told of this listener, and what is asked for can be read by a client.
func FuzzStranger(f *testing.F) {
	w := openIssued(f)
	w.unread = true // strangers are not all on record
	handler := w.broker.Handler(1)
	for _, target := range []string{wellKnown, wellKnown + "/mcp", wellKnown + "/mcp/orders", wellKnown + "/mcp/%22", wellKnown + "?a", "/mcp/orders", "/mcp", "/mcp/%0d%0a", "/", "/http/api/x"} {
		f.Add("GET", target, w.plain, "")
		f.Add("POST", target, "evil.example", "Bearer x")
		f.Add("HEAD", target, "localhost", "Bearer e30.eyJhdWQiOiJcIlxcIn0.x")
		f.Add("OPTIONS", "http://"+w.plain+target, "\"", "Basic x")
	}
	f.Fuzz(func(t *testing.T, method, target, host, authorization string) {
		raw := method + " " + target + " HTTP/1.1\r\nHost: " + host + "\r\nAuthorization: " + authorization + "\r\n\r\n"
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(raw)))
		if err != nil || strings.Contains(authorization, w.agent) {
			return
		}
		rec := httptest.NewRecorder()
		handler.ServeHTTP(rec, r)
		checkStranger(t, r, rec)
		if w.upstream.bytes.Load() != 0 {
			t.Fatal("something reached the upstream")
		}
	})
}

func checkStranger(t *testing.T, r *http.Request, rec *httptest.ResponseRecorder) {
	t.Helper()
	if !json.Valid(rec.Body.Bytes()) {
		t.Fatalf("got %d %q, want JSON", rec.Code, rec.Body)
	}
	switch rec.Code {
	case 200:
		var doc struct{ Resource string }
		mustJSON(t, rec.Body.Bytes(), &doc)
		if path, ok := strings.CutPrefix(r.URL.EscapedPath(), wellKnown); !ok || doc.Resource != "http://"+r.Host+path || strings.Contains(r.Host, "evil") {
			t.Fatalf("%s at %s: got resource %q", r.URL, r.Host, doc.Resource)
		}
	case 401:
		challenges, err := oauthex.ParseWWWAuthenticate(rec.Header()["Www-Authenticate"])
		if err != nil || len(challenges) != 1 {
			t.Fatalf("got the challenge %q: %v", rec.Header()["Www-Authenticate"], err)
		}
		if at := challenges[0].Params["resource_metadata"]; at != "" && at != "http://"+r.Host+wellKnown+r.URL.EscapedPath() {
			t.Fatalf("%s at %s: got metadata at %q", r.URL, r.Host, at)
		}
	case 400, 403, 404, 405:
	default:
		t.Fatalf("%s: got %d %q", r.URL, rec.Code, rec.Body)
	}
}

// FuzzHandle holds that no handle opens but the ones that were made.
func FuzzHandle(f *testing.F) {
	s := broker.OpenSessions(f)
	owner := identityOf("", "spiffe://example.org/shop")
	good := s.Seal("own", "orders", owner)
	for _, handle := range []string{good, good[1:], good + "=", good + "A", strings.ToLower(good), "", "🙂", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", repeat("A", 4<<10)} {
		f.Add(handle)
	}
	f.Fuzz(func(t *testing.T, handle string) {
		if id, err := s.Open(handle, "orders", owner); (err == nil) != (handle == good) || (id == "own") != (handle == good) {
			t.Errorf("%q: got %q, %v", handle, id, err)
		}
	})
}
