package broker_test

import (
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mintmark/broker/audit"
	"mintmark/internal/fault"
	"mintmark/internal/trustdomain"
)

// What an upstream repeats could be fetched in pieces that are too small to be
// recognised.
func TestNoPartOfAnAnswerWithACredential(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.wantOK(w.call(get("/http/api/x"), with("Range", "bytes=0-4"), with("If-Range", `"7"`)), "")
	if got := w.upstream.last(t).header; got["Range"] != nil || got["If-Range"] != nil {
		t.Errorf("upstream: got %v, want no range", got)
	}
	w.upstream.does(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Range", "bytes 0-4/100")
		rw.WriteHeader(http.StatusPartialContent)
	})
	w.wantRefused(w.call(get("/http/api/x")), want{502, 0, "forward", fault.BadUpstream, "a part of an answer", "shop", true})
}

// Each time a request is written, the credential leaves; one record is of one
// time.
func TestACallIsSentOnce(t *testing.T) {
	t.Parallel()
	w := open(t)
	var warm sync.WaitGroup
	begun, free := make(chan struct{}, 8), make(chan struct{})
	w.upstream.does(func(rw http.ResponseWriter, r *http.Request) {
		begun <- struct{}{}
		<-free
		answerOK(rw, r)
	})
	for range cap(begun) {
		warm.Go(func() { w.do(w.call(get("/http/api/warm"))) })
	}
	for range cap(begun) {
		recv(t, "a call on its own connection", begun)
	}
	close(free)
	warm.Wait()
	w.upstream.does(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	for _, m := range []string{"GET", "HEAD", "DELETE", "POST"} {
		before := w.upstream.taken()
		w.do(w.call(get("/http/api/once"), method(m)))
		if n := w.upstream.taken() - before; n != 1 {
			t.Errorf("%s: got it sent %d times, want once", m, n)
		}
	}
}

// Libraries quote the bytes they could not read; the end of the world looks for
// the credential in the log.
func TestWhatCannotBeReadIsNotLogged(t *testing.T) {
	t.Parallel()
	w := open(t)
	for name, reply := range map[string]string{
		"first line":        "%\r\n\r\n",
		"status":            "HTTP/1.1 %\r\n\r\n",
		"header":            "HTTP/1.1 200 OK\r\n%\r\n\r\n",
		"length":            "HTTP/1.1 200 OK\r\nContent-Length: %\r\n\r\n",
		"transfer encoding": "HTTP/1.1 200 OK\r\nTransfer-Encoding: %\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			w.in(t)
			w.upstream.does(func(rw http.ResponseWriter, r *http.Request) {
				token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
				raw(strings.ReplaceAll(reply, "%", token))(rw, r)
			})
			w.wantRefused(w.call(), want{200, -31502, "forward", fault.BadUpstream, "could not be read", "shop", true})
		})
	}
	w.in(t)
}

// Nor is the beginning of one: a library quotes as much as it has read.
func TestWhatIsReadInPartIsNotLogged(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.wantOK(w.call(), "result")
	begins := w.issuer.last()[:20]
	for name, reply := range map[string]string{"status": "HTTP/1.1 %\r\n\r\n", "first line": "%", "header": "HTTP/1.1 200 OK\r\n%\r\n\r\n"} {
		t.Run(name, func(t *testing.T) {
			w.in(t)
			w.upstream.does(raw(strings.ReplaceAll(reply, "%", begins)))
			w.wantRefused(w.call(), want{200, -31502, "forward", fault.BadUpstream, "could not be read", "shop", true})
			if logged := string(w.logged.take()); strings.Contains(logged, begins) || !strings.Contains(logged, "could not be read") {
				t.Errorf("got %s, want the error without the beginning of the secret", logged)
			}
		})
	}
	w.in(t)
}

// Whoever routes by the mirror headers further on must not see a call that
// nobody judged.
func TestMirrorsOnlyOnCalls(t *testing.T) {
	t.Parallel()
	w := open(t)
	mirrored := want{400, -32020, "receive", fault.Invalid, "calls no method", "shop", false}
	w.run(t, []row{
		{"answer", w.call(body(`{"jsonrpc":"2.0","id":1,"result":{}}`), with("Mcp-Method", "tools/call"), with("Mcp-Name", "refund")), mirrored},
		{"GET", w.call(get("/mcp/orders"), with("Mcp-Method", "tools/call")), mirrored},
		{"DELETE", w.call(get("/mcp/orders"), method("DELETE"), with("Mcp-Name", "refund")), mirrored},
		{"GET of an unknown revision", w.call(get("/mcp/orders"), with("Mcp-Protocol-Version", "1999-01-01")), want{400, -32022, "receive", fault.Invalid, "protocol version", "shop", false}},
		{"answer with parameters", w.call(body(`{"jsonrpc":"2.0","id":1,"result":{},"params":{"name":"refund"}}`)), want{400, -32600, "receive", fault.Invalid, `no "params"`, "shop", false}},
		{"control character", w.call(body(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"lookup_order\u0000"}}`)), want{400, -32602, "receive", fault.Invalid, "control characters", "shop", false}},
	})
}

// A stream without an end lasts no longer than the evidence it was opened with.
func TestAServersStreamEndsWithItsEvidence(t *testing.T) {
	t.Parallel()
	var later atomic.Int64
	w := open(t, func(s *setup) {
		s.Clock = func() time.Time { return time.Now().Add(time.Duration(later.Load())) }
	})
	token := w.token(w.domain, "shop", trustdomain.JWTRequest{Lifetime: time.Minute})
	x, e := w.stream(get("/mcp/orders"), with("Authorization", "Bearer "+token))
	later.Store(int64(time.Minute + time.Second))
	if rest := x.wantCut(); rest != "" {
		t.Errorf("got %q, want nothing", rest)
	}
	recv(t, "the end of the upstream's request", e.left)
	if rec := w.outcome(w.lastAllowed().Call); rec.Fault != "unauthenticated" {
		t.Errorf("outcome: got %q %q, want unauthenticated", rec.Fault, rec.Reason)
	}
}

// A stranger that announces a body and sends none is answered at once.
func TestAStrangerIsAnsweredBeforeItsBody(t *testing.T) {
	t.Parallel()
	w := open(t)
	conn, err := net.Dial("tcp", w.plain)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(conn, "POST /mcp/orders HTTP/1.1\r\nHost: "+w.plain+"\r\nContent-Length: 1000\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(conn)
	if err != nil {
		t.Fatalf("read the refusal to its end: %v after %q", err, all)
	}
	got := string(all)
	if !strings.HasPrefix(got, "HTTP/1.1 401 ") || !strings.Contains(got, "Connection: close") {
		t.Errorf("got %q, want 401 and the end of the connection", got)
	}
	if n := len(w.records(audit.Filter{Outcome: "deny"}, 1)); n != 1 {
		t.Errorf("got %d records of refusals, want 1", n)
	}
}

// What an upstream says out of turn on a connection that is kept is neither printed
// nor read as the answer to the next call; the end of the world looks for the
// credential in what was printed.
func TestBytesOutOfTurnAreNoAnswer(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.upstream.does(func(rw http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodHead {
			answerOK(rw, r)
			return
		}
		conn, _, err := rw.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\nHTTP/1.1 200 OK\r\nX: "+r.Header.Get("Authorization")+"\r\nContent-Length: 5\r\n\r\nother")
		_, _ = io.Copy(io.Discard, conn)
	})
	w.do(w.call(get("/http/api/x"), method("HEAD")))
	if got := w.do(w.call(get("/http/api/x"))); got.status != 200 || got.body != okAnswer {
		t.Errorf("got %d %q, want the answer to this call", got.status, got.body)
	}
}
