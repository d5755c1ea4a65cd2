package broker_test

import (
	"net/http"
	"strings"
	"testing"

	"mintmark/internal/fault"
	"mintmark/internal/trustdomain"
)

// registerStored has the upstream orders called with a key that somebody stored.
func (w *world) registerStored() {
	w.t.Helper()
	w.rewriteOnly("mintmark.yaml", "\nproviders:\n", "\nproviders:\n  legacy: {kind: static, token: \"file:vault-token\", since: 2026-01-01}\n")
	at := "orders: {url: \"http://" + w.upstream.address + "/mcp\", credentials: [{provider: "
	if err := w.change("mintmark.yaml", at+"token", at+"legacy"); err != nil {
		w.t.Fatal(err)
	}
}

// Nobody mints another stored key: an agent that is told to call again would do so
// for ever.
func TestARefusedStoredKeyIsSaidToBeOne(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.registerStored()
	w.upstream.does(says(http.StatusUnauthorized, "text/plain", ""))
	said := w.wantRefused(w.call(), want{200, -31502, "forward", fault.BadUpstream, "the upstream refused the stored key that is registered for it; calling again is of no use until an operator of the broker", "shop", true})
	if strings.Contains(said.Text, "call again in a moment") || strings.Contains(said.Text, "legacy") {
		t.Errorf("got %q, want no advice to call again, and no provider's name", said.Text)
	}
	if log := string(w.logged.bytes()); !strings.Contains(log, "status 401 to the stored key of provider legacy, put there by scheme bearer") {
		t.Errorf("got log %s, want it to name the provider of the stored key", log)
	}
	w.wantMetric(`mintmark_credentials_refused_total{provider="legacy",status="401",upstream="orders"} 1`)
}

// An upstream that wants a credential, and is registered as needing none, is mended by nobody
// but an operator, who hears of it once.
func TestAnOpenUpstreamThatWantsACredentialIsToldOfOnce(t *testing.T) {
	t.Parallel()
	w := open(t)
	const told = "register a provider, and credentials in place of unauthenticated: true"
	w.upstream.does(says(http.StatusForbidden, "text/plain", ""))
	w.do(w.call(to("/mcp/open")))
	if n := strings.Count(string(w.logged.bytes()), told); n != 0 {
		t.Errorf("after 403: got %d warnings, want none", n)
	}
	w.upstream.does(says(http.StatusUnauthorized, "text/plain", "log in at canary"))
	for range 3 {
		if got := w.do(w.call(to("/mcp/open"))); got.status != http.StatusUnauthorized {
			t.Errorf("got %d %s, want the upstream's 401", got.status, got.body)
		}
	}
	log := string(w.logged.bytes())
	if n := strings.Count(log, told); n != 1 || strings.Contains(log, "canary") || !strings.Contains(log, `"upstream":"open"`) {
		t.Errorf("got %d warnings in %s, want one without the upstream's words", n, log)
	}
}

// An agent that has its own credential refused again and again does not keep another
// from being rid of its own.
func TestARefusedCredentialEndsWhateverOthersDo(t *testing.T) {
	t.Parallel()
	w, m := owning(t)
	clerk := with("Authorization", "Bearer "+w.token(w.domain, "clerk", trustdomain.JWTRequest{}))
	ping := body(`{"jsonrpc":"2.0","id":1,"method":"ping"}`)
	w.wantOK(w.call(to("/mcp/mine"), ping, clerk), "result")
	w.upstream.does(says(http.StatusUnauthorized, "text/plain", ""))
	for range 3 {
		w.do(w.call(to("/mcp/mine")))
	}
	made := m.made.Load()
	if made > 3 {
		t.Errorf("got %d mints, want one for each agent and at most one more", made)
	}
	w.do(w.call(to("/mcp/mine"), ping, clerk))
	w.upstream.does(answerOK)
	w.wantOK(w.call(to("/mcp/mine"), ping, clerk), "result")
	if m.made.Load() != made+1 {
		t.Error("got the refused credential again, want another")
	}
}

// A 403 may be about what was asked for: the agent gets it as the upstream said it,
// and an operator hears of it once.
func TestAForbiddenStoredKeyIsTold(t *testing.T) {
	t.Parallel()
	w := open(t)
	const warning = "the upstream answered 403 to a stored key"
	w.upstream.does(says(http.StatusForbidden, "text/plain", "not you"))
	forbidden := func(provider string, warnings, counted int) {
		t.Helper()
		if got := w.do(w.call()); got.status != http.StatusForbidden || got.body != "not you" {
			t.Errorf("%s: got %d %q, want what the upstream said", provider, got.status, got.body)
		}
		if log := string(w.logged.bytes()); strings.Count(log, warning) != warnings || warnings > 0 && !strings.Contains(log, `"provider":"legacy"`) {
			t.Errorf("%s: got log %s, want %d warnings with the provider's name", provider, log, warnings)
		}
		w.wantMetric(`mintmark_credentials_refused_total{provider="` + provider + `",status="403",upstream="orders"} ` + string(rune('0'+counted)))
	}
	forbidden("token", 0, 1) // minted: its system is asked again and again what it may do
	w.registerStored()
	forbidden("legacy", 1, 1)
	forbidden("legacy", 1, 2)
}
