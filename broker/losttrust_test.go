package broker_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"

	"mintmark/internal/fault"
	"mintmark/internal/trustdomain"
)

// Minting takes a while. Where the trust in who signed the agent's evidence ends
// meanwhile, the call is not sent.
func TestTrustThatIsLostWhileACredentialIsMinted(t *testing.T) {
	t.Parallel()
	w := open(t)
	asked, free := make(chan struct{}), make(chan struct{})
	var once sync.Once
	slow := serve(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		once.Do(func() { close(asked) })
		<-free
		w.issuer.token(rw, r)
	}), nil)
	if err := w.change("mintmark.yaml", fmt.Sprintf("%q", "http://"+w.issuer.address+"/token"), fmt.Sprintf("%q", "http://"+slow)); err != nil {
		t.Fatal(err)
	}
	got := make(chan answer, 1)
	call, other := w.call(), w.call(to("/mcp/nobody"))
	go func() { got <- w.do(call) }()
	recv(t, "the mint", asked)
	w.domain.Rotate(trustdomain.DropOld)
	w.await("the broker to believe the new key alone", func() bool { return w.do(other).status == http.StatusUnauthorized })
	close(free)
	a := recv(t, "the answer", got)
	if said := a.refusal(t); a.status != http.StatusUnauthorized || said.Step != "attest" || w.upstream.taken() != 0 {
		t.Errorf("got %d %+v, and %d calls at the upstream", a.status, said, w.upstream.taken())
	}
	if rec := w.decision(a.refusal(t).Call); rec.Allow || rec.Fault != fault.Unauthenticated.String() {
		t.Errorf("record: got %+v", rec)
	}
}

// So it is where the trust ends while the body of the call comes.
func TestTrustThatIsLostWhileABodyComes(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.wantOK(w.call(), "result") // the credential is held
	conn, err := net.Dial("tcp", w.plain)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	text := toolCall("lookup_order")
	_, _ = fmt.Fprintf(conn, "POST /mcp/orders HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\n"+
		"Accept: application/json, text/event-stream\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", w.plain, w.agent, len(text))
	in := bufio.NewReader(conn)
	if line, err := in.ReadString('\n'); err != nil || line != "HTTP/1.1 100 Continue\r\n" { // it believed the evidence
		t.Fatalf("got %q, %v", line, err)
	}
	_, _ = in.ReadString('\n')
	other := w.call(to("/mcp/nobody"))
	w.domain.Rotate(trustdomain.DropOld)
	w.await("the broker to believe the new key alone", func() bool { return w.do(other).status == http.StatusUnauthorized })
	_, _ = io.WriteString(conn, text)
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusUnauthorized || w.upstream.taken() != 1 {
		t.Errorf("got %d, and %d calls at the upstream, want 401 and the first alone", resp.StatusCode, w.upstream.taken())
	}
}
