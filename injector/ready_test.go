package injector

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mintmark/broker/bundle"
)

// counting answers, and counts connections and requests.
type counting struct{ connections, handshakes, requests atomic.Int32 }

// ServeHTTP implements http.Handler.
func (c *counting) ServeHTTP(http.ResponseWriter, *http.Request) { c.requests.Add(1) }

func (c *counting) connState(_ net.Conn, s http.ConnState) {
	if s == http.StateNew {
		c.connections.Add(1)
	}
}

// sent sends a call and returns how many connections the server has seen by then.
func (c *counting) sent(t *testing.T, u *Upstream) int {
	t.Helper()
	resp, err := u.Send(t.Context(), &Outgoing{Method: http.MethodGet, URL: u.URL("", "", ""), Header: http.Header{}}, func() error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("got %d, %v", resp.StatusCode, err)
	}
	_ = resp.Body.Close()
	return int(c.connections.Load())
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !is(); {
		if time.Now().After(deadline) {
			t.Fatalf("waited for %s: got none within 10 s", what)
		}
		<-time.After(time.Millisecond)
	}
}

// A call goes on the connection that was made ready, by each version of HTTP. When that
// is kept can't be seen from outside, so it is tried again where the call came before.
func TestACallGoesOnTheConnectionMadeReady(t *testing.T) {
	for i, version := range []string{"HTTP/1.1", "HTTP/2", "HTTP/1.1 over TLS"} {
		t.Run(version, func(t *testing.T) {
			eventually(t, "a call on the connection that was made ready", func() bool {
				c := &counting{}
				u := serving(t, c)[min(i, 1)]
				if i == 2 {
					u.dialer.tls.NextProtos = []string{"http/1.1"}
				}
				u.dialer.tls.VerifyConnection = func(tls.ConnectionState) error {
					c.handshakes.Add(1)
					return nil
				}
				for range 3 {
					u.Ready()
				}
				eventually(t, "a connection", func() bool {
					return c.connections.Load() > 0 && (i == 0 || c.handshakes.Load() > 0)
				})
				if n := c.requests.Load(); n != 0 {
					t.Fatalf("got %d requests before the call, want none", n)
				}
				connections := c.sent(t, u)
				u.Ready()
				if n := c.requests.Load(); n != 1 {
					t.Fatalf("got %d requests, want the call alone", n)
				}
				return connections == 1 && c.sent(t, u) == 1
			})
		})
	}
}

// long answers one path when it is told to go on.
type long struct {
	*counting
	goOn chan struct{}
}

// ServeHTTP implements http.Handler.
func (l long) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.counting.ServeHTTP(w, r)
	if strings.HasSuffix(r.URL.Path, "/long") {
		_ = http.NewResponseController(w).Flush()
		<-l.goOn
	}
}

// A call that took longer than a connection is kept leaves one all the same, which is not
// given up for another that is made ready.
func TestReadyLeavesTheConnectionOfALongCall(t *testing.T) {
	c := long{&counting{}, make(chan struct{})}
	u := serving(t, c)[1]
	u.dialer.tls.NextProtos = []string{"http/1.1"}
	resp, err := u.Send(t.Context(), &Outgoing{Method: http.MethodGet, URL: u.URL("/long", "/long", ""), Header: http.Header{}}, func() error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	u.used.Store(0) // it began long ago
	close(c.goOn)
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the end of the call", func() bool { return u.used.Load() != 0 })
	u.Ready()
	if n := c.sent(t, u); n != 1 {
		t.Errorf("got %d connections, want that of the long call kept", n)
	}
}

// What can't be made ready fails no call, and ends with the upstream.
func TestWhatIsMadeReadyEndsWithItsUpstream(t *testing.T) {
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	u, err := OpenUpstream(bundle.Upstream{URL: bundle.URL{URL: &url.URL{Scheme: "https", Host: l.Addr().String()}}, Timeout: bundle.Duration{Duration: time.Minute}})
	if err != nil {
		t.Fatal(err)
	}
	u.Ready()
	conn, err := l.Accept() // and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	began := make([]byte, 1)
	if _, err := io.ReadFull(conn, began); err != nil || began[0] != 0x16 {
		t.Fatalf("got %x, %v, want a handshake", began, err)
	}
	u.Close()
	_ = conn.SetReadDeadline(time.Now().Add(dialTime / 2)) // before it would end by itself
	if _, err := io.Copy(io.Discard, conn); err != nil {
		t.Errorf("got %v, want the end of the connection", err)
	}
}
