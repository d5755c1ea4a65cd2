//go:build e2e

package vault_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"mintmark/broker/audit"
	"mintmark/internal/testenv"
	"mintmark/providers"
	"mintmark/providers/internal/providertest"
)

// A server says of what it does not know that it has ended it. Where the name is
// registered for another by the start after a crash, the record says so.
func TestWhatAnotherVaultIsToldToEndIsOnRecordSo(t *testing.T) {
	t.Parallel()
	first, second, pg, self := testenv.OpenBao(t), testenv.OpenBao(t), testenv.Postgres(t), newIdentity(t, brokerID)
	for _, bao := range []*testenv.OpenBaoServer{first, second} {
		bao.DatabaseRole(t, pg, "reader", time.Minute)
	}
	before := providertest.One(t, userProvider(t, first, self, time.Minute), first.RootToken)
	made, _ := before.Must(t, providers.Request{})
	if err := before.Log.Close(); err != nil { // the crash
		t.Fatal(err)
	}
	left := before.Orphans(t)
	after := providertest.One(t, userProvider(t, second, self, time.Minute), second.RootToken)
	after.Adopt(t.Context(), slices.Clone(left))
	await(t, "the records", 10*time.Second, func() bool { return strings.Count(after.History(t), "_failed") == len(left) })
	if !lives(t, first, made.Lease()) {
		t.Error("got the user ended by another server")
	}
	for _, r := range after.Records(t) {
		if failed := r.Event == "revoke_failed" || r.Event == "logout_failed"; r.Lease == made.Lease() && !failed || failed && !strings.Contains(r.Reason, first.Addr) {
			t.Errorf("got %q of %s with the reason %q, want that it is not sure, and where it was made", r.Event, r.Lease, r.Reason)
		}
	}
	now := slices.DeleteFunc(after.Orphans(t), func(r audit.Record) bool { return r.Issuer != left[0].Issuer }) // but for its own login
	if len(now) != len(left) {
		t.Errorf("got %d orphans after that, want the next start to try again: %q", len(now), after.History(t))
	}
	if err := after.Close(t.Context()); err == nil {
		t.Error("got nothing left at the end, want what may live on to be told")
	}
	after.Finish(t)
	_ = before.Close(t.Context())
}
