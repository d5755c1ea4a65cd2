package injector_test

import (
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mintmark/broker/bundle"
	"mintmark/injector"
)

// slowToAccept is a server that is busy with its first connection: the second is
// accepted when free is closed.
type slowToAccept struct {
	net.Listener
	n    atomic.Int32
	free chan struct{}
}

// Accept implements net.Listener.
func (l *slowToAccept) Accept() (net.Conn, error) {
	if l.n.Add(1) > 1 {
		<-l.free
	}
	return l.Listener.Accept()
}

// busy is an upstream on which a call waits for a connection until another's is
// idle.
type busy struct {
	upstream *injector.Upstream
	arrived  chan string // paths
	answer   chan struct{}
}

func newBusy(t *testing.T) *busy {
	t.Helper()
	b := &busy{arrived: make(chan string, 4), answer: make(chan struct{})}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b.arrived <- r.URL.Path
		<-b.answer
	}))
	slow := &slowToAccept{Listener: s.Listener, free: make(chan struct{})}
	s.Listener = slow
	s.StartTLS()
	t.Cleanup(func() {
		close(slow.free)
		s.Close()
	})
	b.upstream = openUpstream(t, s)
	return b
}

// send makes a call; waits is called when it begins to wait for a connection.
func (b *busy) send(t *testing.T, path string, waits func(), recheck injector.Recheck) error {
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GetConn: func(string) { waits() }})
	out := &injector.Outgoing{Method: http.MethodGet, URL: b.upstream.URL(path, path, ""), Header: http.Header{"Authorization": {"Bearer s"}}}
	resp, err := b.upstream.Send(ctx, out, recheck)
	if err == nil {
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
	}
	return err
}

// A call that waits for a connection is asked about again when it has one, even
// one that another call has left: what it stood on may have ended meanwhile.
func TestTheLastCheckIsAtTheConnection(t *testing.T) {
	b := newBusy(t)
	first, second, waiting := make(chan error, 1), make(chan error, 1), make(chan struct{})
	go func() { first <- b.send(t, "/a", func() {}, func() error { return nil }) }()
	if got := <-b.arrived; got != "/a" {
		t.Fatalf("got %s, want /a", got)
	}
	refused, ended := errors.New("posture is bad"), atomic.Bool{}
	go func() {
		second <- b.send(t, "/b", func() { close(waiting) }, func() error {
			if ended.Load() {
				return refused
			}
			return nil
		})
	}()
	<-waiting
	ended.Store(true)
	close(b.answer) // the first call's connection becomes idle
	if err := <-first; err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-second:
		if !errors.Is(err, refused) {
			t.Errorf("got %v, want the refusal", err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("got no end of the second call")
	}
	select {
	case path := <-b.arrived:
		t.Errorf("%s reached the upstream", path)
	default:
	}
}

// Of the calls on one HTTP/2 connection only the one that is refused ends.
func TestARefusedCallLeavesOthersTheirConnection(t *testing.T) {
	for _, proto := range []string{"h2", "http/1.1"} {
		t.Run(proto, func(t *testing.T) {
			var connections atomic.Int64
			arrived, free := make(chan string, 1), make(chan struct{})
			s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				arrived <- r.Proto + " " + r.URL.Path
				_ = http.NewResponseController(w).Flush()
				<-free
				_, _ = io.WriteString(w, "whole")
			}))
			s.EnableHTTP2 = proto == "h2"
			s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
				if state == http.StateNew {
					connections.Add(1)
				}
			}
			s.StartTLS()
			t.Cleanup(s.Close)
			up := openUpstream(t, s)
			send := func(method, path string, recheck injector.Recheck) (*http.Response, error) {
				return up.Send(t.Context(), &injector.Outgoing{Method: method, URL: up.URL(path, path, ""), Header: http.Header{"Authorization": {"Bearer s"}}}, recheck)
			}
			resp, err := send(http.MethodGet, "/long", func() error { return nil })
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if got := <-arrived; !strings.HasSuffix(got, " /long") || (resp.ProtoMajor == 2) != s.EnableHTTP2 {
				t.Fatalf("got %s", got)
			}
			refused := errors.New("posture is bad")
			for i := range 200 {
				asked := 0
				method := []string{http.MethodGet, http.MethodPost}[i%2] // the transport repeats an empty POST that was not written
				resp, err := send(method, "/refused", func() error {
					if asked++; asked > 1 {
						return nil
					}
					return refused
				})
				if err == nil {
					_ = resp.Body.Close()
				}
				if !errors.Is(err, refused) {
					t.Fatalf("got %v, want the refusal", err)
				}
			}
			close(free)
			if text, err := io.ReadAll(resp.Body); string(text) != "whole" || err != nil {
				t.Errorf("the other call: got %q, %v", text, err)
			}
			if n := connections.Load(); s.EnableHTTP2 && n != 1 {
				t.Errorf("got %d connections, want the one", n)
			}
			select {
			case path := <-arrived:
				t.Errorf("%s reached the upstream", path)
			default:
			}
		})
	}
}

// openUpstream returns the Upstream of a TLS test server.
func openUpstream(t *testing.T, s *httptest.Server, timeout ...time.Duration) *injector.Upstream {
	t.Helper()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	target, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	registered := bundle.Upstream{URL: bundle.URL{URL: target}, CA: bundle.Path(ca)}
	for _, limit := range timeout {
		registered.Timeout = bundle.Duration{Duration: limit}
	}
	up, err := injector.OpenUpstream(registered)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(up.Close)
	return up
}
