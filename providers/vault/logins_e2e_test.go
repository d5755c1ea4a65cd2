//go:build e2e

package vault_test

import (
	"strings"
	"testing"
	"time"

	"mintmark/internal/testenv"
	"mintmark/providers"
	"mintmark/providers/internal/providertest"
	"mintmark/providers/vault"
)

// A user that is in no record, as when the broker is killed before it writes
// one, ends with the login that made it, which the next start finds.
func TestAUserThatIsOnNoRecordEndsWithItsLogin(t *testing.T) {
	t.Parallel()
	bao, pg, self := testenv.OpenBao(t), testenv.Postgres(t), newIdentity(t, brokerID)
	bao.DatabaseRole(t, pg, "reader", time.Minute)
	p := userProvider(t, bao, self, time.Minute)
	before := providertest.One(t, p, bao.RootToken)
	recorded, _ := before.Must(t, providers.Request{})
	unrecorded, err := p.Mint(t.Context(), providers.Request{}) // past the Pool
	if err != nil {
		t.Fatal(err)
	}
	if err := before.Log.Close(); err != nil { // the crash
		t.Fatal(err)
	}
	after := providertest.One(t, userProvider(t, bao, self, time.Minute), bao.RootToken)
	if n := after.Adopt(t.Context(), before.Orphans(t)); n != 2 {
		t.Errorf("got %d adopted, want the login and the user", n)
	}
	for _, lease := range []string{recorded.Lease(), unrecorded.Lease()} {
		await(t, "the end of "+lease, 20*time.Second, func() bool { return !lives(t, bao, lease) })
	}
	await(t, "the records", 10*time.Second, func() bool { return after.Owed() == 0 })
	if got := after.History(t); !strings.Contains(got, "logout") || strings.Contains(got, "failed") {
		t.Errorf("events: got %q, want the login ended", got)
	}
	// It has gone by now: that is no error, and so it is with one that never was.
	bound := userProvider(t, bao, self, time.Minute).(providers.LoginBound)
	for _, record := range before.Orphans(t) {
		if record.Event == "orphan_login" {
			if err := bound.Logout(t.Context(), record.Lease); err != nil {
				t.Errorf("logout of an ended login: %v", err)
			}
		}
	}
	after.Stop(t)
	_ = before.Close(t.Context())
}

// At the end the broker's own tokens go too.
func TestTheLoginEndsWithThePool(t *testing.T) {
	t.Parallel()
	bao, self := testenv.OpenBao(t), newIdentity(t, brokerID)
	bao.PutKV(t, "app", map[string]any{"key": canary})
	p := open(t, vault.Config{Address: providertest.URL(t, bao.Addr), Auth: login(t, bao, self, time.Minute), KV2: &vault.KV{Path: "app", Field: "key"}}, providers.Env{Self: self})
	r := providertest.One(t, p, canary)
	r.Must(t, providers.Request{})
	accessor := r.Records(t)[0].Lease
	if _, err := bao.Client(t).Auth().Token().LookupAccessor(accessor); err != nil {
		t.Fatalf("look up the accessor on record: %v", err)
	}
	if err := p.(providers.LoginBound).Logout(t.Context(), "no-such-accessor"); err != nil { // as of a login that has ended
		t.Errorf("logout of no login: %v", err)
	}
	r.Stop(t)
	if _, err := bao.Client(t).Auth().Token().LookupAccessor(accessor); err == nil {
		t.Error("after close: the token lives")
	}
	if got := r.History(t); got != "login mint logout" {
		t.Errorf("events: got %q", got)
	}
}

// A role without the policy that lets each token end itself leaves the token to its end: it is
// not on record as ended.
func TestALoginThatMayNotEndItselfIsNotOnRecordAsEnded(t *testing.T) {
	t.Parallel()
	bao, self := testenv.OpenBao(t), newIdentity(t, brokerID)
	bao.PutKV(t, "app", map[string]any{"key": canary})
	auth := login(t, bao, self, time.Minute)
	bao.Write(t, "auth/jwt/role/mintmark", map[string]any{
		"role_type": "jwt", "bound_audiences": "vault", "bound_subject": brokerID, "user_claim": "sub", "token_policies": "broker", "token_no_default_policy": true, "token_ttl": "1m",
	})
	p := open(t, vault.Config{Address: providertest.URL(t, bao.Addr), Auth: auth, KV2: &vault.KV{Path: "app", Field: "key"}}, providers.Env{Self: self})
	r := providertest.One(t, p, canary)
	r.Must(t, providers.Request{})
	accessor := r.Records(t)[0].Lease
	r.Stop(t) // what a login made was revoked: it alone is left
	if _, err := bao.Client(t).Auth().Token().LookupAccessor(accessor); err != nil {
		t.Errorf("after close: the token has ended (%v), which this test is not about", err)
	}
	if got := r.History(t); !strings.HasPrefix(got, "login mint logout_failed") || strings.HasSuffix(got, " logout") {
		t.Errorf("events: got %q, want the logout failed", got)
	}
}

// lives asks Vault whether it knows a lease.
func lives(t *testing.T, bao *testenv.OpenBaoServer, lease string) bool {
	t.Helper()
	_, err := bao.Client(t).Logical().WriteWithContext(t.Context(), "sys/leases/lookup", map[string]any{"lease_id": lease})
	if err != nil && !strings.Contains(err.Error(), "invalid lease") {
		t.Fatalf("look up a lease: %v", err)
	}
	return err == nil
}
