package broker_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mintmark/providers"
)

// named is a provider whose tokens are an issuer's agent's, and last for less than a
// second.
type named struct{ of sync.Map }

// Mint implements providers.Provider.
func (n *named) Mint(_ context.Context, r providers.Request) (providers.Credential, error) {
	token := ownToken + rand.Text()
	n.of.Store(token, r.Agent.Issuer())
	return providers.Seal(providers.Token, providers.Material{Token: providers.NewSecret(token)}, providers.Terms{NotAfter: time.Now().Add(700 * time.Millisecond)}), nil
}

// While bundles come in force one after the other, that say another template each, and
// credentials end, an agent's calls carry its own token alone, whole, and in a header
// that some bundle has; its answers show none.
func TestManyBundlesUnderManyCalls(t *testing.T) {
	t.Parallel()
	n := &named{}
	w := open(t, func(s *setup) { s.Minted = map[string]providers.Provider{"own": n} })
	w.rewriteOnly("mintmark.yaml", "\nproviders:\n", "\nproviders:\n  own: {kind: own, per_agent: true}\n")
	w.rewriteOnly("mintmark.yaml", "\nupstreams:\n", fmt.Sprintf("\nupstreams:\n  mine: {url: %[1]q, credentials: [{provider: own, scheme: header, header: X-Key, template: \"v0={token}\"}]}\n"+
		"  also: {url: %[1]q, credentials: [{provider: own, scheme: bearer}]}\n", "http://"+w.upstream.address+"/mcp"))
	w.vouching()
	var bundles, seen atomic.Int64
	w.upstream.does(func(rw http.ResponseWriter, r *http.Request) {
		said, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		value, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !ok {
			var version string
			version, value, _ = strings.Cut(r.Header.Get("X-Key"), "=")
			var at int64
			if _, err := fmt.Sscanf(version, "v%d", &at); err != nil || at > bundles.Load()+1 {
				t.Errorf("got the version %q of %d", version, bundles.Load())
			}
		}
		issuer, _ := n.of.Load(value)
		if who, _ := issuer.(string); who == "" || !strings.Contains(string(said), `"order":"`+who+`"`) {
			t.Errorf("got %q, of %v, for %s", value, issuer, said)
		}
		seen.Add(1)
		rw.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(rw, `{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"you sent %s."}]}}`, value)
	})
	var agents sync.WaitGroup
	over := make(chan struct{})
	for i := range 6 {
		issuer := fmt.Sprintf("issuer-%d.example", i%3)
		message := strings.Replace(toolCall("lookup_order"), `"order":"7"`, `"order":"`+issuer+`"`, 1)
		for _, path := range []string{"/mcp/mine", "/mcp/also"} {
			agents.Go(func() {
				for ended := false; !ended; {
					select {
					case <-over:
						ended = true
					default:
					}
					got := w.do(w.call(vouchedFor(issuer), to(path), body(message)))
					if strings.Contains(got.body, ownToken) || got.status == 200 && strings.Contains(got.body, "result") && !strings.Contains(got.body, "you sent ***") {
						t.Errorf("%s: got %s, want the token masked", issuer, got.body)
					}
				}
			})
		}
	}
	for i := range int64(8) {
		if err := w.change("mintmark.yaml", fmt.Sprintf("v%d={token}", i), fmt.Sprintf("v%d={token}", i+1)); err != nil {
			t.Error(err)
		}
		bundles.Store(i + 1)
		runtime.GC()
		before := seen.Load()
		w.await("calls by this bundle", func() bool { return seen.Load() > before+20 })
	}
	close(over)
	agents.Wait()
}
