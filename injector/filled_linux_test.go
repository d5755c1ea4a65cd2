package injector

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"net/url"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"mintmark/broker/audit"
	"mintmark/broker/bundle"
	"mintmark/providers"
)

// sink is an upstream that reads into memory which the search of the process's passes
// over, and answers the same to everything.
func sink(t *testing.T) *Upstream {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	room, err := syscall.Mmap(-1, 0, 64<<10, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED|syscall.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		nc, err := l.Accept()
		if err != nil {
			return
		}
		defer nc.Close()
		for { // a request without a body comes in one piece
			n, err := nc.Read(room)
			if err != nil || !bytes.HasSuffix(room[:n], []byte("\r\n\r\n")) {
				return
			}
			if _, err := io.WriteString(nc, "HTTP/1.1 204 No Content\r\n\r\n"); err != nil {
				return
			}
		}
	}()
	u, err := OpenUpstream(bundle.Upstream{URL: bundle.URL{URL: &url.URL{Scheme: "http", Host: l.Addr().String(), Path: "/"}}, Timeout: bundle.Duration{Duration: time.Minute}})
	if err != nil {
		t.Fatal(err)
	}
	u.dialer = newDialer(nil)
	t.Cleanup(func() {
		u.Close()
		_ = l.Close()
		<-ended
		_ = syscall.Munmap(room)
	})
	return u
}

// newHidden returns a random secret that is nowhere else in memory, disguised, and as a
// provider would hold it.
func newHidden() (disguised []byte, s providers.Secret) {
	var b [30]byte
	_, _ = rand.Read(b[:])
	text := base64.RawStdEncoding.AppendEncode(nil, b[:])
	s = providers.NewSecret(unsafe.String(&text[0], len(text)))
	return disguise(text), s
}

// lent is one lease of a Pool of its own.
type lent struct {
	pool *providers.Pool
	log  *audit.Log
	c    providers.Credential
}

func lend(t *testing.T, kind providers.Kind, m providers.Material) *lent {
	t.Helper()
	log, err := audit.Open(audit.Options{Directory: t.TempDir(), SigningKey: signingKey(t)})
	if err != nil {
		t.Fatal(err)
	}
	pool, err := providers.NewPool(map[string]providers.Entry{"p": {Provider: fixed(providers.Seal(kind, m, providers.Terms{NotAfter: time.Now().Add(time.Hour)}))}},
		providers.PoolOptions{Log: log, FingerprintKey: []byte("0123456789abcdef")})
	if err != nil {
		t.Fatal(err)
	}
	c, _, err := pool.Lease(t.Context(), "p", providers.Request{})
	if err != nil {
		t.Fatal(err)
	}
	return &lent{pool, log, c}
}

// call sends one request with the credential.
func (l *lent) call(t *testing.T, u *Upstream, s Scheme) {
	t.Helper()
	receipt, err := l.log.Append(t.Context(), &audit.Record{Kind: audit.Decision, Allow: true, Credential: l.c.ID()})
	if err != nil {
		t.Fatal(err)
	}
	out := &Outgoing{Method: http.MethodGet, URL: u.URL("", "", ""), Header: http.Header{}}
	if _, err := Inject(out, s, l.c, receipt); err != nil {
		t.Fatal(err)
	}
	resp, err := u.Send(t.Context(), out, func() error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
}

func (l *lent) end(t *testing.T) {
	t.Helper()
	if err := l.pool.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if err := l.log.Close(); err != nil {
		t.Error(err)
	}
}

// send sends a new secret 50 times. It returns its lease; what was sent, disguised: what
// stands before the secret, or the base64 of that, and the secret; and that without
// base64. The secret alone may be left in a hash of its fingerprint.
func send(t *testing.T, kind providers.Kind, s Scheme, before string) (lease *lent, sent, inClear []byte) {
	t.Helper()
	disguised, secret := newHidden()
	m := providers.Material{Token: secret}
	sent = append(disguise([]byte(before)), disguised...)
	inClear = bytes.Clone(sent)
	if kind == providers.Password {
		m = providers.Material{Username: "clerk", Password: secret}
		pair := disguise(sent)
		sent = disguise(base64.StdEncoding.AppendEncode(make([]byte, 0, 128), pair))
		clear(pair)
	}
	lease = lend(t, kind, m)
	u := sink(t)
	for range 50 {
		lease.call(t, u, s)
	}
	return lease, sent, inClear
}

// sendAll sends a secret by each scheme, and returns what was sent when the leases have
// ended. Nothing of it is on the caller's stack. What base64 is made of lies in no memory
// meanwhile either.
func sendAll(t *testing.T, memory memory) map[string][]byte {
	t.Helper()
	texts, none := map[string][]byte{}, map[string][]byte{}
	for _, by := range []struct {
		name   string
		kind   providers.Kind
		scheme func() (Scheme, error)
		before string
	}{
		{"bearer", providers.Token, func() (Scheme, error) { return Bearer{}, nil }, "Bearer "},
		{"header", providers.Token, func() (Scheme, error) { return NewHeader("X-Key", "k={token};{token}") }, "k="},
		{"cookie", providers.Token, func() (Scheme, error) { return NewCookie("session", "v1.{token}") }, "v1."},
		{"basic", providers.Password, func() (Scheme, error) { return Basic{}, nil }, "clerk:"},
	} {
		s, err := by.scheme()
		if err != nil {
			t.Fatal(err)
		}
		lease, sent, inClear := send(t, by.kind, s, by.before)
		defer lease.end(t)
		texts[by.name] = sent
		if by.kind == providers.Password {
			none[by.name] = inClear
		}
	}
	for name, n := range memory.count(texts) {
		if n == 0 {
			t.Errorf("%s: got none in memory during the lease: the search is blind", name)
		}
	}
	for name, n := range memory.count(none) {
		if n != 0 {
			t.Errorf("%s: got what is encoded %d times in memory, want it overwritten", name, n)
		}
	}
	return texts
}

// What a call carried to its upstream is nowhere once its lease has ended.
func TestNothingIsLeftOfWhatWasSent(t *testing.T) {
	memory := openMemory(t)
	memory.awaitNone(sendAll(t, memory))
}

// sendNone has a cookie refused for what its template has, and returns what was not
// sent, disguised.
func sendNone(t *testing.T) (*lent, []byte) {
	t.Helper()
	disguised, secret := newHidden()
	s, err := NewCookie("session", "v1;{token}")
	if err != nil {
		t.Fatal(err)
	}
	lease := lend(t, providers.Token, providers.Material{Token: secret})
	receipt, err := lease.log.Append(t.Context(), &audit.Record{Kind: audit.Decision, Allow: true, Credential: lease.c.ID()})
	if err != nil {
		t.Fatal(err)
	}
	out := &Outgoing{Method: http.MethodGet, Header: http.Header{}}
	if _, err := Inject(out, s, lease.c, receipt); err == nil || len(out.Header) > 0 {
		t.Errorf("got %v, want a cookie with a semicolon refused", err)
	}
	return lease, append(disguise([]byte("v1;")), disguised...)
}

// What a scheme refuses is overwritten at once.
func TestNothingIsLeftOfWhatWasRefused(t *testing.T) {
	memory := openMemory(t)
	lease, refused := sendNone(t)
	defer lease.end(t)
	if n := memory.count(map[string][]byte{"cookie": refused})["cookie"]; n != 0 {
		t.Errorf("got it %d times in memory, want it overwritten", n)
	}
}
