//go:build e2e

package vault_test

import (
	"errors"
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

// A quota of the real server is an outage that says for how long.
func TestQuota(t *testing.T) {
	t.Parallel()
	bao := testenv.OpenBao(t)
	bao.PutKV(t, "app", map[string]any{"key": canary})
	bao.Write(t, "sys/quotas/config", map[string]any{"enable_rate_limit_response_headers": true})
	bao.Write(t, "sys/quotas/rate-limit/few", map[string]any{"path": "secret", "rate": 1, "interval": "40s"})
	p := asRoot(t, bao, func(c *vault.Config) { c.KV2 = &vault.KV{Path: "app", Field: "key"} })
	var err error
	for range 5 { // the first of them may be in another interval
		if _, err = p.Mint(t.Context(), providers.Request{}); err != nil {
			break
		}
	}
	wait, said := errors.AsType[providers.RetryAfter](err)
	if fault.HintOf(err) != "vault limits how often the broker may ask" || fault.KindOf(err) != fault.Unavailable {
		t.Errorf("past the quota: got %v, want it named", err)
	}
	if d := time.Duration(wait); !said || d <= 0 || d > 40*time.Second {
		t.Errorf("past the quota: got a wait of %v (said %t), want what is left of the interval", d, said)
	}
}
