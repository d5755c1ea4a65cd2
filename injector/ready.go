package injector

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptrace"
	"time"
)

// ahead is the key of what ends a request as soon as the dial for it has begun.
type ahead struct{}

var errAhead = errors.New("a connection is made ahead of a call")

// Ready has a connection made, where none is kept, for a call that is about to be sent. It
// waits for nothing, no request is sent, and a failure is left for Send to find. Over TLS
// one is made in the time for which one would be kept, at most.
func (u *Upstream) Ready() {
	if u.plain != nil {
		u.plain.Ready()
		return
	}
	now, used := time.Now(), u.used.Load()
	if now.Sub(time.Unix(0, used)) < idleTime || !u.used.CompareAndSwap(used, now.UnixNano()) {
		return
	}
	go u.dialAhead()
}

// dialAhead begins a request and leaves it when its dial begins. The transport then goes
// on with that, and keeps the connection, until Close. What has a connection all the same
// is refused before anything is written.
func (u *Upstream) dialAhead() {
	ctx, leave := context.WithCancel(context.Background())
	defer leave()
	g := &guard{recheck: func() error { return errAhead }, cancel: func(error) { leave() }}
	g.trace.GotConn = g.got
	r := u.blank.WithContext(httptrace.WithClientTrace(context.WithValue(ctx, ahead{}, leave), &g.trace))
	r.Method, r.URL, r.Host, r.Header = http.MethodGet, u.url, u.url.Host, http.Header{}
	if resp, err := u.transport.RoundTrip(r); err == nil {
		_ = resp.Body.Close()
	}
}
