package broker_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"mintmark/broker/audit"
	"mintmark/internal/fault"
	"mintmark/internal/trustdomain"
	"mintmark/providers"
)

// register changes where the credential of the plain upstream goes.
func (w *world) register(injection string) {
	w.t.Helper()
	const before = `/v1", credentials: [{provider: token, scheme: bearer}]`
	if err := w.change("mintmark.yaml", before, `/v1", credentials: [`+injection+`]`); err != nil {
		w.t.Fatal(err)
	}
}

const jsonType = "application/json"

// A credential goes where it is registered, what the agent put there does not, and
// an upstream that repeats it shows the agent none of it.
func TestSchemesOfAPlainUpstream(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		injection string
		call      []func(*request)
		target    string // at the upstream, with TOKEN
		header    string // name: value
		body      string
		stripped  []string
	}{
		"query": {"{provider: token, scheme: query, parameter: code}",
			[]func(*request){to("/http/api/orders?a=1&code=mine&CODE[]=mine"), body("x"), with("Content-Type", "text/plain")},
			"/v1/orders?a=1&code=TOKEN", "", "x", []string{"Authorization", "CODE[]", "code"}},
		"cookie": {"{provider: token, scheme: cookie, cookie: sid}",
			[]func(*request){to("/http/api/orders"), with("Cookie", "sid=mine; a=b"), body("x"), with("Content-Type", "text/plain")},
			"/v1/orders", "Cookie: sid=TOKEN", "x", []string{"Authorization", "Cookie"}},
		"body": {"{provider: token, scheme: body, field: code}",
			[]func(*request){to("/http/api/orders"), body(" {\"a\": [1]}\n"), with("Content-Type", jsonType)},
			"/v1/orders", "", ` {"code":"TOKEN","a": [1]}` + "\n", []string{"Authorization"}},
		"header": {"{provider: token, scheme: header, header: X-Key, template: \"Key {token}\"}",
			[]func(*request){to("/http/api/orders"), with("X-Key", "mine"), body("x"), with("Content-Type", "text/plain")},
			"/v1/orders", "X-Key: Key TOKEN", "x", []string{"Authorization", "X-Key"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := open(t)
			w.register(c.injection)
			w.upstream.does(func(rw http.ResponseWriter, r *http.Request) {
				rw.Header().Set("Location", r.RequestURI)
				_, _ = io.WriteString(rw, r.RequestURI+" "+r.Header.Get("Cookie")+" "+r.Header.Get("X-Key")+" "+w.issuer.last())
			})
			got := w.do(w.call(c.call...))
			if got.err != nil || got.status != 200 || !strings.Contains(got.body, "****") {
				t.Fatalf("got %d %q, %v, want the answer masked", got.status, got.body, got.err)
			}
			token := w.issuer.last()
			if strings.Contains(got.body+got.header.Get("Location"), token) {
				t.Errorf("got %q and %q, want no token", got.body, got.header.Get("Location"))
			}
			reached := w.upstream.last(t)
			if want := strings.ReplaceAll(c.target, "TOKEN", token); reached.target != want {
				t.Errorf("target: got %s, want %s", reached.target, want)
			}
			if want := strings.ReplaceAll(c.body, "TOKEN", token); reached.body != want {
				t.Errorf("body: got %q, want %q", reached.body, want)
			}
			if key, value, _ := strings.Cut(strings.ReplaceAll(c.header, "TOKEN", token), ": "); key != "" && !slices.Equal(reached.header[key], []string{value}) {
				t.Errorf("%s: got %q, want %q alone", key, reached.header[key], value)
			}
			if auth := reached.header["Authorization"]; auth != nil {
				t.Errorf("Authorization: got %q, want none", auth)
			}
			rec := w.lastAllowed()
			slices.Sort(rec.Stripped)
			if rec.Scheme != name || !slices.Equal(rec.Stripped, c.stripped) {
				t.Errorf("record: got scheme %q, stripped %q, want %q and %q", rec.Scheme, rec.Stripped, name, c.stripped)
			}
			if end := w.outcome(rec.Call); end.ScrubHits == 0 {
				t.Error("outcome: got no hit, want those that were masked")
			}
			// What a library says of an answer that it can't read is in the log.
			w.upstream.does(raw("SSH-2.0 " + reached.target + "\r\n"))
			if got := w.do(w.call(c.call...)); got.err != nil || got.status != 502 {
				t.Errorf("an answer that is none: got %d %q, %v, want 502", got.status, got.body, got.err)
			}
		})
	}
}

// A body that can't take the credential, or would log in by itself, goes nowhere,
// and no credential is opened for it.
func TestRefusesBodiesThatASchemeCannotTake(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.register("{provider: token, scheme: body, field: code}")
	refused := func(says string) want { return want{400, 0, "receive", fault.Invalid, says, "shop", false} }
	post := func(kind, text string) request {
		return w.call(to("/http/api/orders"), body(text), with("Content-Type", kind))
	}
	w.run(t, []row{
		{"the member is there", post(jsonType, `{"a":1,"code":"mine"}`), refused(`expected no member "code"`)},
		{"in another spelling", post(jsonType, `{"C\u006fde":"mine"}`), refused(`expected no member "code"`)},
		{"twice one name", post(jsonType, `{"a":1,"a":2}`), refused("JSON object")},
		{"no object", post(jsonType, `[1]`), refused("JSON object")},
		{"no JSON", post("text/plain", `{}`), refused("Content-Type")},
		{"a form that logs in", post("application/x-www-form-urlencoded", "a=1&%61ccess_token=mine"), refused(`expected no field "access_token"`)},
		{"a form of parts that logs in", post("multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=client_secret\r\n\r\nx\r\n--x--\r\n"),
			refused(`expected no field "client_secret"`)},
		{"parts that call themselves a query", post("multipart/form-data; boundary=urlencoded", "--urlencoded\r\nContent-Disposition: form-data; name=client_secret\r\n\r\nx\r\n--urlencoded--\r\n"),
			refused(`expected no field "client_secret"`)},
		{"a form that says nothing of itself", w.call(to("/http/api/orders"), body("api_token=mine"), func(r *request) { delete(r.header, "Content-Type") }),
			refused(`expected no field "api_token"`)},
		{"a form that can't be read", post("multipart/form-data; boundary=x", "--x\r\n"), refused("multipart")},
	})
}

// Many servers have one set of parameters, of the query and of the body, in which the
// body's are first or last: what the agent put there must not stand in for the credential.
func TestTheAgentsOwnParameterIsInNeitherQueryNorBody(t *testing.T) {
	t.Parallel()
	const form, parts = "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"
	part := func(name string) string {
		return "--x\r\nContent-Disposition: form-data; name=\"" + name + "\"\r\n\r\nmine\r\n--x--\r\n"
	}
	t.Run("query", func(t *testing.T) {
		w := open(t)
		w.register("{provider: token, scheme: query, parameter: my_code}")
		post := func(kind, text string) request {
			return w.call(to("/http/api/orders"), body(text), with("Content-Type", kind))
		}
		refused := want{400, 0, "receive", fault.Invalid, `expected no field "`, "shop", false}
		w.run(t, []row{
			{"a form", post(form, "a=1&my_code=mine"), refused},
			{"in another spelling", post(form, "a=1;%6dyCode[]=mine"), refused},
			{"in parts", post(parts, part("my.code")), refused},
			{"a form that says nothing of itself", w.call(to("/http/api/orders"), body("my_code=mine"), func(r *request) { delete(r.header, "Content-Type") }), refused},
		})
		for kind, text := range map[string]string{form: "a=my_code&my_codes=1", parts: part("other"), jsonType: `{"a":"&my_code=1"}`} {
			if got := w.do(post(kind, text)); got.err != nil || got.status != 200 {
				t.Errorf("%s: got %d %q, %v, want it sent", kind, got.status, got.body, got.err)
			}
		}
	})
	t.Run("body", func(t *testing.T) {
		w := open(t)
		w.register("{provider: token, scheme: body, field: my_code}")
		if got := w.do(w.call(to("/http/api/orders?a=1&my_code=mine&MyCode[]=mine"), body(`{}`), with("Content-Type", jsonType))); got.err != nil || got.status != 200 {
			t.Fatalf("got %d %q, %v, want an answer", got.status, got.body, got.err)
		}
		if got := w.upstream.last(t).target; got != "/v1/orders?a=1" {
			t.Errorf("target: got %s, want none of the agent's own", got)
		}
	})
}

// bound mints a token that is bound to a key of its own.
type bound struct {
	key   *ecdsa.PrivateKey
	issue func() string
}

// Mint implements providers.Provider.
func (b *bound) Mint(context.Context, providers.Request) (providers.Credential, error) {
	return providers.Seal(providers.Token, providers.Material{Token: providers.NewSecret(b.issue()), Key: providers.NewPrivateKey(b.key)},
		providers.Terms{NotAfter: time.Now().Add(time.Hour)}), nil
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// A server that wants a nonce in the proof gets the call a second time, on one
// record; the agent hears nothing of it.
func TestDPoPNonceIsBetweenBrokerAndUpstream(t *testing.T) {
	t.Parallel()
	b := &bound{key: newKey(t)}
	w := open(t, func(s *setup) { s.Minted = map[string]providers.Provider{"bound": b} })
	b.issue = func() string { return w.issuer.issue("bound") }
	if err := w.change("mintmark.yaml", "providers:\n", "providers:\n  bound: {kind: bound}\n"); err != nil {
		t.Fatal(err)
	}
	if err := w.change("mintmark.yaml", `/mcp", credentials: [{provider: token, scheme: bearer}]`, `/mcp", credentials: [{provider: bound, scheme: dpop}]`); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var proofs []string
	w.upstream.does(func(rw http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		proofs = append(proofs, r.Header.Get("DPoP"))
		rw.Header().Set("DPoP-Nonce", "nonce-of-the-upstream")
		if len(proofs) == 1 {
			rw.Header().Set("WWW-Authenticate", `DPoP error="use_dpop_nonce"`)
			rw.WriteHeader(http.StatusUnauthorized)
			return
		}
		answerOK(rw, r)
	})
	got := w.wantOK(w.call(with("DPoP", "mine")), "result")
	again := w.wantOK(w.call(), "result")
	mu.Lock()
	defer mu.Unlock()
	if len(proofs) != 3 || proofs[0] == "" || proofs[0] == proofs[1] || proofs[1] == proofs[2] || slices.Contains(proofs, "mine") {
		t.Errorf("got proofs %q, want three different ones of the broker, as the nonce is known to the second call", proofs)
	}
	if got.header.Get("DPoP-Nonce")+again.header.Get("DPoP-Nonce") != "" || got.header.Get("WWW-Authenticate") != "" {
		t.Errorf("got %v, want nothing of what the upstream wants of the broker", got.header)
	}
	reached := w.upstream.last(t)
	if !slices.Equal(reached.header["Authorization"], []string{"DPoP " + w.issuer.last()}) || reached.body != toolCall("lookup_order") {
		t.Errorf("got %q with %q, want the bound token and the agent's bytes", reached.header["Authorization"], reached.body)
	}
	rec := w.lastAllowed()
	if rec.Scheme != "dpop" || rec.Provider != "bound" || w.outcome(rec.Call).Status != 200 {
		t.Errorf("record: got %+v", rec)
	}
	if n := w.count(audit.Decision, "tools/call", ""); n != 2 {
		t.Errorf("got %d decisions, want one for each call", n)
	}
}

// certificates mints a client certificate for each agent.
type certificates struct{ t testing.TB }

// PerAgent implements providers.AgentBound.
func (certificates) PerAgent() bool { return true }

// Mint implements providers.Provider.
func (c certificates) Mint(_ context.Context, req providers.Request) (providers.Credential, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return providers.Credential{}, err
	}
	of := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: req.Agent.Subject()}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, of, of, key.Public(), key)
	if err != nil {
		return providers.Credential{}, err
	}
	return providers.Seal(providers.X509, providers.Material{Chain: [][]byte{der}, Key: providers.NewPrivateKey(key)}, providers.Terms{NotAfter: of.NotAfter}), nil
}

// No call of one agent goes out on a connection that was made with the certificate
// of another, over either version of HTTP, however they come.
func TestClientCertificatesOfAgentsAreApart(t *testing.T) {
	t.Parallel()
	for protocol, http2 := range map[string]bool{"http/1.1": false, "h2": true} {
		t.Run(protocol, func(t *testing.T) {
			w := open(t, func(s *setup) {
				s.Minted = map[string]providers.Provider{"certificates": certificates{t}}
				s.Policy = `@id("clerk-reads-the-api") permit (principal == Agent::"spiffe://example.org/agent/clerk", action in Action::"http", resource in Upstream::"api");`
			})
			connections := w.serveByCertificate(http2)
			agents := map[string]string{"shop": w.agent, "clerk": w.token(w.domain, "clerk", trustdomain.JWTRequest{})}
			var all sync.WaitGroup
			for name, token := range agents {
				for range 3 {
					all.Go(func() {
						for range 15 {
							got := w.do(w.call(get("/http/api/whoami"), with("Authorization", "Bearer "+token)))
							if want := w.id(name).String(); got.err != nil || got.status != 200 || got.body != want {
								t.Errorf("a call of %s: got %d %q, %v, want it to arrive as %s", name, got.status, got.body, got.err, want)
							}
						}
					})
				}
			}
			all.Wait()
			if n := connections(); n < 2 || n > 60 {
				t.Errorf("got %d connections of 90 calls, want those of each agent used again", n)
			}
			if rec := w.lastAllowed(); rec.Scheme != "mtls" || rec.Provider != "certs" {
				t.Errorf("record: got %q by %q, want mtls by certs", rec.Scheme, rec.Provider)
			}
		})
	}
}

// serveByCertificate makes the plain upstream one that knows its callers by their
// certificates and answers with their names. It returns what counts connections.
func (w *world) serveByCertificate(http2 bool) (connections func() int) {
	w.t.Helper()
	var mu sync.Mutex
	seen := map[string]string{} // by connection, whose it is
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		name := r.TLS.PeerCertificates[0].Subject.CommonName
		mu.Lock()
		defer mu.Unlock()
		if other, ok := seen[r.RemoteAddr]; ok && other != name {
			w.t.Errorf("one connection carried calls of %s and %s", other, name)
		}
		seen[r.RemoteAddr] = name
		_, _ = io.WriteString(rw, name)
	}))
	s.EnableHTTP2 = http2
	s.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	s.StartTLS()
	w.t.Cleanup(s.Close)
	ca := filepath.Join(w.dir, "upstream.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		w.t.Fatal(err)
	}
	if err := w.change("mintmark.yaml", "providers:\n", "providers:\n  certs: {kind: certificates}\n"); err != nil {
		w.t.Fatal(err)
	}
	const before = `/v1", credentials: [{provider: token, scheme: bearer}]}`
	if err := w.change("mintmark.yaml", `"http://`+w.upstream.address+before, `"`+s.URL+`", ca: upstream.pem, credentials: [{provider: certs, scheme: mtls}]}`); err != nil {
		w.t.Fatal(err)
	}
	return func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(seen)
	}
}
