package broker_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"mintmark/broker/audit"
	"mintmark/internal/fault"
	"mintmark/internal/trustdomain"
)

func TestForwardsWhatWasJudgedWithTheCredential(t *testing.T) {
	t.Parallel()
	w := open(t)
	text := " " + toolCall("lookup_order") + "\n"
	w.wantOK(w.call(body(text),
		with("X-Api-Key", "sk-made-up"), with("Cookie", "session=1"), with("X-Forwarded-User", "root"), with("Proxy-Authorization", "Basic eA=="),
		with("Connection", "close, X-Hop"), with("X-Hop", "1"), with("X-Unknown", "1"), with("Accept-Encoding", "br"), with("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")), "result")
	got := w.upstream.last(t)
	if got.method != "POST" || got.target != "/mcp" || got.host != w.upstream.address || got.body != text {
		t.Errorf("got %s %s to %s with %q, want the registered URL and the agent's bytes", got.method, got.target, got.host, got.body)
	}
	names := slices.Sorted(func(yield func(string) bool) {
		for name := range got.header {
			if !yield(name) {
				return
			}
		}
	})
	if want := []string{"Accept", "Accept-Encoding", "Authorization", "Content-Length", "Content-Type", "Traceparent", "User-Agent"}; !slices.Equal(names, want) {
		t.Errorf("headers: got %v, want %v", names, want)
	}
	if auth := got.header["Authorization"]; !slices.Equal(auth, []string{"Bearer " + w.issuer.last()}) {
		t.Errorf("Authorization: got %q, want the minted token alone", auth)
	}
	if coding := got.header["Accept-Encoding"]; !slices.Equal(coding, []string{"identity"}) { // without one, any may come
		t.Errorf("Accept-Encoding: got %q, want identity alone", coding)
	}
	w.wantRecordOfUse()
}

func (w *world) wantRecordOfUse() {
	w.t.Helper()
	rec := w.lastAllowed()
	if rec.Agent != w.id("shop").String() || rec.Attestor != "jwt-svid" || len(rec.Evidence) != 64 || rec.Bundle != w.broker.Digest() {
		w.t.Errorf("who: got %q by %q with %q under %q", rec.Agent, rec.Attestor, rec.Evidence, rec.Bundle)
	}
	if rec.Upstream != "orders" || rec.Method != "tools/call" || rec.Tool != "lookup_order" || len(rec.Arguments) != 64 || rec.Trace != "0af7651916cd43dd8448eb211c80319c" {
		w.t.Errorf("what: got %q %q %q, arguments %q, trace %q", rec.Upstream, rec.Method, rec.Tool, rec.Arguments, rec.Trace)
	}
	if !slices.Equal(rec.Policies, []string{"shop-looks-up"}) || len(rec.Posture) != 1 || rec.Posture[0].Value != "pass" {
		w.t.Errorf("why: got %v with %+v", rec.Policies, rec.Posture)
	}
	if rec.Provider != "token" || rec.Scheme != "bearer" || rec.Credential == "" || len(rec.Fingerprint) != 32 || !slices.Equal(rec.Scopes, []string{"orders"}) || rec.NotAfter.IsZero() || rec.Cached {
		w.t.Errorf("with: got %+v", rec)
	}
	for _, name := range []string{"Authorization", "Cookie", "Proxy-Authorization", "X-Api-Key", "X-Forwarded-User"} {
		if !slices.Contains(rec.Stripped, name) {
			w.t.Errorf("stripped: got %v, want %s too", rec.Stripped, name)
		}
	}
	end := w.outcome(rec.Call)
	if end.Status != 200 || end.Bytes != int64(len(okAnswer)) || end.Duration <= 0 || end.Credential != rec.Credential || end.Fault != "" || end.ScrubHits != 0 {
		w.t.Errorf("outcome: got %+v", end)
	}
	mint := w.records(audit.Filter{Kind: audit.Issuance, Credential: rec.Credential}, 1)[0]
	if mint.Event != "mint" || mint.Seq >= rec.Seq || mint.Fingerprint != rec.Fingerprint {
		w.t.Errorf("mint: got %+v before seq %d", mint, rec.Seq)
	}
}

func TestForwardsOverMutualTLS(t *testing.T) {
	t.Parallel()
	w := open(t)
	call := w.call(presenting(w.certificate(w.domain, "shop", trustdomain.X509Request{})), with("Authorization", "Bearer sk-made-up-by-a-library"))
	w.wantOK(call, "result")
	rec := w.lastAllowed()
	if rec.Attestor != "x509-svid" || !slices.Equal(rec.Stripped, []string{"Authorization"}) {
		t.Errorf("got %q and stripped %v, want x509-svid and Authorization", rec.Attestor, rec.Stripped)
	}
}

func TestMintsOnceForManyCalls(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.wantOK(w.call(), "result")
	w.wantOK(w.call(to("/mcp/tools")), "result")
	if n := w.issuer.asked.Load(); n != 1 {
		t.Errorf("got %d mints, want 1", n)
	}
	if !w.lastAllowed().Cached {
		t.Error("the second call's credential: got a fresh one, want the held one")
	}
}

func TestForwardsWithoutACredentialWhereNoneIsRegistered(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.wantOK(w.call(to("/mcp/open")), "result")
	if auth := w.upstream.last(t).header["Authorization"]; auth != nil {
		t.Errorf("Authorization: got %q, want none", auth)
	}
	if rec := w.lastAllowed(); rec.Credential != "" || rec.Upstream != "open" {
		t.Errorf("got %+v, want a record without a credential", rec)
	}
}

func TestForwardsPlainCalls(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.upstream.does(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("ETag", `"7"`)
		rw.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(rw, "made")
	})
	put := w.call(to("/http/api/orders/a%20b/?q=1&api_key=sk-made-up&x=%2F"), method("PUT"), body("\x00\xff raw"), with("Content-Type", "application/octet-stream"), with("If-Match", `"6"`))
	got := w.do(put)
	if got.status != 201 || got.body != "made" || got.header.Get("ETag") != `"7"` {
		t.Errorf("answer: got %d %q with %v", got.status, got.body, got.header)
	}
	reached := w.upstream.last(t)
	if reached.method != "PUT" || reached.target != "/v1/orders/a%20b/?q=1&x=%2F" || reached.body != "\x00\xff raw" || reached.header.Get("If-Match") != `"6"` {
		t.Errorf("upstream: got %+v", reached)
	}
	rec := w.lastAllowed()
	if rec.Method != "http/PUT" || rec.Tool != "/orders/a b/" || !slices.Contains(rec.Stripped, "api_key") {
		t.Errorf("record: got %q %q, stripped %v", rec.Method, rec.Tool, rec.Stripped)
	}
	for _, m := range []string{"GET", "HEAD", "DELETE"} {
		if got := w.do(w.call(get("/http/api"), method(m))); got.status != 201 || w.upstream.last(t).method != m || w.upstream.last(t).target != "/v1/" {
			t.Errorf("%s: got %d, and %+v at the upstream", m, got.status, w.upstream.last(t))
		}
	}
}

func TestRefusesWhatAnUpstreamCannotAnswer(t *testing.T) {
	t.Parallel()
	w := open(t)
	failed := func(code int, kind fault.Kind, says string) want {
		return want{200, code, "forward", kind, says, "shop", true}
	}
	unreadable := failed(-31502, fault.BadUpstream, "the upstream's answer could not be read")
	hang := func(http.ResponseWriter, *http.Request) { <-w.upstream.free.Done() }
	for _, c := range []struct {
		name, upstream string
		does           http.HandlerFunc
		want           want
	}{
		{"refuses the connection", "unreachable", answerOK, failed(-31503, fault.Unavailable, "the upstream can't be reached")},
		{"closes before its answer", "orders", raw(""), unreadable},
		{"closes in the head", "orders", raw("HTTP/1.1 200 OK\r\nContent-Ty"), unreadable},
		{"is no HTTP server", "orders", raw("SSH-2.0-OpenSSH_9.6\r\n"), unreadable},
		{"has two lengths", "orders", raw("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"), unreadable},
		{"has an endless head", "orders", raw("HTTP/1.1 200 OK\r\nX-A: " + repeat("x", 128<<10) + "\r\n\r\n"), unreadable},
		{"has a status that is none", "orders", raw("HTTP/1.1 000 Nothing\r\nContent-Length: 0\r\n\r\n"), failed(-31502, fault.BadUpstream, "status")},
		{"switches protocols", "orders", raw("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"), failed(-31502, fault.BadUpstream, "status")},
		{"is slow", "sluggish", hang, failed(-31502, fault.BadUpstream, "within its time limit; it may have carried the call out")},
		{"compresses", "orders", raw("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n\x1f\x8b"), want{200, -31502, "answer", fault.BadUpstream, "compressed answer (gzip)", "shop", true}},
		{"compresses as nobody does", "orders", raw("HTTP/1.1 200 OK\r\nContent-Encoding: x-odd\r\nContent-Length: 2\r\n\r\n{}"), failed(-31502, fault.BadUpstream, "compressed answer")},
	} {
		t.Run(c.name, func(t *testing.T) {
			w.in(t)
			w.upstream.does(c.does)
			w.wantRefused(w.call(to("/mcp/"+c.upstream)), c.want)
		})
	}
	w.in(t)
	w.upstream.does(answerOK)
	w.wantOK(w.call(), "result")
}

func TestARefusedCredentialIsMintedAnew(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.upstream.does(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("WWW-Authenticate", `Bearer resource_metadata="https://upstream.example/where-to-log-in"`)
		rw.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(rw, "log in with "+r.Header.Get("Authorization"))
	})
	said := w.wantRefused(w.call(), want{200, -31502, "forward", fault.BadUpstream, "the upstream refused the credential", "shop", true})
	first := w.decision(said.Call).Credential
	if log := string(w.logged.bytes()); !strings.Contains(log, "status 401 to a credential of provider token, put there by scheme bearer") {
		t.Errorf("got log %s, want it to say what was refused", log)
	}
	if got := string(w.received.bytes()); strings.Contains(got, "WWW-Authenticate") || strings.Contains(got, "where-to-log-in") || strings.Contains(got, "log in with") {
		t.Errorf("the agent got the upstream's challenge: %q", got)
	}
	w.upstream.does(answerOK)
	w.wantOK(w.call(), "result")
	if rec := w.lastAllowed(); rec.Credential == first || rec.Cached || w.issuer.asked.Load() != 2 {
		t.Errorf("the next call: got credential %s (cached %t) after %d mints, want a fresh one and not %s", rec.Credential, rec.Cached, w.issuer.asked.Load(), first)
	}
	// One agent's tool that says 401 again and again must not cost a mint each time.
	w.upstream.does(raw("HTTP/1.1 401 Unauthorized\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"))
	w.do(w.call())
	w.do(w.call())
	w.upstream.does(answerOK)
	w.wantOK(w.call(), "result")
	if n := w.issuer.asked.Load(); n != 2 {
		t.Errorf("after two more: got %d mints, want 2 still", n)
	}
}

// An upstream that wants no credential may say 401: the agent reads that, but
// not how to log in.
func TestA401WithoutACredentialPassesWithoutItsChallenge(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.upstream.does(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("WWW-Authenticate", "Bearer")
		rw.WriteHeader(http.StatusUnauthorized)
	})
	if got := w.do(w.call(to("/mcp/open"))); got.status != 401 || got.header["Www-Authenticate"] != nil {
		t.Errorf("got %d with %v, want 401 and no challenge", got.status, got.header)
	}
}

func TestDoesNotFollowRedirects(t *testing.T) {
	t.Parallel()
	w := open(t)
	reached := make(chan string, 1)
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		reached <- r.Header.Get("Authorization")
	}))
	defer other.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		w.upstream.does(func(rw http.ResponseWriter, r *http.Request) { http.Redirect(rw, r, other.URL+"/x", status) })
		got := w.do(w.call())
		if got.status != status || got.header.Get("Location") != other.URL+"/x" {
			t.Errorf("got %d to %q, want the %d for the agent to read", got.status, got.header.Get("Location"), status)
		}
	}
	select {
	case auth := <-reached:
		t.Errorf("the redirect was followed, with Authorization %q", auth)
	default:
	}
}

func TestPassesOnOnlyHarmlessHeaders(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.upstream.does(func(rw http.ResponseWriter, r *http.Request) {
		for _, name := range []string{"Set-Cookie", "Server", "X-Internal-Host", "Access-Control-Allow-Origin", "Strict-Transport-Security", "Refresh", "Alt-Svc", "Trailer"} {
			rw.Header().Set(name, "x=1")
		}
		rw.Header().Set("Retry-After", "7")
		answerOK(rw, r)
	})
	got := w.wantOK(w.call(), "result")
	for name := range got.header {
		if !slices.Contains([]string{"Content-Type", "Content-Length", "Retry-After", "Date"}, name) {
			t.Errorf("the agent got %s: %q", name, got.header[name])
		}
	}
	if got.header.Get("Retry-After") != "7" {
		t.Errorf("Retry-After: got %q, want 7", got.header.Get("Retry-After"))
	}
}

func TestMasksACredentialThatComesBack(t *testing.T) {
	t.Parallel()
	w := open(t)
	echo := func(r *http.Request) string { return strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ") }
	for _, c := range []struct {
		name string
		hits int
		does func(rw http.ResponseWriter, secret string)
	}{
		{"in the body", 1, func(rw http.ResponseWriter, s string) { _, _ = io.WriteString(rw, `{"got":"`+s+`"}`) }},
		{"twice", 2, func(rw http.ResponseWriter, s string) { _, _ = io.WriteString(rw, s+" "+s) }},
		{"in base64", 1, func(rw http.ResponseWriter, s string) {
			_, _ = io.WriteString(rw, base64.StdEncoding.EncodeToString([]byte("user:"+s)))
		}},
		{"in hex", 1, func(rw http.ResponseWriter, s string) { _, _ = fmt.Fprintf(rw, "%x", s) }},
		{"in a header", 1, func(rw http.ResponseWriter, s string) {
			rw.Header().Set("Location", "https://upstream.example/?t="+url.QueryEscape(s))
			rw.WriteHeader(http.StatusFound)
		}},
		{"across writes", 1, func(rw http.ResponseWriter, s string) {
			for _, b := range []byte("-" + s + "-") {
				_, _ = rw.Write([]byte{b})
				_ = http.NewResponseController(rw).Flush()
			}
		}},
		{"in an error", 1, func(rw http.ResponseWriter, s string) {
			rw.WriteHeader(http.StatusInternalServerError)
			_, _ = io.WriteString(rw, "bad token "+s)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w.in(t)
			w.upstream.does(func(rw http.ResponseWriter, r *http.Request) { c.does(rw, echo(r)) })
			got := w.do(w.call())
			secret := w.issuer.last()
			if got.err != nil || !strings.Contains(got.body+got.header.Get("Location"), "****") || strings.Contains(got.body, secret) {
				t.Errorf("got %q, %v, want the secret masked", got.body, got.err)
			}
			if rec := w.outcome(w.lastAllowed().Call); rec.ScrubHits != c.hits {
				t.Errorf("outcome: got %d hits, want %d", rec.ScrubHits, c.hits)
			}
		})
	}
	w.in(t)
}

func TestShowsAnAgentThatAnAnswerWasCutShort(t *testing.T) {
	t.Parallel()
	w := open(t)
	for name, c := range map[string]struct {
		answer string
		bytes  int64
	}{
		"before its length":  {"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"json", 6},
		"between its chunks": {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", 5},
		"in a stream":        {"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n", 9},
		"in a bad chunk":     {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n", 5},
	} {
		t.Run(name, func(t *testing.T) {
			w.in(t)
			w.upstream.does(raw(c.answer))
			if got := w.do(w.call()); got.err == nil {
				t.Errorf("the agent took %d %q for the whole answer", got.status, got.body)
			}
			rec := w.outcome(w.lastAllowed().Call)
			if rec.Status != 200 || rec.Step != "answer" || rec.Fault != "bad_upstream" || rec.Reason != "the upstream's answer ended before it was whole" || rec.Bytes != c.bytes {
				t.Errorf("outcome: got status %d, step %q, fault %q, reason %q, %d bytes, want %d", rec.Status, rec.Step, rec.Fault, rec.Reason, rec.Bytes, c.bytes)
			}
		})
	}
	w.in(t)
	w.upstream.does(answerOK)
	w.wantOK(w.call(), "result")
}

func TestTheUpstreamHearsThatTheAgentLeft(t *testing.T) {
	t.Parallel()
	w := open(t)
	begun, left := make(chan struct{}), make(chan struct{})
	w.upstream.does(func(_ http.ResponseWriter, r *http.Request) {
		close(begun)
		<-r.Context().Done()
		close(left)
	})
	conn := w.write(w.call())
	recv(t, "the call", begun)
	_ = conn.Close()
	recv(t, "the end of the upstream's request", left)
	rec := w.outcome(w.lastAllowed().Call)
	if rec.Fault != "unavailable" || rec.Reason != "the call was cancelled before the upstream answered" {
		t.Errorf("outcome: got %q, %q", rec.Fault, rec.Reason)
	}
}

// Clients tell that a call is cancelled in revision 2026-07-28 without stating it
// in _meta, and some end their connection when that is refused.
func TestANotificationNeedNotStateItsRevision(t *testing.T) {
	t.Parallel()
	w := open(t)
	err := w.change("mintmark.yaml", "\n  open: {", fmt.Sprintf(`
  modern: {url: "http://%s/mcp", protocol: stateless, credentials: [{provider: token, scheme: bearer}]}
  open: {`, w.upstream.address))
	if err != nil {
		t.Fatal(err)
	}
	w.upstream.does(func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusAccepted) })
	call := w.call(to("/mcp/modern"), body(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`),
		with("MCP-Protocol-Version", "2026-07-28"), with("Mcp-Method", "notifications/cancelled"))
	if got := w.do(call); got.status != 202 {
		t.Fatalf("got %d %q, want 202", got.status, got.body)
	}
	if got := w.upstream.last(t); got.body != call.body || got.header.Get("Mcp-Protocol-Version") != "2026-07-28" {
		t.Errorf("upstream: got %q with %v", got.body, got.header)
	}
}

// A client of the Go SDK says so when a call is cancelled, and would end its
// connection were it refused.
func TestACancelledCallLeavesAClientItsConnection(t *testing.T) {
	t.Parallel()
	server := sdk.NewServer(&sdk.Implementation{Name: "shop", Version: "1"}, nil)
	begun := make(chan struct{}, 1)
	type order struct{ Wait bool }
	sdk.AddTool(server, &sdk.Tool{Name: "lookup_order"}, func(ctx context.Context, _ *sdk.CallToolRequest, o order) (*sdk.CallToolResult, any, error) {
		if o.Wait {
			begun <- struct{}{}
			<-ctx.Done()
		}
		return &sdk.CallToolResult{}, nil, nil
	})
	address := serve(t, sdk.NewStreamableHTTPHandler(func(*http.Request) *sdk.Server { return server }, &sdk.StreamableHTTPOptions{Stateless: true}), nil)
	w := open(t, func(s *setup) { s.Upstream = address })
	if err := w.change("mintmark.yaml", "/mcp\", credentials", "/mcp\", protocol: stateless, credentials"); err != nil {
		t.Fatal(err)
	}
	client := sdk.NewClient(&sdk.Implementation{Name: "agent", Version: "1"}, nil)
	session, err := client.Connect(t.Context(), &sdk.StreamableClientTransport{Endpoint: "http://" + w.plain + "/mcp/orders", HTTPClient: &http.Client{Transport: bearer(w.agent)}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := session.CallTool(ctx, &sdk.CallToolParams{Name: "lookup_order", Arguments: order{true}})
		ended <- err
	}()
	recv(t, "the call", begun)
	cancel()
	if err := recv(t, "the end of the call", ended); err == nil {
		t.Error("the cancelled call: got an answer")
	}
	w.await("the notification", func() bool {
		for r, err := range audit.Query(w.logDir(), audit.Filter{Kind: audit.Decision}) {
			if err != nil {
				t.Fatal(err)
			}
			if r.Method == "notifications/cancelled" || r.Fault == "invalid" {
				return true
			}
		}
		return false
	})
	if _, err := session.CallTool(t.Context(), &sdk.CallToolParams{Name: "lookup_order", Arguments: order{false}}); err != nil {
		t.Errorf("the call after it: %v", err)
	}
}

// bearer makes a client's requests with a token.
type bearer string

// RoundTrip implements http.RoundTripper.
func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+string(b))
	return http.DefaultTransport.RoundTrip(r)
}

// The record says what was sent, so that it can be told later whether it was this.
func TestTheRecordHasTheDigestOfWhatIsSent(t *testing.T) {
	t.Parallel()
	w := open(t)
	digest := func(text string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(text))) }
	const sent = `{"to":"alice"}`
	w.wantOK(w.call(method("POST"), to("/http/api/pay?amount=1&api_key=x"), body(sent)), "")
	rec := w.lastAllowed()
	if rec.Body != digest(sent) || rec.Query != digest("amount=1") || rec.Arguments != "" {
		t.Errorf("plain call: got body %q and query %q", rec.Body, rec.Query)
	}
	w.wantOK(w.call(), "result")
	if rec := w.lastAllowed(); rec.Body != digest(toolCall("lookup_order")) || rec.Arguments != digest(`{"order":"7"}`) || rec.Query != "" {
		t.Errorf("MCP call: got body %q, arguments %q and query %q", rec.Body, rec.Arguments, rec.Query)
	}
}

// A listener that holds all the connections it may takes the next when one ends.
func TestConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	w := open(t, func(s *setup) { s.Limits = "body: 64KiB, shutdown: 5s, connections: 1" })
	first := w.keepAlive()
	if got := first.do(w.call()); got.status != 200 {
		t.Fatalf("got %d, want 200", got.status)
	}
	second := make(chan answer, 1)
	conn := w.write(w.call())
	go func() {
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			second <- answer{err: err}
			return
		}
		_ = resp.Body.Close()
		second <- answer{status: resp.StatusCode}
	}()
	if got := first.do(w.call()); got.status != 200 { // takes as long as an answer to the second would
		t.Errorf("the first again: got %d, want 200", got.status)
	}
	select {
	case got := <-second:
		t.Errorf("a connection more: got %+v while the first is held, want it to wait", got)
	default:
	}
	_ = first.conn.Close()
	if got := recv(t, "an answer to the second", second); got.status != 200 {
		t.Errorf("the second: got %+v, want 200", got)
	}
}
