package connect

import (
	"log/slog"
	"net/http"
	"time"
)

// own is the stream on which a server says what belongs to no request.
type own struct {
	b       *bridge
	session *session
	at      position
	wait    backoff
	open    bool // it was, once
}

// listen carries what the server says by itself, until the session ends. A
// server that has no such stream says so at the first try.
func (b *bridge) listen(s *session) {
	o := &own{b: b, session: s}
	for o.try() && pause(s.ctx, o.wait.next(o.at.retry)) {
	}
}

// try asks for the stream and carries it to its end. It reports whether to try
// again.
func (o *own) try() bool {
	resp, err := o.b.get(o.session.ctx, o.session, o.at.id)
	if err != nil {
		o.b.logger.DebugContext(o.session.ctx, "no stream of the server's", errAttr(err))
		return true
	}
	defer func() { _ = resp.Body.Close() }()
	if !isStream(resp) {
		return o.refused(resp)
	}
	const lasting = 10 * time.Second
	before, began := o.at.events, time.Now()
	o.open = true
	_ = o.b.relay(nil, resp, &o.at) // it has no call to refuse
	if o.at.events > before || time.Since(began) > lasting {
		o.wait = backoff{} // it was good for something
	}
	return true
}

// refused reports whether there may still be a stream after an answer that is
// none. One that was there before, and is unknown now, was of a session that has
// ended.
func (o *own) refused(resp *http.Response) bool {
	words := wordsOf(resp)
	switch {
	case resp.StatusCode == http.StatusNotFound && o.open && o.session.lasts():
		_ = o.b.lost(o.session, words) // it ends the bridge
	case resp.StatusCode == http.StatusMethodNotAllowed, isFinal(resp.StatusCode) && !o.open:
		o.b.logger.InfoContext(o.session.ctx, "the server has no stream of its own", slog.Int("status", resp.StatusCode), errAttr(words))
	default:
		return true
	}
	return false
}
