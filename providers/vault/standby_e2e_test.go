//go:build e2e

package vault_test

import (
	"testing"
	"time"

	"mintmark/internal/fault"
	"mintmark/internal/testenv"
	"mintmark/providers"
	"mintmark/providers/internal/providertest"
	"mintmark/providers/vault"
)

// A standby passes on what it is asked while it knows who is active, and its
// loss is an outage.
func TestStandby(t *testing.T) {
	t.Parallel()
	active, standby := testenv.OpenBaoPair(t)
	self := newIdentity(t, brokerID)
	active.PutKV(t, "app", map[string]any{"key": canary})
	config := vault.Config{Address: providertest.URL(t, standby.Addr), Auth: login(t, active, self, time.Minute), KV2: &vault.KV{Path: "app", Field: "key"}}
	r := providertest.One(t, open(t, config, providers.Env{Self: self}), canary, active.RootToken)
	c, _ := r.Must(t, providers.Request{})
	if got := r.Reveal(t, c); got.Token() != canary {
		t.Error("got another token than the secret's")
	}
	active.Stop()
	r.Drop(t.Context(), "db")
	await(t, "the outage", time.Minute, func() bool {
		_, _, err := r.Lease(t.Context(), "db", providers.Request{})
		if err != nil && (fault.KindOf(err) != fault.Unavailable || fault.HintOf(err) == "") {
			t.Errorf("without an active node: got %v, want an outage", err)
		}
		r.Drop(t.Context(), "db")
		return err != nil
	})
	_ = r.Close(t.Context()) // nobody is there to log out at
	r.Finish(t)
}
