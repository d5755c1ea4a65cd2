package broker_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"

	"mintmark/broker/audit"
	"mintmark/internal/fault"
	"mintmark/internal/trustdomain"
)

// request is what an agent writes, byte for byte.
type request struct {
	method, target, body string
	header               http.Header // names as they are written
	cert                 *tls.Certificate
	head                 string // when not "": the whole head, as it is written
}

// call returns an ordinary tool call of agent/shop, with changes.
func (w *world) call(change ...func(*request)) request {
	r := request{method: "POST", target: "/mcp/orders", body: toolCall("lookup_order"), header: http.Header{
		"Authorization": {"Bearer " + w.agent},
		"Content-Type":  {"application/json"},
		"Accept":        {"application/json, text/event-stream"},
	}}
	for _, c := range change {
		c(&r)
	}
	return r
}

func with(name string, values ...string) func(*request) {
	return func(r *request) { r.header[name] = values }
}

func body(text string) func(*request)   { return func(r *request) { r.body = text } }
func to(target string) func(*request)   { return func(r *request) { r.target = target } }
func method(name string) func(*request) { return func(r *request) { r.method = name } }

// get makes r a request without a body.
func get(target string) func(*request) {
	return func(r *request) {
		r.method, r.target, r.body = "GET", target, ""
		delete(r.header, "Content-Type")
	}
}

// presenting makes r come over TLS with a client certificate.
func presenting(cert tls.Certificate) func(*request) {
	return func(r *request) { r.cert = &cert }
}

// certificate returns an X.509-SVID of an agent.
func (w *world) certificate(d *trustdomain.Domain, name string, r trustdomain.X509Request) tls.Certificate {
	w.t.Helper()
	svid, err := d.X509SVID(d.ID("agent", name), r)
	if err != nil {
		w.t.Fatal(err)
	}
	return trustdomain.TLSCertificate(svid)
}

func (r request) bytes(host string) []byte {
	var b bytes.Buffer
	if r.head != "" {
		b.WriteString(r.head)
		b.WriteString(r.body)
		return b.Bytes()
	}
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\n", r.method, r.target)
	if r.header["Host"] == nil {
		fmt.Fprintf(&b, "Host: %s\r\n", host)
	}
	if r.body != "" && r.header["Content-Length"] == nil && r.header["Transfer-Encoding"] == nil {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(r.body))
	}
	for name, values := range r.header {
		for _, v := range values {
			fmt.Fprintf(&b, "%s: %s\r\n", name, v)
		}
	}
	b.WriteString("\r\n")
	b.WriteString(r.body)
	return b.Bytes()
}

// exchange is a request that was written and an answer that is being read.
type exchange struct {
	t    testing.TB
	conn net.Conn
	resp *http.Response
	body *bufio.Reader
}

// begin writes r and reads the head of its answer. The connection ends with
// the test.
func (w *world) begin(r request) *exchange {
	w.t.Helper()
	conn := w.write(r)
	resp, err := http.ReadResponse(bufio.NewReader(io.TeeReader(patiently{conn}, &w.received)), &http.Request{Method: r.method})
	if err != nil {
		w.t.Fatalf("read the answer's head: %v", err)
	}
	w.t.Cleanup(func() { _ = resp.Body.Close() })
	return &exchange{t: w.t, conn: conn, resp: resp, body: bufio.NewReader(resp.Body)}
}

// event reads one server-sent event.
func (x *exchange) event() (string, error) {
	var b strings.Builder
	for !strings.HasSuffix(b.String(), "\n\n") {
		line, err := x.body.ReadString('\n')
		b.WriteString(line)
		if err != nil {
			return b.String(), err
		}
	}
	return b.String(), nil
}

// write sends r on a connection of its own and leaves it open.
func (w *world) write(r request) net.Conn {
	w.t.Helper()
	conn, err := w.send(r)
	if err != nil {
		w.t.Fatal(err)
	}
	return conn
}

// send is write for any goroutine.
func (w *world) send(r request) (net.Conn, error) {
	conn, err := w.dial(r)
	if err != nil {
		return nil, err
	}
	w.t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	go func() { _, _ = conn.Write(r.bytes(conn.RemoteAddr().String())) }() // the broker may answer before it has read all
	return conn, nil
}

func (w *world) dial(r request) (net.Conn, error) {
	if r.cert == nil {
		return net.Dial("tcp", w.plain)
	}
	return tls.Dial("tcp", w.secure, &tls.Config{
		InsecureSkipVerify: true, // what is tested is whom the broker believes
		Certificates:       []tls.Certificate{*r.cert},
		MinVersion:         tls.VersionTLS13,
	})
}

// answer is what an agent got.
type answer struct {
	status int
	header http.Header
	body   string
	err    error // of the call, or of reading the body: an answer that was cut short
}

// do makes one call on a connection of its own. Any goroutine may.
func (w *world) do(r request) answer {
	conn, err := w.send(r)
	if err != nil {
		return answer{err: err}
	}
	defer conn.Close()
	resp, err := http.ReadResponse(bufio.NewReader(io.TeeReader(patiently{conn}, &w.received)), &http.Request{Method: r.method})
	if err != nil {
		return answer{err: err}
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, string(content), err}
}

// patiently reads for as long as something comes: an answer full of a secret has a pace, and
// what else a test does before it reads takes its time.
type patiently struct{ net.Conn }

func (p patiently) Read(b []byte) (int, error) {
	_ = p.SetReadDeadline(time.Now().Add(patience))
	return p.Conn.Read(b)
}

// wantOK makes a call that must be answered with 200 and text in its body.
func (w *world) wantOK(r request, text string) answer {
	w.t.Helper()
	got := w.do(r)
	if got.err != nil || got.status != http.StatusOK || !strings.Contains(got.body, text) {
		w.t.Fatalf("got %d %q, %v; want 200 with %q", got.status, got.body, got.err, text)
	}
	return got
}

// refusal is what a refusal says, in either form.
type refusal struct {
	ID   json.RawMessage
	Code int
	Text string
	Call string
	Step string
	Kind string
}

// refusal reads the JSON-RPC error or the problem details in a.
func (a answer) refusal(t testing.TB) refusal {
	t.Helper()
	switch a.header.Get("Content-Type") {
	case "application/json":
		var m struct {
			JSONRPC string
			ID      json.RawMessage
			Error   struct {
				Code    int
				Message string
				Data    struct{ Call, Step, Kind string }
			}
		}
		mustJSON(t, []byte(a.body), &m)
		if m.JSONRPC != "2.0" || m.Error.Code == 0 {
			t.Fatalf("got %q, want a JSON-RPC error", a.body)
		}
		text, ours := strings.CutPrefix(m.Error.Message, "mintmark: ")
		if !ours {
			t.Errorf("got message %q, want it to say who refuses", m.Error.Message)
		}
		return refusal{m.ID, m.Error.Code, text, m.Error.Data.Call, m.Error.Data.Step, m.Error.Data.Kind}
	case "application/problem+json":
		var p struct {
			Status             int
			Detail, Call, Step string
			Kind               string
		}
		mustJSON(t, []byte(a.body), &p)
		if p.Status != a.status {
			t.Errorf("got status %d in the body of a %d", p.Status, a.status)
		}
		return refusal{Text: p.Detail, Call: p.Call, Step: p.Step, Kind: p.Kind}
	}
	t.Fatalf("got %d %q of type %q, want a refusal", a.status, a.body, a.header.Get("Content-Type"))
	return refusal{}
}

// want is a refusal as a test expects it.
type want struct {
	status  int
	code    int // of JSON-RPC; 0: the refusal has the form of problem details
	step    string
	kind    fault.Kind
	says    string // part of the reason
	agent   string // in the record: "shop" or "" when no agent is proven
	allowed bool   // the decision was made and recorded; the failure came after it
}

// wantRefused makes a call that must be refused, and looks at the four sides of
// a refusal: what the agent reads, what is on record, that nothing reached the
// upstream, and (at the end of the world) that no secret is in any of it.
func (w *world) wantRefused(r request, want want) refusal {
	w.t.Helper()
	before := w.upstream.bytes.Load()
	got := w.do(r)
	if got.err != nil {
		w.t.Fatalf("read the refusal: %v", got.err)
	}
	said := got.refusal(w.t)
	if got.status != want.status || said.Code != want.code || !strings.Contains(said.Text, want.says) {
		w.t.Errorf("answer: got %d, %d, %q\nwant %d, %d, %q", got.status, said.Code, said.Text, want.status, want.code, want.says)
	}
	if said.Step != want.step || said.Kind != want.kind.String() || len(said.Call) != 32 {
		w.t.Errorf("answer: got step %q, kind %q, call %q; want %q, %q and the call's id", said.Step, said.Kind, said.Call, want.step, want.kind)
	}
	if got.header.Get("Cache-Control") != "no-store" {
		w.t.Errorf("answer: got Cache-Control %q, want no-store", got.header.Get("Cache-Control"))
	}
	if reached := w.upstream.bytes.Load() - before; reached != 0 && !want.allowed {
		w.t.Errorf("%d bytes reached the upstream, want none", reached)
	}
	w.wantRecorded(said, want)
	return said
}

// wantRecorded checks the record of a refusal.
func (w *world) wantRecorded(said refusal, want want) {
	w.t.Helper()
	rec := w.decision(said.Call)
	if rec.Allow != want.allowed {
		w.t.Errorf("decision: got allow %t, want %t", rec.Allow, want.allowed)
	}
	if want.allowed {
		rec = w.outcome(said.Call)
	}
	agent := ""
	if want.agent != "" {
		agent = w.id(want.agent).String()
	}
	if rec.Step != want.step || rec.Fault != want.kind.String() || !strings.Contains(rec.Reason, want.says) || rec.Agent != agent {
		w.t.Errorf("record: got step %q, fault %q, reason %q, agent %q\nwant %q, %q, %q, %q",
			rec.Step, rec.Fault, rec.Reason, rec.Agent, want.step, want.kind, want.says, agent)
	}
	if !want.allowed && slices.ContainsFunc(w.ofCall(said.Call), func(r audit.Record) bool { return r.Kind == audit.Outcome }) {
		w.t.Error("record: got an outcome of a call that was never allowed")
	}
}

func (w *world) ofCall(id string) (found []audit.Record) {
	w.t.Helper()
	for r, err := range audit.Query(w.logDir(), audit.Filter{Call: id}) {
		if err != nil {
			w.t.Fatal(err)
		}
		found = append(found, r)
	}
	return found
}

// keepAlive returns a connection that makes one call after another.
func (w *world) keepAlive() *connection {
	w.t.Helper()
	conn, err := net.Dial("tcp", w.plain)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = conn.Close() })
	return &connection{w.t, conn, bufio.NewReader(conn)}
}

type connection struct {
	t    testing.TB
	conn net.Conn
	in   *bufio.Reader
}

func (c *connection) do(r request) answer {
	c.t.Helper()
	_ = c.conn.SetDeadline(time.Now().Add(patience))
	if _, err := c.conn.Write(r.bytes(c.conn.RemoteAddr().String())); err != nil {
		c.t.Fatal(err)
	}
	resp, err := http.ReadResponse(c.in, &http.Request{Method: r.method})
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, string(content), err}
}

// http2 is how the agent shop calls by HTTP/2, with its X.509-SVID.
func (w *world) http2() *http.Transport {
	w.t.Helper()
	svid, err := w.domain.X509SVID(w.id("shop"), trustdomain.X509Request{})
	if err != nil {
		w.t.Fatal(err)
	}
	client := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: tlsconfig.MTLSClientConfig(svid, w.domain.Bundle(), tlsconfig.AuthorizeID(w.domain.ID("mintmark")))}
	w.t.Cleanup(client.CloseIdleConnections)
	return client
}
