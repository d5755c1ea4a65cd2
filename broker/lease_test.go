package broker_test

import (
	"testing"
	"time"

	"mintmark/broker/audit"
	"mintmark/internal/fault"
)

func TestRefusesWithoutACredential(t *testing.T) {
	t.Parallel()
	w := open(t)
	for _, c := range []struct {
		upstream string
		code     int
		kind     fault.Kind
		says     string
	}{
		{"failing", -31503, fault.Unavailable, "the authorization server could not issue a token"},
		{"garbage", -31503, fault.Unavailable, "the authorization server"},
		{"gone", -31503, fault.Unavailable, "the authorization server"},
	} {
		t.Run(c.upstream, func(t *testing.T) {
			w.in(t)
			refused := want{200, c.code, "lease", c.kind, c.says, "shop", false}
			w.wantRefused(w.call(to("/mcp/"+c.upstream)), refused)
			failed := w.failures(c.upstream)
			if len(failed) != 1 || failed[0].Fault != c.kind.String() || failed[0].Credential != "" {
				t.Errorf("issuance: got %+v, want one mint that failed", failed)
			}
			w.wantRefused(w.call(to("/mcp/"+c.upstream)), refused) // from what is remembered
		})
	}
	w.in(t)
	w.wantOK(w.call(), "result")
}

// failures returns the failed mints of a provider on record.
func (w *world) failures(provider string) (found []audit.Record) {
	w.t.Helper()
	for r, err := range audit.Query(w.logDir(), audit.Filter{Kind: audit.Issuance}) {
		if err != nil {
			w.t.Fatal(err)
		}
		if r.Provider == provider && r.Event == "mint_failed" {
			found = append(found, r)
		}
	}
	return found
}

// An agent that stays is told what its call waited for.
func TestRefusesWhenAMintTakesTooLong(t *testing.T) {
	t.Parallel()
	w := open(t, func(s *setup) { s.MintTimeout = 200 * time.Millisecond })
	w.wantRefused(w.call(to("/mcp/stuck")), want{200, -31503, "lease", fault.Unavailable, "did not answer in time", "shop", false})
	if failed := w.failures("stuck"); len(failed) != 1 || failed[0].Fault != "unavailable" || failed[0].Reason == "" {
		t.Errorf("issuance: got %+v, want one mint that failed", failed)
	}
	if n := w.upstream.taken(); n != 0 {
		t.Errorf("%d requests reached the upstream, want none", n)
	}
}

// The agent is gone by the time its call is refused: the record says why.
func TestAnAgentThatLeavesIsNotKeptWaitingForAMint(t *testing.T) {
	t.Parallel()
	w := open(t)
	conn := w.write(w.call(to("/mcp/stuck")))
	w.await("the call", func() bool { return w.broker.Waiting() == 1 })
	_ = conn.Close()
	rec := w.records(audit.Filter{Kind: audit.Decision, Upstream: "stuck"}, 1)[0]
	if rec.Allow || rec.Step != "lease" || rec.Fault != "unavailable" || rec.Reason != "the call ended before its credential was ready" {
		t.Errorf("record: got %q, %q, %q", rec.Step, rec.Fault, rec.Reason)
	}
	if n := w.upstream.taken(); n != 0 {
		t.Errorf("%d requests reached the upstream, want none", n)
	}
}

func TestAnswersOfVaultBecomeBasicAuth(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.wantOK(w.call(to("/mcp/database")), "result")
	head := w.upstream.last(t).header
	if user, password, ok := basicAuth(head.Get("Authorization")); !ok || user != "v-orders" || password != w.issuer.last() {
		t.Errorf("Authorization: got %q", head.Get("Authorization"))
	}
	if rec := w.lastAllowed(); rec.Provider != "user" || rec.Scheme != "basic" {
		t.Errorf("record: got %q by %q", rec.Provider, rec.Scheme)
	}
}

// An agent that has ended its session needs no credential of its own any more.
func TestTheEndOfASessionRevokesTheAgentsOwnCredential(t *testing.T) {
	t.Parallel()
	w := open(t, func(s *setup) { s.RestFor = 50 * time.Millisecond })
	if err := w.change("mintmark.yaml", "user: {kind: vault,", "user: {kind: vault, per_agent: true,"); err != nil {
		t.Fatal(err)
	}
	w.wantOK(w.call(to("/mcp/database")), "result")
	held := w.lastAllowed().Credential
	w.do(w.call(get("/mcp/database"), method("DELETE")))
	w.await("the revocation", func() bool {
		for r, err := range audit.Query(w.logDir(), audit.Filter{Kind: audit.Issuance, Credential: held}) {
			if err == nil && r.Event == "revoke" {
				return true
			}
		}
		return false
	})
	w.wantOK(w.call(to("/mcp/database")), "result")
	if next := w.lastAllowed(); next.Credential == held || next.Cached {
		t.Errorf("got the credential %s (cached %t), want another than the revoked one", next.Credential, next.Cached)
	}
}
