package injector

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"mintmark/attest"
	"mintmark/broker/audit"
	"mintmark/broker/bundle"
	"mintmark/providers"
)

// owners makes tokens that say whose they are, and remembers them.
type owners struct {
	of   sync.Map // of the agent, by token
	made atomic.Int64
}

// Mint implements providers.Provider.
func (o *owners) Mint(_ context.Context, r providers.Request) (providers.Credential, error) {
	token := strings.Repeat(rand.Text(), 1+int(o.made.Add(1))%40) // lengths of many pieces
	token = token[:len(token)-1] + "~"
	o.of.Store(token, r.Agent.Subject())
	return providers.Seal(providers.Token, providers.Material{Token: providers.NewSecret(token)}, providers.Terms{NotAfter: time.Now().Add(300 * time.Millisecond)}), nil
}

// judge is an upstream that says what it got, and holds that against what was made.
type judge struct {
	t   *testing.T
	o   *owners
	got atomic.Int64
}

// ServeHTTP implements http.Handler.
func (j *judge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	j.got.Add(1)
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // it was refused, or cut
	}
	value, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if half, ok := strings.CutPrefix(r.Header.Get("X-Key"), "k="); ok {
		first, second, _ := strings.Cut(half, ";")
		if value = first; first != second {
			j.t.Errorf("got one token as two: %q and %q", first, second)
		}
	}
	if c, err := r.Cookie("session"); err == nil {
		value = strings.TrimPrefix(c.Value, "v1.")
	}
	if rest, ok := strings.CutPrefix(string(body), `{"key":"`); ok {
		value, _, _ = strings.Cut(rest, `"`)
	}
	if in := r.URL.Query().Get("key"); in != "" {
		value = in
	}
	if agent, ok := j.o.of.Load(value); !ok || agent != r.Header.Get("X-Who") {
		j.t.Errorf("%s: got %q, which is of %v", r.Header.Get("X-Who"), value, agent)
	}
	_, _ = io.WriteString(w, "you sent "+value)
}

// changing is a Pool that others take the place of.
type changing struct {
	t    *testing.T
	o    *owners
	log  *audit.Log
	pool atomic.Pointer[providers.Pool]
}

func (c *changing) change() {
	pool, err := providers.NewPool(map[string]providers.Entry{"p": {Provider: c.o, PerAgent: true}}, providers.PoolOptions{Log: c.log, FingerprintKey: []byte("0123456789abcdef")})
	if err != nil {
		c.t.Error(err)
		return
	}
	if before := c.pool.Swap(pool); before != nil {
		_ = before.Close(context.Background())
	}
}

// call does one call for an agent, and reports whether it was sent.
func (c *changing) call(n int, agent spiffeid.ID, u *Upstream, s Scheme, body []byte) bool {
	who := attest.Proven(attest.Proof{ID: agent, Attestor: "test", Expires: time.Now().Add(time.Hour)})
	pool := c.pool.Load()
	leased, _, err := pool.Lease(context.Background(), "p", providers.Request{Agent: who})
	if err != nil {
		return false
	}
	receipt, err := c.log.Append(context.Background(), &audit.Record{Kind: audit.Decision, Allow: true, Credential: leased.ID()})
	if err != nil {
		c.t.Error(err)
		return false
	}
	out := &Outgoing{Method: http.MethodPost, URL: u.URL("", "", ""), Header: http.Header{"X-Who": {agent.String()}, "Content-Type": {"application/json"}}, Body: body}
	secrets, err := Inject(out, s, leased, receipt)
	if err != nil {
		return false
	}
	resp, err := u.Send(context.Background(), out, func() error {
		if leased.Ended(time.Now()) {
			return errors.New("the credential has ended")
		}
		if n%5 == 1 { // while it is sent
			pool.Drop(context.Background(), leased.ID())
		}
		return nil
	})
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	said, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Error(err)
		return false
	}
	value := strings.TrimPrefix(string(said), "you sent ")
	if got := secrets.NewScrubber().String(string(said)); value == "" || strings.Contains(got, value[:min(len(value), 20)]) || !strings.Contains(got, "you sent ***") {
		c.t.Errorf("got an answer with %q in it, want the token masked", got)
	}
	return true
}

// schemes are one of each that writes a token as it is.
func schemes(t *testing.T) (all []Scheme) {
	t.Helper()
	for _, i := range []bundle.Injection{
		{Scheme: "bearer"}, {Scheme: "header", Header: "X-Key", Template: "k={token};{token}"}, {Scheme: "cookie", Cookie: "session", Template: "v1.{token}"},
		{Scheme: "body", Field: "key"}, {Scheme: "query", Parameter: "key"},
	} {
		s, err := Open(i)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	return all
}

// collect collects garbage until over, and has a Pool take the place of another after
// each 60 calls that were sent.
func (c *changing) collect(sent *atomic.Int64, over chan struct{}) {
	for n := int64(1); ; {
		select {
		case <-over:
			return
		default:
		}
		runtime.GC()
		if sent.Load() > 60*n {
			n++
			c.change()
		}
	}
}

// No call of an agent carries another's token, or anything but a whole one, while
// credentials end, are dropped and wiped, and Pools take the place of others: over each
// version of HTTP, by each scheme, which all agents share.
func TestManyLeasesEndUnderManyCalls(t *testing.T) {
	log, err := audit.Open(audit.Options{Directory: t.TempDir(), SigningKey: signingKey(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	o := &owners{}
	pools, j := &changing{t: t, o: o, log: log}, &judge{t: t, o: o}
	pools.change()
	const each = 40
	long := []byte(`{"a":"` + strings.Repeat("x", 1<<20) + `"}`)
	var callers, collector sync.WaitGroup
	var sent atomic.Int64
	over := make(chan struct{})
	collector.Go(func() { pools.collect(&sent, over) })
	for _, u := range serving(t, j) {
		for _, s := range append(schemes(t), schemes(t)...) {
			callers.Go(func() {
				body := []byte(`{"a":1}`)
				for n := range each {
					if n == each/2 {
						body = long
					}
					if pools.call(n, spiffeid.RequireFromString(fmt.Sprintf("spiffe://a.test/agent/%d", n%3)), u, s, body) {
						sent.Add(1)
					}
				}
			})
		}
	}
	callers.Wait()
	close(over)
	collector.Wait()
	if err := pools.pool.Load().Close(t.Context()); err != nil {
		t.Error(err)
	}
	if n := sent.Load(); n < each || j.got.Load() < n {
		t.Errorf("got %d calls through, want some", n)
	}
}
