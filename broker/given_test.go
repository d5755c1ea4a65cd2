package broker_test

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"mintmark/broker"
	"mintmark/broker/audit"
	"mintmark/internal/fault"
	"mintmark/providers"
)

// A server that keeps the credential which began a session may say it in the answer
// to a call that came with another. At the world's end no secret is in any answer.
func TestACredentialInTheAnswerToACallWithAnother(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var kept []string // every credential, as it came
	said := begins(func(w http.ResponseWriter, r *http.Request) {
		says(200, "application/json", fmt.Sprintf(`{"jsonrpc":"2.0","id":0,"result":{"content":[{"type":"text","text":%q}]}}`, strings.Join(kept, " ")))(w, r)
	})
	address := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		kept = append(kept, r.Header.Get("Authorization"))
		said(w, r)
	}), nil)
	w := open(t)
	err := w.change("mintmark.yaml", "\n  open: {", fmt.Sprintf(`
  split: {url: "http://%s/mcp", credentials: [{provider: token, scheme: bearer, tools: ["lookup_*"]}, {provider: user, scheme: basic}]}
  open: {`, address))
	if err != nil {
		t.Fatal(err)
	}
	for name, call := range map[string]func() request{
		"a session of the broker's": func() request {
			return w.stateless2026("tools/call", 0, `"name":"lookup_order"`, "", to("/mcp/split"))
		},
		"a session of the agent's": func() request {
			begun := w.do(w.call(to("/mcp/split"), body(strings.Replace(initializeAsking, `"id":1`, `"id":"mintmark-initialize"`, 1))))
			return w.call(to("/mcp/split"), with("Mcp-Session-Id", begun.header.Get("Mcp-Session-Id")),
				body(strings.Replace(toolCall("lookup_order"), `"id":1`, `"id":0`, 1)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := w.do(call()); !strings.Contains(got.body, "Basic ****") || !strings.Contains(got.body, "Bearer ****") {
				t.Errorf("got %s, want both credentials in it, masked", got.body)
			}
			last := w.lastAllowed()
			whose := map[string]string{} // by why
			for _, r := range w.masks() {
				if r.Call == last.Call {
					whose[r.Reason] = r.Credential
				}
			}
			own, other := whose["the upstream sent an injected secret back"], whose["the upstream showed a secret that it got for another workload, or for an earlier call"]
			if len(whose) != 2 || own != last.Credential || other == "" || other == own {
				t.Errorf("records of what was masked: got %v, want one of %s and one of the other", whose, last.Credential)
			}
		})
	}
}

const splitUpstream = `
  split: {url: "http://%s/mcp", credentials: [{provider: token, scheme: bearer, tools: ["lookup_*"]}, {provider: user, scheme: basic}]}
  open: {`

// split registers an upstream that gets one of two credentials with a call, and opens
// streams of e. It returns every credential that came, as it came.
func (w *world) split() (e *events, kept func() []string) {
	w.t.Helper()
	var mu sync.Mutex
	var came []string
	e = newEvents()
	address := serve(w.t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		mu.Lock()
		came = append(came, r.Header.Get("Authorization"))
		mu.Unlock()
		if r.Method == http.MethodGet {
			e.ServeHTTP(rw, r)
			return
		}
		answerOK(rw, r)
	}), nil)
	if err := w.change("mintmark.yaml", "\n  open: {", fmt.Sprintf(splitUpstream, address)); err != nil {
		w.t.Fatal(err)
	}
	return e, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(came)
	}
}

// A stream is open while its workload gets another credential for the upstream,
// which then says both on it.
func TestAnOpenStreamLearnsOfLaterCredentials(t *testing.T) {
	t.Parallel()
	w := open(t)
	e, kept := w.split()
	x := w.begin(w.call(get("/mcp/split")))
	says := func(text string) string {
		return `data: {"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"` + text + `"}}` + "\n\n"
	}
	e.event(t, says("begun"))
	x.want(says("begun"))
	// In force is another bundle by then: the server is the same.
	if err := w.change("policies.cedar", "refunds are made one by one", "refunds are made one at a time"); err != nil {
		t.Fatal(err)
	}
	w.wantOK(w.call(to("/mcp/split")), "result")
	said := says(strings.Join(kept(), " "))
	e.event(t, said)
	got, err := x.event()
	if err != nil || len(got) != len(said) || !strings.Contains(got, "Basic ****") || !strings.Contains(got, "Bearer ****") {
		t.Errorf("got %q, %v, want both credentials in it, masked", got, err)
	}
	e.event(t, "")
}

// The record of a credential that is shown after it was let go of, in an answer that is
// searched for it still, has its id.
func TestACredentialThatWasLetGoOfHasItsNameOnRecord(t *testing.T) {
	t.Parallel()
	w := open(t)
	e, kept := w.split()
	w.wantOK(w.call(to("/mcp/split")), "result")
	id := w.lastAllowed().Credential
	x := w.begin(w.call(get("/mcp/split")))
	e.event(t, ": begun\n\n")
	x.want(": begun\n\n")
	w.broker.SweepGiven("split", time.Now().Add(48*time.Hour))
	said := ": " + kept()[0] + "\n\n"
	e.event(t, said)
	x.want(": Bearer " + strings.Repeat("*", len(said)-len(": Bearer \n\n")) + "\n\n")
	if told := w.masks(); len(told) != 1 || told[0].Credential != id || id == "" {
		t.Errorf("got %+v, want one record of %q", told, id)
	}
	e.event(t, "")
}

// The server is the same when another bundle is in force.
func TestCredentialsOfBeforeABundleAreLookedFor(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var kept []string
	w := open(t)
	address := serve(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		kept = append(kept, r.Header.Get("Authorization"))
		says(200, "application/json", fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":%q}]}}`, strings.Join(kept, " ")))(rw, r)
	}), nil)
	if err := w.change("mintmark.yaml", "\n  open: {", fmt.Sprintf(splitUpstream, address)); err != nil {
		t.Fatal(err)
	}
	w.wantOK(w.call(to("/mcp/split"), body(initialize)), "Basic ****")
	if err := w.change("policies.cedar", "refunds are made one by one", "refunds are made one at a time"); err != nil {
		t.Fatal(err)
	}
	if got := w.do(w.call(to("/mcp/split"))); !strings.Contains(got.body, "Basic ****") || !strings.Contains(got.body, "Bearer ****") {
		t.Errorf("got %s, want both credentials in it, masked", got.body)
	}
}

// Nor does the server forget what it got when it is registered without credentials.
func TestCredentialsOfBeforeAreLookedForWhereThereAreNone(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var kept []string
	w := open(t)
	address := serve(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		kept = append(kept, r.Header.Get("Authorization"))
		says(200, "application/json", fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":%q}]}}`, strings.Join(kept, " ")))(rw, r)
	}), nil)
	registered := fmt.Sprintf(splitUpstream, address)
	if err := w.change("mintmark.yaml", "\n  open: {", registered); err != nil {
		t.Fatal(err)
	}
	w.wantOK(w.call(to("/mcp/split"), body(initialize)), "Basic ****")
	if err := w.change("mintmark.yaml", registered, fmt.Sprintf("\n  split: {url: %q, unauthenticated: true}\n  open: {", "http://"+address+"/mcp")); err != nil {
		t.Fatal(err)
	}
	got := w.do(w.call(to("/mcp/split"), body(initialize)))
	mu.Lock()
	defer mu.Unlock()
	if !strings.Contains(got.body, "****") || strings.Contains(got.body, strings.TrimPrefix(kept[0], "Basic ")) {
		t.Errorf("got %s, want the credential of before in it, masked", got.body)
	}
}

// Where there are none, and an upstream has some of before, its answers must be such
// as can be searched, as long as those are good.
func TestAnswersThatMayHaveCredentialsOfBeforeCanBeSearched(t *testing.T) {
	t.Parallel()
	w := open(t, func(s *setup) { s.Policy = `permit (principal, action == Action::"http/GET", resource);` })
	up := `url: "http://` + w.upstream.address + `/v1"`
	registered := "\n  files: {kind: http, " + up + ", credentials: [{provider: user, scheme: basic}]}\n  open: {"
	if err := w.change("mintmark.yaml", "\n  open: {", registered); err != nil {
		t.Fatal(err)
	}
	call := w.call(get("/http/files/x"), with("Range", "bytes=0-9"))
	w.upstream.does(says(200, "text/plain", "text"))
	w.wantOK(call, "text")
	if err := w.change("mintmark.yaml", registered, "\n  files: {kind: http, "+up+", unauthenticated: true}\n  open: {"); err != nil {
		t.Fatal(err)
	}
	part := func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Range", "bytes 0-3/100")
		says(http.StatusPartialContent, "text/plain", "part")(rw, nil)
	}
	w.upstream.does(part)
	w.wantRefused(call, want{502, 0, "forward", fault.BadUpstream, "a part of an answer", "shop", true})
	if got := w.upstream.last(t).header["Range"]; got != nil {
		t.Errorf("upstream: got Range %q, want none", got)
	}
	w.upstream.does(says(200, "text/plain", zipped("text")))
	w.wantRefused(call, want{502, 0, "answer", fault.BadUpstream, "compressed answer", "shop", true})

	w.broker.SweepGiven("files", time.Now().Add(48*time.Hour))
	w.upstream.does(part)
	if got := w.do(call); got.status != http.StatusPartialContent || got.body != "part" {
		t.Errorf("after their end: got %d %q, want the part", got.status, got.body)
	}
	if got := w.upstream.last(t).header.Get("Range"); got != "bytes=0-9" {
		t.Errorf("upstream: got Range %q, want the agent's", got)
	}
}

// ending mints a token after another, each of which its system can end.
type ending struct {
	minted  atomic.Int64
	revokes chan struct{}
}

func (e *ending) Mint(context.Context, providers.Request) (providers.Credential, error) {
	n := e.minted.Add(1)
	return providers.Seal(providers.Token, providers.Material{Token: providers.NewSecret(fmt.Sprintf("token-of-a-test-%d", n))},
		providers.Terms{Lease: fmt.Sprint("lease-", n), NotAfter: time.Now().Add(time.Hour)}), nil
}

func (e *ending) Revoke(context.Context, providers.Held) error {
	<-e.revokes
	return nil
}

// Of the workloads that an upstream served, those served last are remembered, and
// of each the credentials that somebody could still use.
func TestWhatAnUpstreamGotIsBounded(t *testing.T) {
	t.Parallel()
	const most = 1 << 16
	e := &ending{revokes: make(chan struct{})}
	pool := openPool(t, providers.Entry{Provider: e, Digest: "d"})
	lease := func() providers.Credential {
		c, _, err := pool.Lease(t.Context(), "p", providers.Request{})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	var g broker.Given
	now := time.Now()
	first := lease()
	g.Add("first", first, now)
	g.Add("idle", first, now)
	pool.Drop(t.Context(), first.ID())
	second := lease()
	if others, _ := g.Add("first", second, now); others != 1 {
		t.Errorf("got %d others, want the one that its system has not ended yet", others)
	}
	for i := range most + 1000 { // of one workload with many names
		if _, known := g.Add(fmt.Sprint("other-", i), second, now); known > most {
			t.Fatalf("got %d workloads, want at most %d", known, most)
		}
		if i%1000 == 0 {
			if others, _ := g.Add("first", second, now); others != 1 {
				t.Fatalf("after %d others: the workload that was served lately is forgotten", i)
			}
		}
	}
	e.revokes <- struct{}{}
	await(t, "the revocation", first.Revoked)
	if others, _ := g.Add("first", second, now); others != 0 {
		t.Errorf("got %d others, want none: its system has ended it", others)
	}
	// One with nothing left is still known: an answer under way may look there.
	if _, known := g.Add("last", second, now.Add(2*time.Hour)); known != most {
		t.Errorf("got %d workloads, want %d", known, most)
	}
	close(e.revokes)
}

// A credential that is used for a while only may be good at its system for longer.
func TestAnAgedCredentialIsLookedForUntilItsSystemEndsIt(t *testing.T) {
	t.Parallel()
	e := &ending{revokes: make(chan struct{})}
	pool := openPool(t, providers.Entry{Provider: e, Digest: "d", MaxAge: time.Minute})
	defer close(e.revokes)
	var g broker.Given
	now := time.Now()
	for _, want := range []struct {
		after  time.Duration
		others int
	}{{0, 0}, {2 * time.Minute, 1}, {2 * time.Hour, 0}} {
		c, _, err := pool.Lease(t.Context(), "p", providers.Request{})
		if err != nil {
			t.Fatal(err)
		}
		if others, _ := g.Add("first", c, now.Add(want.after)); others != want.others {
			t.Errorf("after %v: got %d others, want %d", want.after, others, want.others)
		}
		pool.Drop(t.Context(), c.ID())
	}
}

// What has ended goes though nobody calls again; what has no end yet stays.
func TestWhatHasEndedIsLetGoOfByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g broker.Given
		began := time.Now()
		keep := func(agent string, n int, life time.Duration) {
			c := providers.Seal(providers.Token, providers.Material{Token: providers.NewSecret(fmt.Sprint("token-of-a-test-", n))},
				providers.Terms{NotAfter: time.Now().Add(life)})
			g.Keep(agent, c)
		}
		keep("long", 1, 3*time.Hour)
		for i := range 10 {
			keep(fmt.Sprint("short-", i), 2, time.Second)
		}
		keep("hour", 3, time.Hour)
		for _, want := range []struct {
			after time.Duration
			kept  int
		}{{30 * time.Second, 12}, {2 * time.Minute, 2}, {time.Hour + 3*time.Minute, 1}, {3*time.Hour + 3*time.Minute, 0}} {
			<-time.After(want.after - time.Since(began))
			synctest.Wait()
			if got := g.Kept(); got != want.kept {
				t.Errorf("after %v: got %d credentials, want %d", want.after, got, want.kept)
			}
		}
	})
}

// One that was revoked goes soon after, however long it would have lived. A JWT, or what
// AWS lends, is taken by servers that do not ask who made it, and stays to its end.
func TestWhatWasRevokedIsLetGoOfByItself(t *testing.T) {
	for name, c := range map[string]struct {
		made providers.Provider
		end  time.Duration // of what is looked for
	}{
		"a token":            {&mint{}, 0},
		"a JWT":              {&selfContained{kind: providers.Token, made: providers.Material{Token: providers.NewSecret("eyJhbGciOiJub25lIn0.eyJzdWIiOiJjYW5hcnkifQ.c2lnbmVk")}}, time.Hour},
		"a JWT with a blank": {&selfContained{kind: providers.Token, made: providers.Material{Token: providers.NewSecret("eyAiYWxnIjoibm9uZSJ9.eyJzdWIiOiJjYW5hcnkifQ.c2lnbmVk")}}, time.Hour},
		"a JWT of lines":     {&selfContained{kind: providers.Token, made: providers.Material{Token: providers.NewSecret("ewogImFsZyI6Im5vbmUiCn0.eyJzdWIiOiJjYW5hcnkifQ.c2lnbmVk")}}, time.Hour},
		"dots, and no JWT":   {&selfContained{kind: providers.Token, made: providers.Material{Token: providers.NewSecret("ghs_canary.of.dots")}}, 0},
		"keys of AWS":        {&selfContained{kind: providers.AWS, made: lent("")}, 0},
		"lent by AWS":        {&selfContained{kind: providers.AWS, made: lent("session-token-canary")}, time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var g broker.Given
				pool := openPool(t, providers.Entry{Provider: c.made, Digest: "d"}, func(o *providers.PoolOptions) { o.Revoked = g.Soon })
				leased, _, err := pool.Lease(t.Context(), "p", providers.Request{})
				if err != nil {
					t.Fatal(err)
				}
				g.Keep("agent", leased)
				pool.Drop(t.Context(), leased.ID())
				for _, want := range []struct {
					after time.Duration
					kept  int
				}{{max(30*time.Second, c.end-time.Minute), 1}, {3 * time.Minute, 0}} {
					<-time.After(want.after)
					synctest.Wait()
					if got := g.Kept(); got != want.kept {
						t.Errorf("after %v: got %d credentials kept, want %d", want.after, got, want.kept)
					}
				}
			})
		})
	}
}

func lent(session string) providers.Material {
	return providers.Material{AccessKeyID: "AKIACANARY", SecretAccessKey: providers.NewSecret("secret-access-key-canary"), SessionToken: providers.NewSecret(session)}
}

// selfContained is a provider of one credential of an hour.
type selfContained struct {
	mint
	kind providers.Kind
	made providers.Material
}

// Mint implements providers.Provider.
func (s *selfContained) Mint(context.Context, providers.Request) (providers.Credential, error) {
	return providers.Seal(s.kind, s.made, providers.Terms{NotAfter: time.Now().Add(time.Hour), Lease: "one"}), nil
}

func openPool(t *testing.T, entry providers.Entry, change ...func(*providers.PoolOptions)) *providers.Pool {
	t.Helper()
	log, err := audit.Open(audit.Options{Directory: t.TempDir(), SigningKey: ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))})
	if err != nil {
		t.Fatal(err)
	}
	o := providers.PoolOptions{Log: log, FingerprintKey: slices.Repeat([]byte{7}, 32)}
	for _, c := range change {
		c(&o)
	}
	pool, err := providers.NewPool(map[string]providers.Entry{"p": entry}, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = pool.Close(context.WithoutCancel(t.Context()))
		_ = log.Close()
	})
	return pool
}
