package broker_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mintmark/attest"
	"mintmark/internal/fault"
)

// twoAgents returns a hostile world in which each workload has credentials of its own,
// and what an upstream of a name got for the agent by the word of one.example. Others
// come by the word of two.example.
func twoAgents(t *testing.T) (w *world, got func(name string) (credential string, said *http.Request)) {
	t.Helper()
	w = hostile(t)
	w.vouching()
	for name, s := range shapes() {
		if s.only == "https" { // not among these
			continue
		}
		w.rewriteOnly("mintmark.yaml", fmt.Sprintf("  c-%s: {kind: canary, ", name), fmt.Sprintf("  c-%s: {kind: canary, per_agent: true, ", name))
	}
	if err := w.change("policies.cedar", "refunds are made one by one", "refunds are made one at a time"); err != nil {
		t.Fatal(err)
	}
	return w, func(name string) (string, *http.Request) {
		w.t.Helper()
		said := make(chan *http.Request, 1)
		w.upstream.does(func(rw http.ResponseWriter, r *http.Request) {
			select {
			case said <- r.Clone(r.Context()):
			default:
			}
			answerOK(rw, r)
		})
		w.wantOK(w.callTo(name, "one.example"), "result")
		return w.lastAllowed().Credential, recv(w.t, "the call of the first", said)
	}
}

// callTo is a call of an upstream by the agent that an issuer vouches for.
func (w *world) callTo(name, issuer string) request {
	if strings.HasSuffix(name, "-http") {
		return w.call(get("/http/"+name+"/x"), vouchedFor(issuer))
	}
	return w.call(to("/mcp/"+name), vouchedFor(issuer))
}

// literalLoot is what the other's request carried, in the ordinary ways of writing a
// text as a whole: not each character by itself.
func literalLoot(r *http.Request, but string) (all []string) {
	for _, s := range stolen(r) {
		for name, write := range writings() {
			if !strings.HasPrefix(name, "all ") && name != but {
				all = append(all, write(s))
			}
		}
	}
	return all
}

// Whatever an upstream answers to one agent, that has nothing in it of what the
// upstream got for another.
func TestAHostileUpstreamShowsNothingOfOthers(t *testing.T) {
	w, got := twoAgents(t)
	for _, name := range []string{"bearer", "basic", "query", "sigv4"} {
		t.Run(name, func(t *testing.T) {
			w.in(t)
			credential, first := got(name)
			loot := strings.Join(literalLoot(first, "JSON"), " ") // some write it as JSON themselves
			if loot == "" {
				t.Fatal("got nothing of the first agent's")
			}
			tried := 0
			for place, does := range attacks() {
				if strings.HasPrefix(place, "tokens of ") || strings.HasSuffix(place, ", events") { // in parts
					continue
				}
				for how, call := range map[string]request{
					"call": w.callTo(name, "two.example"), "stream": w.call(get("/mcp/"+name), vouchedFor("two.example")),
				} {
					var reached atomic.Bool
					w.upstream.does(func(rw http.ResponseWriter, r *http.Request) {
						reached.Store(true)
						does(rw, r, loot)
					})
					w.wantNoSighting(w.do(call))
					if t.Failed() {
						t.Fatalf("%s by %s", place, how)
					}
					if reached.Load() {
						tried++
					}
				}
			}
			told := 0
			for _, r := range w.masks() {
				if r.Credential == credential && r.Upstream == name && strings.Contains(r.Reason, "for another workload") {
					told++
				}
			}
			if tried < len(attacks()) || told < tried/4 {
				t.Errorf("got %d records of the first agent's credential in %d answers", told, tried)
			}
		})
	}
}

// Another's secret is masked in each of its literal forms, wherever an answer is cut,
// in events and in one JSON text; what is around it stays, and each is counted.
func TestAnothersSecretInPiecesAtEveryOffset(t *testing.T) {
	w, got := twoAgents(t)
	for _, c := range []struct{ name, upstream, kind, before, after string }{
		{"events", "bearer", "text/event-stream", `data: {"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"`, " end\"}}\n\n"},
		{"JSON", "bearer-http", "application/json", `["`, " end\"]\n"},
		{"text", "bearer-http", "text/plain", "", " end\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w.in(t)
			credential, first := got(c.upstream)
			forms := literalLoot(first, "")
			var said atomic.Int64
			w.upstream.does(func(rw http.ResponseWriter, _ *http.Request) {
				rw.Header().Set("Content-Type", c.kind)
				flush := http.NewResponseController(rw).Flush
				for _, form := range forms {
					text := c.before + form + c.after
					for cut := len(c.before); cut <= len(c.before)+len(form); cut++ {
						_, _ = io.WriteString(rw, text[:cut])
						_ = flush()
						_, _ = io.WriteString(rw, text[cut:])
						_ = flush()
						said.Add(1)
					}
				}
				if c.kind == "text/event-stream" {
					_, _ = io.WriteString(rw, answerEvent)
				}
			})
			answered := w.do(w.callTo(c.upstream, "two.example"))
			pieces := int(said.Load())
			if n := strings.Count(answered.body, c.after); answered.err != nil || n != pieces || n < 500 {
				t.Errorf("got %d of %d texts, %v", n, pieces, answered.err)
			}
			w.wantNoSighting(answered)
			if rec := w.outcome(w.lastAllowed().Call); rec.ScrubHits < pieces {
				t.Errorf("got %d hits on record, want at least %d", rec.ScrubHits, pieces)
			}
			if all := w.masks(); len(all) == 0 || all[len(all)-1].Credential != credential {
				t.Errorf("got %+v, want the last to name the credential of the first", all)
			}
		})
	}
}

// A stream that one agent has open is searched for what another gets meanwhile.
func TestAnOpenStreamLearnsOfOthersCredentials(t *testing.T) {
	w, got := twoAgents(t)
	e := newEvents()
	w.upstream.does(e.ServeHTTP)
	x := w.begin(w.call(get("/mcp/bearer"), vouchedFor("two.example")))
	e.event(t, ": begun\n\n")
	x.want(": begun\n\n")
	_, first := got("bearer")
	secret := bearerOf(first)
	e.event(t, ": "+secret+"\n\n")
	x.want(": " + strings.Repeat("*", len(secret)) + "\n\n")
	e.event(t, "")
}

// Where an upstream has more credentials than its answers can be searched for, one
// more is not sent to it, and that is said.
func TestMoreCredentialsThanCanBeLookedFor(t *testing.T) {
	w, got := twoAgents(t)
	got("bearer")
	empty := w.broker.FillGiven("bearer")
	w.wantRefused(w.callTo("bearer", "two.example"), want{200, -31503, "forward", fault.Unavailable, "too many credentials", "shop", true})
	w.wantOK(w.callTo("bearer", "one.example"), "result") // is looked for already
	empty()
	w.wantOK(w.callTo("bearer", "two.example"), "result")
}

// An agent that has as many of its own as may be looked for is refused one more, and
// nobody else is.
func TestMoreCredentialsOfAnAgentThanCanBeLookedFor(t *testing.T) {
	w, got := twoAgents(t)
	got("bearer")
	const metric = `mintmark_credentials_over_bound_total{bound="agent",upstream="bearer"}`
	end := time.Now().Add(time.Hour)
	second := attest.Proven(attest.Proof{ID: w.id("shop"), Issuer: "two.example", Attestor: "vouched", Expires: end})
	w.broker.FillGivenTo("bearer", second, end)
	sent := w.upstream.taken()
	w.wantRefused(w.callTo("bearer", "two.example"), want{200, -31503, "forward", fault.Unavailable, "4096 credentials of this agent", "shop", true})
	if n := w.metric(metric); n != 1 || w.upstream.taken() != sent {
		t.Errorf("got %d counted and %d calls sent, want 1 and none", n, w.upstream.taken()-sent)
	}
	w.wantOK(w.callTo("bearer", "one.example"), "result")
	w.wantOK(w.callTo("bearer", "three.example"), "result") // needs one more
	w.broker.FillGivenTo("orders", second, end)
	w.wantOK(w.callTo("orders", "two.example"), "result") // another upstream, where agents share one
	w.broker.SweepGiven("bearer", end.Add(-time.Second))
	w.wantRefused(w.callTo("bearer", "two.example"), want{200, -31503, "forward", fault.Unavailable, "4096 credentials of this agent", "shop", true})
	w.broker.SweepGiven("bearer", end.Add(time.Second))
	w.wantOK(w.callTo("bearer", "two.example"), "result")
}

// One that has as many of its own makes room by itself once they have ended.
func TestEndedCredentialsOfAnAgentTakeNoRoom(t *testing.T) {
	w, _ := twoAgents(t)
	end := time.Now().Add(-time.Second)
	w.broker.FillGivenTo("bearer", attest.Proven(attest.Proof{ID: w.id("shop"), Issuer: "two.example", Attestor: "vouched", Expires: end}), end)
	w.wantOK(w.callTo("bearer", "two.example"), "result")
}

// The answers to all are searched for each credential once, whoever it serves, and
// until its end.
func TestWhatAllAnswersAreSearchedFor(t *testing.T) {
	w, _ := twoAgents(t)
	want := func(upstream string, n int) {
		t.Helper()
		if got := w.broker.GivenToAll(upstream); got != n {
			t.Errorf("%s: got %d credentials, want %d", upstream, got, n)
		}
	}
	for range 2 {
		for _, issuer := range []string{"one.example", "two.example", "three.example"} {
			w.wantOK(w.callTo("bearer", issuer), "result")
			w.wantOK(w.callTo("orders", issuer), "result")
		}
	}
	want("bearer", 3) // of their own
	want("orders", 1) // shared
	w.broker.SweepGiven("bearer", time.Now().Add(59*time.Minute))
	want("bearer", 3)
	w.broker.SweepGiven("bearer", time.Now().Add(61*time.Minute))
	want("bearer", 0)
	w.wantOK(w.callTo("bearer", "one.example"), "result")
	want("bearer", 1)
}

// A credential that a call has just as it is let go of is looked for again.
func TestACredentialThatIsUsedAsItIsLetGoOf(t *testing.T) {
	w, got := twoAgents(t)
	got("bearer")
	for range 2 {
		w.broker.SweepGivenWhile("bearer", time.Now().Add(2*time.Hour), func() { got("bearer") })
		if n := w.broker.GivenToAll("bearer"); n != 1 {
			t.Fatalf("got %d credentials looked for, want that of the call", n)
		}
	}
	_, first := got("bearer")
	secret := bearerOf(first)
	w.upstream.does(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(rw, `{"jsonrpc":"2.0","id":1,"result":{"seen":%q}}`, secret)
	})
	w.wantOK(w.callTo("bearer", "two.example"), `"seen":"****`)
	w.broker.SweepGiven("bearer", time.Now().Add(2*time.Hour))
	if n := w.broker.GivenToAll("bearer"); n != 0 {
		t.Errorf("at their end: got %d credentials looked for, want none", n)
	}
}

// A stored key has no end at its system: it is looked for a day after its last use.
func TestAStoredKeyIsLookedForAfterItsLastUse(t *testing.T) {
	w := open(t)
	w.rewriteOnly("mintmark.yaml", "\nproviders:\n", "\nproviders:\n  stored: {kind: static, per_agent: true, token: \"file:vault-token\", since: 2026-01-01}\n")
	if err := w.change("mintmark.yaml", "orders: {url: \"http://"+w.upstream.address+"/mcp\", credentials: [{provider: token", "orders: {url: \"http://"+w.upstream.address+"/mcp\", credentials: [{provider: stored"); err != nil {
		t.Fatal(err)
	}
	w.vouching()
	for _, issuer := range []string{"one.example", "two.example"} { // who have a lease of it each
		w.wantOK(w.callTo("orders", issuer), "result")
	}
	for _, after := range []struct {
		hours, left int
	}{{0, 1}, {23, 1}, {26, 0}} {
		w.broker.SweepGiven("orders", time.Now().Add(time.Duration(after.hours)*time.Hour))
		if got := w.broker.GivenToAll("orders"); got != after.left {
			t.Errorf("after %d hours: got %d, want %d", after.hours, got, after.left)
		}
	}
}
