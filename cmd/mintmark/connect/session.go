package connect

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"

	"mintmark/injector/mcp"
)

// session is what an initialize began: the revisions that have it send its id
// and the revision that was agreed on with everything that follows.
type session struct {
	id      string // "" where the server keeps none
	version string // "" until it is agreed on

	ctx    context.Context // of its stream
	stop   context.CancelFunc
	listen sync.Once
	gone   atomic.Bool // the server knows it no more
}

func (b *bridge) newSession(id string) *session {
	s := &session{id: id}
	s.ctx, s.stop = context.WithCancel(b.running)
	return s
}

// headerSince is the first revision that has the header of the revision.
const headerSince = "2025-06-18"

// setHeaders sets the headers of the session; a nil one has none.
func (s *session) setHeaders(h http.Header) {
	if s == nil {
		return
	}
	if s.id != "" {
		h[mcp.HeaderSession] = []string{s.id}
	}
	if s.version >= headerSince {
		h[mcp.HeaderVersion] = []string{s.version}
	}
}

// lasts reports whether a server keeps something for the session that can end.
func (s *session) lasts() bool { return s != nil && s.id != "" }

// begin puts a session in force, and ends the one before it.
func (b *bridge) begin(s *session) {
	if old := b.session.Swap(s); old != nil {
		b.background.Go(func() { b.leave(old) })
	}
}

// leave ends a session: nobody listens to it any more, and the server may forget
// it. Whether that works changes nothing for the client.
func (b *bridge) leave(s *session) {
	s.stop()
	if !s.lasts() || s.gone.Load() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), farewell)
	defer cancel()
	h := http.Header{}
	s.setHeaders(h)
	resp, err := b.link.send(ctx, http.MethodDelete, nil, h, func() {})
	if err != nil {
		b.logger.WarnContext(ctx, "the session was not ended", errAttr(err))
		return
	}
	_ = resp.Body.Close()
}

// lost ends everything: the server knows the session no more. The process is
// the session of a stdio client. It can't be begun anew behind the client's
// back, since what the client set up in it (subscriptions, the log level) is
// gone with it; and no stdio client sends a second initialize to a process. What
// every one of them notices is that the process ends, and then it starts another
// or shows its user how.
func (b *bridge) lost(s *session, words *refusal) error {
	s.gone.Store(true)
	ended := refusef(http.StatusNotFound, "the session has ended at the server (%s); restart this MCP server in your client to begin a new one", words)
	b.fail(ended)
	return ended
}
