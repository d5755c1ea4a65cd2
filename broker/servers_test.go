package broker_test

import (
	"context"
	"crypto/ecdsa"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const (
	clientSecret = "client-secret-canary-5f1c2d"
	vaultToken   = "vault-token-canary-77aa01"
)

// serve runs an HTTP server on a loopback port until the test ends.
func serve(t testing.TB, h http.Handler, wrap func(net.Listener) net.Listener) (address string) {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address = l.Addr().String()
	if wrap != nil {
		l = wrap(l)
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: patience}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close(); <-done })
	return address
}

// closedAddress returns a loopback address that nobody listens on: where the system
// has more than one, not where the servers of other tests do.
func closedAddress(t testing.TB) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.2:0")
	if err != nil {
		l, err = new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	}
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// issuer is an OAuth token endpoint and a Vault with a database role, at one
// address. It also fails in each of the ways that such systems do.
type issuer struct {
	address string
	asked   atomic.Int64 // for good tokens
	free    context.Context
	release func() // lets the stuck ones end
	key     *ecdsa.PrivateKey
	keys    []string // of private ones, what nobody may have, an upstream neither

	mu      sync.Mutex
	issued  []string
	revoked []string
}

func newIssuer(t testing.TB) *issuer {
	i := &issuer{}
	i.free, i.release = context.WithCancel(context.Background())
	mux := http.NewServeMux()
	mux.HandleFunc("POST /token", i.token)
	mux.HandleFunc("POST /failing", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "token-server-internals: "+clientSecret, http.StatusInternalServerError)
	})
	mux.HandleFunc("POST /garbage", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"access_token": 7, "secret": "`+clientSecret+`"`)
	})
	mux.HandleFunc("POST /stuck", func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-i.free.Done():
		case <-r.Context().Done():
		}
	})
	mux.HandleFunc("GET /v1/auth/token/lookup-self", func(w http.ResponseWriter, _ *http.Request) {
		answerJSON(w, map[string]any{"data": map[string]any{"ttl": 3600, "id": "x"}})
	})
	mux.HandleFunc("GET /v1/database/creds/orders", i.user)
	mux.HandleFunc("/v1/sys/leases/revoke", i.revoke)
	i.address = serve(t, mux, nil)
	return i
}

func (i *issuer) token(w http.ResponseWriter, r *http.Request) {
	if _, secret, _ := r.BasicAuth(); secret != clientSecret {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	answerJSON(w, map[string]any{"access_token": i.issue("access-token"), "token_type": "Bearer", "expires_in": 3600})
}

func (i *issuer) user(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("X-Vault-Token") != vaultToken {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	answerJSON(w, map[string]any{"lease_id": "database/creds/orders/1", "lease_duration": 3600, "renewable": true,
		"data": map[string]any{"username": "v-orders", "password": i.issue("password")}})
}

func (i *issuer) revoke(w http.ResponseWriter, r *http.Request) {
	var asked struct {
		Lease string `json:"lease_id"`
	}
	_ = json.NewDecoder(r.Body).Decode(&asked)
	i.mu.Lock()
	i.revoked = append(i.revoked, asked.Lease)
	i.mu.Unlock()
	w.WriteHeader(http.StatusNoContent)
}

// issue makes a secret and remembers it, to look for it later.
func (i *issuer) issue(what string) string {
	secret := fmt.Sprintf("%s-canary-%08d-zq", what, i.asked.Add(1))
	i.mu.Lock()
	defer i.mu.Unlock()
	i.issued = append(i.issued, secret)
	return secret
}

func (i *issuer) secrets() []string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.Concat([]string{clientSecret, vaultToken}, i.keys, i.issued)
}

func (i *issuer) last() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.issued[len(i.issued)-1]
}

func (i *issuer) revocations() []string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.Clone(i.revoked)
}

func answerJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

// upstream is a registered server: it counts every byte that reaches it and
// answers as the test says.
type upstream struct {
	address string
	bytes   atomic.Int64
	free    context.Context
	release func() // lets handlers that wait end

	mu     sync.Mutex
	answer http.HandlerFunc
	newest seen
	count  int
}

// seen is a request as it reached the upstream.
type seen struct {
	method, target, host string
	header               http.Header
	body                 string
}

const okAnswer = `{"jsonrpc":"2.0","id":1,"result":{"content":[]}}`

func newUpstream(t testing.TB) *upstream {
	u := &upstream{}
	u.free, u.release = context.WithCancel(context.Background())
	u.does(answerOK)
	u.address = serve(t, u, func(l net.Listener) net.Listener { return countingListener{l, &u.bytes} })
	return u
}

func answerOK(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, okAnswer)
}

// does makes the upstream answer by h from now on.
func (u *upstream) does(h http.HandlerFunc) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.answer = h
}

// ServeHTTP implements http.Handler.
func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	u.note(r)(w, r)
}

// note remembers a request, and returns how it is to be answered.
func (u *upstream) note(r *http.Request) http.HandlerFunc {
	body := bodyOf(r)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.newest, u.count = seen{r.Method, r.RequestURI, r.Host, r.Header.Clone(), body}, u.count+1
	return u.answer
}

// last returns the newest request.
func (u *upstream) last(t testing.TB) seen {
	t.Helper()
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.count == 0 {
		t.Fatal("nothing reached the upstream")
	}
	return u.newest
}

// got returns all that the newest request says.
func (u *upstream) got() string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return fmt.Sprint(u.newest)
}

// taken returns how many requests reached the upstream.
func (u *upstream) taken() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.count
}

// raw answers with the given bytes and closes the connection.
func raw(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(err)
		}
		_, _ = io.WriteString(conn, text)
		_ = conn.Close()
	}
}

// events is an answer of server-sent events that a test sends one by one, or of
// other pieces.
type events struct {
	head http.Header   // more of it
	send chan string   // "" ends the answer
	left chan struct{} // closed when the broker has gone
}

func newEvents() *events { return &events{send: make(chan string), left: make(chan struct{})} }

// ServeHTTP implements http.Handler.
func (e *events) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer close(e.left)
	w.Header().Set("Content-Type", "text/event-stream")
	maps.Copy(w.Header(), e.head)
	flush := http.NewResponseController(w).Flush
	_ = flush()
	for {
		select {
		case text := <-e.send:
			if text == "" {
				return
			}
			_, _ = io.WriteString(w, text)
			_ = flush()
		case <-r.Context().Done():
			return
		}
	}
}

func (e *events) event(t testing.TB, text string) {
	t.Helper()
	select {
	case e.send <- text:
	case <-time.After(patience):
		t.Fatal("wait for the upstream to send an event: it does not")
	}
}

// countingListener counts the bytes that its connections read.
type countingListener struct {
	net.Listener
	count *atomic.Int64
}

// Accept implements net.Listener.
func (l countingListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return countingConn{conn, l.count}, nil
}

type countingConn struct {
	net.Conn
	count *atomic.Int64
}

// Read implements net.Conn.
func (c countingConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.count.Add(int64(n))
	return n, err
}

func basicAuth(header string) (user, password string, ok bool) {
	return (&http.Request{Header: http.Header{"Authorization": {header}}}).BasicAuth()
}
