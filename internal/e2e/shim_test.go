//go:build e2e

package e2e_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"

	"mintmark/internal/testenv"
)

// newWorld builds the program and starts the trust domain, for tests that do
// not share TestMintmark's.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{binary: build(t), spire: testenv.SPIRE(t, testenv.SPIREOptions{})}
	w.spire.Register(t, brokerID, testenv.ProgramSelectors(t, w.binary)...)
	w.spire.Register(t, shopID)
	w.workload = workloadClient(t, w.spire.Addr)
	return w
}

// shim returns the URL of a way to the broker for programs that can send no
// evidence: it adds the JWT-SVID of an agent to each request and changes nothing
// else, so that what they meet is the broker.
func (m *mintmark) shim(t *testing.T, id string) string {
	t.Helper()
	broker, err := url.Parse(m.plain)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DisableCompression: true}
	proxy := &httputil.ReverseProxy{
		ErrorLog:      slog.NewLogLogger(slog.DiscardHandler, slog.LevelError), // clients leave streams open
		FlushInterval: -1,
		Transport:     &recorder{base: transport, received: &m.received},
		Rewrite:       func(r *httputil.ProxyRequest) { readdress(r, broker) },
	}
	held := &heldToken{broker: m, id: spiffeid.RequireFromString(id)}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, err := held.get(r.Context())
		if err != nil {
			http.Error(w, "fetch JWT-SVID: "+err.Error(), http.StatusBadGateway)
			return
		}
		r.Header.Set("Authorization", "Bearer "+token)
		// The body whole, before anything is forwarded: when an answer begins,
		// net/http closes the body of its request, ReverseProxy's transport, which
		// still looks for its end, takes that for a broken request, and cuts the
		// answer. One in three runs of the conformance suite waited for ever.
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, "read body: "+err.Error(), http.StatusBadRequest)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		server.CloseClientConnections() // a client may have left its stream open
		server.Close()
		transport.CloseIdleConnections()
	})
	return server.URL
}

// heldToken is an agent's JWT-SVID, which is fetched anew before it ends. It is
// safe for concurrent use.
type heldToken struct {
	broker *mintmark
	id     spiffeid.ID

	mu   sync.Mutex
	svid *jwtsvid.SVID
}

func (h *heldToken) get(ctx context.Context) (string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.svid == nil || time.Until(h.svid.Expiry) < time.Minute {
		svid, err := h.broker.world.workload.FetchJWTSVID(ctx, jwtsvid.Params{Audience: "mintmark", Subject: h.id})
		if err != nil {
			return "", err
		}
		h.svid = svid
		h.broker.secrets.add("JWT-SVID of an agent", svid.Marshal())
	}
	return h.svid.Marshal(), nil
}

// readdress turns the shim's own port in Host and Origin into the broker's. Any
// other name stays, for the broker to refuse.
func readdress(r *httputil.ProxyRequest, broker *url.URL) {
	r.SetURL(broker)
	shim := r.In.Context().Value(http.LocalAddrContextKey).(interface{ String() string }).String()
	from, to := shim[strings.LastIndex(shim, ":"):], ":"+broker.Port()
	swap := func(name string) string {
		if host, ok := strings.CutSuffix(name, from); ok {
			return host + to
		}
		return name
	}
	r.Out.Host = swap(r.In.Host)
	if origin := r.In.Header.Get("Origin"); origin != "" {
		r.Out.Header.Set("Origin", swap(origin))
	}
}
