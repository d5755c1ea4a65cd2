package injector_test

import (
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"mintmark/injector"
	"mintmark/internal/fault"
)

// An upstream that refuses the stream of a request has it all the same: the
// credential leaves once.
func TestARequestThatIsRefusedByItsStreamIsNotSentAgain(t *testing.T) {
	var sent atomic.Int64
	s := httptest.NewUnstartedServer(nil)
	s.TLS = &tls.Config{NextProtos: []string{"h2"}}
	s.Config.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){"h2": func(_ *http.Server, conn *tls.Conn, _ http.Handler) {
		if _, err := io.ReadFull(conn, make([]byte, len(http2.ClientPreface))); err != nil {
			return
		}
		framer := http2.NewFramer(conn, conn)
		_ = framer.WriteSettings()
		for {
			frame, err := framer.ReadFrame()
			if err != nil {
				return
			}
			if frame.Header().Type == http2.FrameHeaders {
				sent.Add(1)
				_ = framer.WriteRSTStream(frame.Header().StreamID, http2.ErrCodeRefusedStream)
			}
		}
	}}
	s.StartTLS()
	t.Cleanup(s.Close)
	up := openUpstream(t, s)
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete} {
		sent.Store(0)
		resp, err := up.Send(t.Context(), &injector.Outgoing{Method: method, URL: up.URL("/x", "/x", ""), Header: http.Header{"Authorization": {"Bearer s"}}}, func() error { return nil })
		if err == nil {
			_ = resp.Body.Close()
		}
		if n := sent.Load(); err == nil || n != 1 {
			t.Errorf("%s: got it sent %d times (%v), want once", method, n, err)
		}
	}
}

// An upstream that takes a part of a request and no more has its time for that too.
func TestAnUpstreamThatTakesNoBodyIsLeft(t *testing.T) {
	t.Parallel()
	s := httptest.NewUnstartedServer(nil)
	s.TLS = &tls.Config{NextProtos: []string{"h2"}}
	s.Config.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){"h2": func(_ *http.Server, conn *tls.Conn, _ http.Handler) {
		framer := http2.NewFramer(conn, conn)
		_ = framer.WriteSettings()
		_, _ = io.Copy(io.Discard, conn) // and gives no room for more than the first 64 KiB
	}}
	s.StartTLS()
	t.Cleanup(s.Close)
	up := openUpstream(t, s, time.Second)
	resp, err := up.Send(t.Context(), &injector.Outgoing{Method: http.MethodPost, URL: up.URL("/x", "/x", ""), Header: http.Header{}, Body: make([]byte, 1<<20)}, func() error { return nil })
	if err == nil {
		_ = resp.Body.Close()
	}
	if hint := fault.HintOf(err); !strings.Contains(hint, "time limit") {
		t.Errorf("got %v, want to be told of the time limit", err)
	}
}
