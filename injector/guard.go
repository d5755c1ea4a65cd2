package injector

import (
	"context"
	"crypto/tls"
	"net/http/httptrace"
	"sync/atomic"
	"time"

	"mintmark/internal/fault"
)

// guard asks a Recheck at the last moment that there is.
type guard struct {
	trace   httptrace.ClientTrace
	recheck Recheck
	cancel  context.CancelCauseFunc
	refusal error
	wrote   atomic.Bool
	late    atomic.Bool // and so cancelled
}

// got is the trace's GotConn: the transport calls it before it writes, on the
// connection that it made for the call or on one that became idle meanwhile. After
// a refusal nothing is written. Over HTTP/2 the transport sees to that itself: it
// looks at the request's context with the connection locked, and the calls of
// others on it go on. Over HTTP/1 it does not look again, but the connection is
// this call's alone.
func (g *guard) got(info httptrace.GotConnInfo) {
	if g.refusal != nil {
		return
	}
	secure, ok := info.Conn.(*tls.Conn)
	shared := ok && secure.ConnectionState().NegotiatedProtocol == "h2"
	// Over HTTP/2 the transport writes a request without a body once more when its
	// stream was refused, and says that the upstream had not looked at it. Whoever
	// refused it has the credential, and a record is of one time.
	if g.refusal = errRefusedStream(); !shared || !g.wrote.Load() {
		g.refusal = g.recheck()
	}
	if g.refusal == nil {
		return
	}
	g.cancel(g.refusal)
	if !shared {
		_ = info.Conn.Close()
	}
}

// leaveAfter ends the sending when there is no answer in time, until stop is called:
// the transport's own limit begins when the whole request was written, which an
// upstream that takes no more of it puts off for ever.
func (g *guard) leaveAfter(timeout time.Duration) (stop func() bool) {
	if timeout <= 0 {
		return func() bool { return true }
	}
	return time.AfterFunc(timeout+dialTime, func() {
		g.late.Store(true)
		g.cancel(nil)
	}).Stop
}

const late = "the upstream did not answer within its time limit; it may have carried the call out"

func errRefusedStream() error {
	return fault.New("forward", fault.BadUpstream, "the upstream refused the call before it answered; call again")
}
