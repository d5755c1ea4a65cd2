package broker_test

import (
	"fmt"
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
