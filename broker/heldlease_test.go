package broker_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mintmark/broker/audit"
	"mintmark/internal/fault"
	"mintmark/providers"
)

// A stream that an agent keeps open keeps no credential of another registration.
func TestAStreamKeepsNoLeaseOfWhatChanged(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.wantOK(w.call(to("/mcp/database")), "")
	w.upstream.does(endless)
	x := w.begin(w.call(to("/mcp/open")))
	if x.resp.StatusCode != http.StatusOK {
		t.Fatalf("got %d, want a stream", x.resp.StatusCode)
	}
	if err := w.change("mintmark.yaml", "database: {role: orders}", "database: {role: orders-2}"); err != nil {
		t.Fatal(err)
	}
	w.await("the revocation of the old lease", func() bool { return len(w.issuer.revocations()) > 0 })
	_ = x.conn.Close() // else the end waits for it
}

// Nor one of a bundle that came after the stream began and is in force no longer: the parts
// of that bundle wait for the stream, and its leases do not.
func TestAnOlderStreamKeepsNoLeaseOfWhatChanged(t *testing.T) {
	t.Parallel()
	for name, between := range map[string]func(w *world) error{
		"registered anew in between": func(w *world) error { return w.change("mintmark.yaml", "scopes: [orders]", "scopes: [orders, more]") },
		"the same in between": func(w *world) error {
			return w.change("policies.cedar", `@id("shop-connects")`, "// as before\n"+`@id("shop-connects")`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := open(t)
			var streaming atomic.Bool
			w.upstream.does(func(rw http.ResponseWriter, r *http.Request) {
				if streaming.Swap(true) {
					answerOK(rw, r)
					return
				}
				rw.Header().Set("Content-Type", "text/event-stream")
				_, _ = rw.Write([]byte(": hello\n\n"))
				_ = http.NewResponseController(rw).Flush()
				<-r.Context().Done()
			})
			x := w.begin(w.call(to("/mcp/open")))
			defer x.conn.Close() // else the end waits for it
			if x.resp.StatusCode != http.StatusOK {
				t.Fatalf("got %d, want a stream", x.resp.StatusCode)
			}
			if err := between(w); err != nil {
				t.Fatal(err)
			}
			w.wantOK(w.call(to("/mcp/database")), okAnswer)
			if err := w.change("mintmark.yaml", "database: {role: orders}", "database: {role: orders-2}"); err != nil {
				t.Fatal(err)
			}
			w.await("the revocation of the lease in between", func() bool { return len(w.issuer.revocations()) > 0 })
		})
	}
}

// endless begins a stream, and goes on for as long as somebody reads.
func endless(rw http.ResponseWriter, r *http.Request) {
	rw.Header().Set("Content-Type", "text/event-stream")
	_, _ = rw.Write([]byte(": hello\n\n"))
	_ = http.NewResponseController(rw).Flush()
	<-r.Context().Done()
}

// frail is a system that ends nothing before it is mended.
type frail struct{ asked, mended, ended atomic.Bool }

// Mint implements providers.Provider.
func (*frail) Mint(context.Context, providers.Request) (providers.Credential, error) {
	return providers.Seal(providers.Password, providers.Material{Username: "v-orders", Password: providers.NewSecret("password-canary-00000001-zq")},
		providers.Terms{Lease: "frail/1", NotAfter: time.Now().Add(time.Hour)}), nil
}

// Revoke implements providers.Revoker.
func (f *frail) Revoke(context.Context, providers.Held) error {
	f.asked.Store(true)
	if !f.mended.Load() {
		return fault.New("revoke", fault.Unavailable, "down")
	}
	f.ended.Store(true)
	return nil
}

// openFrail returns a world in which a call has been served with a lease of a frail provider,
// and what puts the one of Vault's in its place.
func openFrail(t *testing.T) (w *world, f *frail, back func()) {
	t.Helper()
	f = &frail{}
	w = open(t, func(s *setup) { s.Minted = map[string]providers.Provider{"frail": f} })
	atVault := fmt.Sprintf(`{kind: vault, address: "http://%s", auth: {token: "file:vault-token"}, database: {role: orders}}`, w.issuer.address)
	change := func(from, to string) {
		t.Helper()
		if err := w.change("mintmark.yaml", from, to); err != nil {
			t.Fatal(err)
		}
	}
	change("user: "+atVault, "user: {kind: frail}")
	w.wantOK(w.call(to("/mcp/database")), okAnswer)
	return w, f, func() { t.Helper(); change("user: {kind: frail}", "user: "+atVault) }
}

// What a bundle that was replaced owes is told of while a stream of it goes on.
func TestWhatAReplacedBundleOwesIsToldOf(t *testing.T) {
	t.Parallel()
	w, f, back := openFrail(t)
	w.upstream.does(endless)
	x := w.begin(w.call(to("/mcp/open")))
	defer x.conn.Close() // else the end waits for it
	back()
	w.await("the revocation that fails", f.asked.Load)
	w.await("what is owed", func() bool { return w.broker.Owed() == 1 })
	f.mended.Store(true)
	w.await("the revocation", func() bool { return f.ended.Load() && w.broker.Owed() == 0 })
}

// A lease is revoked by the provider that made it, though its system is down as another
// system is registered by that name.
func TestALeaseOfASystemThatIsReplacedIsRevokedThere(t *testing.T) {
	t.Parallel()
	w, f, back := openFrail(t)
	back()
	w.await("the revocation that fails", f.asked.Load)
	w.await("its records, of the bundle before and of the handover", func() bool { return w.events("revoke_failed") > 1 })
	f.mended.Store(true)
	w.await("the revocation", f.ended.Load)
	if got := w.issuer.revocations(); len(got) != 0 {
		t.Errorf("got %v asked of another system", got)
	}
}

// events counts the records of an event.
func (w *world) events(event string) (n int) {
	w.t.Helper()
	for r, err := range audit.Query(w.logDir(), audit.Filter{Kind: audit.Issuance}) {
		if err == nil && r.Event == event { // a record that is being written can't be read yet
			n++
		}
	}
	return n
}

// Nor does a call that takes its time get one, long after that.
func TestASlowCallGetsNoLeaseOfWhatChanged(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.wantOK(w.call(to("/mcp/database")), "")
	mints := len(w.mints())
	slow := w.call(to("/mcp/database"), with("Content-Length", strconv.Itoa(len(toolCall("lookup_order")))), with("Expect", "100-continue"))
	rest := slow.body
	slow.body = ""
	conn := w.write(slow)
	from := bufio.NewReader(conn)
	w.wantContinue(from)
	if err := w.change("mintmark.yaml", "database: {role: orders}", "database: {role: orders-2}"); err != nil {
		t.Fatal(err)
	}
	w.await("the revocation of the old lease", func() bool { return len(w.issuer.revocations()) > 0 })
	if _, err := conn.Write([]byte(rest)); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(from, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	if err != nil || !strings.Contains(string(content), "call again") {
		t.Errorf("got %d %s, %v; want the call refused", resp.StatusCode, content, err)
	}
	if got := w.mints(); len(got) != mints {
		t.Errorf("got %+v, want no mint after the first", got)
	}
}

// mints returns the mints on record.
func (w *world) mints() (found []audit.Record) {
	w.t.Helper()
	for r, err := range audit.Query(w.logDir(), audit.Filter{Kind: audit.Issuance}) {
		if err != nil {
			w.t.Fatal(err)
		}
		if r.Event == "mint" {
			found = append(found, r)
		}
	}
	return found
}

// wantContinue reads the interim answer by which an agent knows that its body is waited
// for.
func (w *world) wantContinue(from *bufio.Reader) {
	w.t.Helper()
	line, err := from.ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "HTTP/1.1 100 ") {
		w.t.Fatalf("got %q, %v; want the body asked for", line, err)
	}
	if line, err = from.ReadString('\n'); err != nil || line != "\r\n" {
		w.t.Fatalf("got %q, %v; want the end of the interim answer", line, err)
	}
}

// slow is a system that takes its time to end something.
type slow struct {
	frail
	begun, free chan struct{}
}

// Revoke implements providers.Revoker.
func (s *slow) Revoke(ctx context.Context, _ providers.Held) error {
	close(s.begun)
	select {
	case <-s.free:
		return nil
	case <-ctx.Done():
		return fault.New("revoke", fault.Unavailable, "cut short")
	}
}

// A broker that stops waits for what a bundle that was just replaced has revoked.
func TestStoppingWaitsForTheLeasesOfAReplacedBundle(t *testing.T) {
	t.Parallel()
	p := &slow{begun: make(chan struct{}), free: make(chan struct{})}
	w := open(t, func(s *setup) {
		s.Minted = map[string]providers.Provider{"slow": p}
		s.Settling = 10 * time.Millisecond
	})
	atVault := fmt.Sprintf(`{kind: vault, address: "http://%s", auth: {token: "file:vault-token"}, database: {role: orders}}`, w.issuer.address)
	change := func(from, to string) {
		t.Helper()
		if err := w.change("mintmark.yaml", from, to); err != nil {
			t.Fatal(err)
		}
	}
	change("user: "+atVault, "user: {kind: slow}")
	w.wantOK(w.call(to("/mcp/database")), okAnswer)
	change("user: {kind: slow}", "user: "+atVault)
	recv(t, "the revocation", p.begun)
	closed := make(chan error, 1)
	go func() { closed <- w.stop() }()
	select {
	case err := <-closed:
		t.Error("Close returned while a lease is being revoked")
		closed <- err
	case <-time.After(300 * time.Millisecond):
	}
	close(p.free)
	if err := recv(t, "the end of the broker", closed); err != nil {
		t.Errorf("Close: %v", err)
	}
	if n := w.events("revoke"); n != 1 {
		t.Errorf("got %d revocations on record, want the one", n)
	}
}
