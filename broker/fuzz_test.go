package broker_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mintmark/internal/trustdomain"
)

// FuzzServe sends whatever can be read as an HTTP request, from a proven agent.
// Whatever it is: the handler returns, one decision is on record, or one for
// each message of a batch, and what reaches an upstream is the agent's bytes
// with the broker's credential, and nothing else of the agent.
func FuzzServe(f *testing.F) {
	w := open(f, func(s *setup) { s.Audit, s.Limits, s.Quiet = "segment_size: 1MiB", "body: 4KiB", true })
	w.unread = true // read segments are removed: they would fill the disk
	z := &fuzzed{world: w, handler: w.broker.Handler(1), tail: &tail{dir: w.logDir(), segment: 1}}
	z.peer.PeerCertificates = w.certificates("shop")
	w.wantOK(w.call(), "result") // mints the credential
	z.tail.decisions(f)
	z.seed(f)
	f.Fuzz(func(t *testing.T, method, target, header string, body []byte) {
		z.call(t, method, target, header, body)
	})
}

// seed adds the seeds, and fails when they would teach the fuzzer only to be
// refused.
func (z *fuzzed) seed(f *testing.F) {
	tool, list := toolCall("lookup_order"), `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`
	mixed := "[" + initialized + "," + strings.Replace(list, "1", "2", 1) + ",\n" + tool + "]"
	refused := "[" + tool + "," + refund("2") + "]"
	length := func(body string) string { return fmt.Sprintf("Content-Length: %d\r\n", len(body)) }
	const asJSON = "Content-Type: application/json\r\n"
	seeds := []struct{ method, target, header, body string }{
		{"POST", "/mcp/orders", asJSON + length(tool), tool},
		{"POST", "/mcp/tools", asJSON + length(tool) + "Mcp-Method: tools/call\r\nMcp-Name: lookup_order\r\n", tool},
		{"POST", "/mcp/orders", asJSON + "Transfer-Encoding: chunked\r\n", fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(list), list)},
		{"POST", "/mcp/orders", asJSON + length(list) + "Mcp-Session-Id: x\r\n", list},
		{"POST", "/mcp/orders", asJSON + length("[]"), "[]"},
		{"POST", "/mcp/orders", asJSON + length("["+tool+"]"), "[" + tool + "]"},
		{"POST", "/mcp/orders", asJSON + length(mixed) + "MCP-Protocol-Version: 2025-03-26\r\n", mixed},
		{"POST", "/mcp/orders", asJSON + length(refused), refused},
		{"GET", "/mcp/orders", "Accept: text/event-stream\r\nLast-Event-ID: 7\r\n", ""},
		{"DELETE", "/mcp/orders", "Mcp-Session-Id: AAAA\r\n", ""},
		{"PUT", "/http/api/a/b?x=1&api_key=2", "Content-Type: text/plain\r\nContent-Length: 2\r\nCookie: a=b\r\nIf-Match: 1\r\n", "hi"},
		{"GET", "/http/api/a%20b/", "Range: bytes=0-1\r\nX-Forwarded-For: 1\r\nAuthorization: Bearer x\r\n", ""},
		{"GET", "/http/api/../x", "Connection: Authorization, close\r\n", ""},
		{"PATCH", "/http/api//", "Expect: 100-continue\r\nContent-Length: 1\r\n", "x"},
		{"CONNECT", "orders:443", "", ""},
		{"OPTIONS", "*", "Origin: http://evil.example\r\n", ""},
		{"GET", "http://evil.example/http/api/x", "", ""},
		{"GET", "/.well-known/oauth-protected-resource/mcp/orders", "", ""},
	}
	before := z.upstream.taken()
	for _, s := range seeds {
		f.Add(s.method, s.target, s.header, []byte(s.body))
		z.call(f, s.method, s.target, s.header, []byte(s.body))
	}
	if allowed := z.upstream.taken() - before; allowed != 8 {
		f.Fatalf("got %d of %d seeds forwarded, want 8", allowed, len(seeds))
	}
}

func (z *fuzzed) call(t testing.TB, method, target, header string, body []byte) {
	raw := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: %s\r\n%s\r\n%s", method, target, z.plain, header, body)
	if request, sent, ok := z.parse(raw); ok {
		z.serve(t, request, sent)
	}
}

type fuzzed struct {
	*world
	handler http.Handler
	peer    tls.ConnectionState
	tail    *tail
}

// parse reads raw as net/http's server does, and the body that it carries. An
// agent that cannot be proven is not what is tested here: of two Authorization
// headers one stays.
func (z *fuzzed) parse(raw string) (_ *http.Request, body []byte, ok bool) {
	again, err := http.ReadRequest(bufio.NewReader(strings.NewReader(raw)))
	if err != nil {
		return nil, nil, false
	}
	body, _ = io.ReadAll(again.Body)
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(raw)))
	if err != nil {
		return nil, nil, false
	}
	if auth := r.Header["Authorization"]; len(auth) > 1 {
		r.Header["Authorization"] = auth[:1]
	}
	r.TLS = &z.peer
	r.RemoteAddr = "127.0.0.1:1"
	return r, body, true
}

func (z *fuzzed) serve(t testing.TB, r *http.Request, sent []byte) {
	method, path, before := r.Method, r.URL.EscapedPath(), z.upstream.taken()
	rec := httptest.NewRecorder()
	z.handler.ServeHTTP(rec, r)
	decided := z.tail.decisions(t)
	if strings.HasPrefix(path, wellKnown) && len(decided) == 0 && z.upstream.taken() == before {
		return // no call
	}
	checkDecisions(t, decided, sent)
	if decided[0].Agent != z.id("shop").String() {
		t.Fatalf("record: got agent %q, want the proven one", decided[0].Agent)
	}
	forwarded := z.upstream.taken() - before
	if !decided[0].Allow {
		if forwarded != 0 {
			t.Fatalf("%d requests were forwarded against the decision", forwarded)
		}
		checkRefusal(t, rec, decided[0])
		return
	}
	if forwarded != 1 || rec.Code != 200 {
		t.Fatalf("allowed: got %d requests forwarded and status %d, want 1 and 200", forwarded, rec.Code)
	}
	z.checkForwarded(t, method, path, sent)
}

// checkDecisions demands one decision, or one for each message of a batch, which
// are all for it or all against it.
func checkDecisions(t testing.TB, decided []decision, sent []byte) {
	t.Helper()
	if len(decided) == 1 {
		return
	}
	var messages []json.RawMessage
	if err := json.Unmarshal(sent, &messages); err != nil || len(messages) != len(decided) || len(decided) == 0 {
		t.Fatalf("got %d decisions on record, want 1 or one for each message of %q", len(decided), sent)
	}
	for _, d := range decided {
		if d.Call != decided[0].Call || d.Agent != decided[0].Agent || d.Allow != decided[0].Allow || d.Allow == (d.Fault != "") {
			t.Fatalf("decisions on one batch: got %+v and %+v", decided[0], d)
		}
	}
}

func checkRefusal(t testing.TB, rec *httptest.ResponseRecorder, decided decision) {
	t.Helper()
	if decided.Fault == "" || decided.Step == "" || decided.Reason == "" {
		t.Fatalf("record: got %+v, want fault, step and reason", decided)
	}
	if rec.Code < 200 || rec.Code > 599 || decided.Fault == "internal" {
		t.Fatalf("got status %d and fault %s: %s", rec.Code, decided.Fault, decided.Reason)
	}
	if !json.Valid(rec.Body.Bytes()) || !bytes.Contains(rec.Body.Bytes(), []byte(decided.Call)) {
		t.Fatalf("refusal: got %q, want JSON with the call's id", rec.Body)
	}
}

// checkForwarded holds what reached the upstream against what the agent sent.
func (z *fuzzed) checkForwarded(t testing.TB, method, path string, sent []byte) {
	t.Helper()
	got := z.upstream.last(t)
	target := "/mcp"
	if rest, plain := strings.CutPrefix(path, "/http/api"); plain {
		target = "/v1/" + strings.TrimPrefix(rest, "/")
	}
	at, _, _ := strings.Cut(got.target, "?")
	if got.method != method || at != target || got.host != z.upstream.address || got.body != string(sent) {
		t.Fatalf("forwarded %s %s to %s with %q\nwant %s %s with %q", got.method, got.target, got.host, got.body, method, target, sent)
	}
	if auth := got.header["Authorization"]; len(auth) != 1 || auth[0] != "Bearer "+z.issuer.last() {
		t.Fatalf("forwarded Authorization %q, want the minted credential", auth)
	}
	for name := range got.header {
		if !mayPass(name) {
			t.Fatalf("forwarded the header %s: %q", name, got.header[name])
		}
	}
}

// mayPass is the list of what an upstream may see, written down a second time.
func mayPass(name string) bool {
	switch name {
	case "Authorization", "User-Agent", "Content-Length", "Accept", "Accept-Encoding", "Content-Type", "Traceparent", "Tracestate", "Mcp-Protocol-Version",
		"Mcp-Method", "Mcp-Name", "Last-Event-Id", "Accept-Language", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since",
		"If-Range", "Range", "Content-Language", "Cache-Control", "Content-Disposition":
		return true
	}
	return strings.HasPrefix(name, "Mcp-Param-")
}

// decision is what the fuzz target reads of a decision record.
type decision struct {
	Kind, Call, Agent, Fault, Step, Reason string
	Allow                                  bool
}

// tail reads a log as it grows, and removes the segments it has read.
type tail struct {
	dir     string
	segment int
	file    *os.File
	in      *bufio.Reader
}

// decisions returns the decision records since the last call.
func (l *tail) decisions(t testing.TB) (found []decision) {
	t.Helper()
	for {
		if l.file == nil && !l.next(t) {
			return found
		}
		line, err := l.in.ReadBytes('\n')
		if err == nil {
			if d, ok := readDecision(t, line); ok {
				found = append(found, d)
			}
			continue
		}
		if len(line) > 0 {
			t.Fatalf("read the log: got a torn line %q", line)
		}
		if _, err := os.Stat(l.path(l.segment + 1)); err != nil {
			return found
		}
		l.leave(t)
	}
}

func (l *tail) path(n int) string { return filepath.Join(l.dir, fmt.Sprintf("%08d.log", n)) }

func (l *tail) next(t testing.TB) bool {
	t.Helper()
	file, err := os.Open(l.path(l.segment))
	if err != nil {
		return false
	}
	l.file, l.in = file, bufio.NewReader(file)
	return true
}

func (l *tail) leave(t testing.TB) {
	t.Helper()
	if err := l.file.Close(); err != nil {
		t.Fatal(err)
	}
	_ = os.Remove(l.path(l.segment))
	l.file, l.segment = nil, l.segment+1
}

func readDecision(t testing.TB, line []byte) (d decision, ok bool) {
	t.Helper()
	if !bytes.Contains(line, []byte(`"kind":"decision"`)) {
		return d, false
	}
	mustJSON(t, line, &d)
	return d, d.Kind == "decision"
}

func (w *world) certificates(name string) (chain []*x509.Certificate) {
	w.t.Helper()
	svid, err := w.domain.X509SVID(w.id(name), trustdomain.X509Request{})
	if err != nil {
		w.t.Fatal(err)
	}
	return svid.Certificates
}
