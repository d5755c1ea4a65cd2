package vault_test

import (
	"slices"
	"testing"

	"mintmark/providers"
	"mintmark/providers/internal/providertest"
	"mintmark/providers/vault"
)

func TestKeyValueIsNotRevocable(t *testing.T) {
	p := open(t, kv2(t, newDouble(t)), providers.Env{})
	if _, ok := p.(providers.Revoker); ok {
		t.Error("kv2: got a Revoker, want none: reading a secret makes nothing to revoke")
	}
}

func TestKeyValuePassword(t *testing.T) {
	d := newDouble(t)
	d.on("team/kv/data/app", answer(200, `{"data":{"data":{"user":"bob","pass":"`+canary+`"}}}`))
	c := kv2(t, d)
	c.KV2 = &vault.KV{Mount: "team/kv", Path: "app", UsernameField: "user", PasswordField: "pass"}
	c.Namespace = "ns1"
	r := providertest.One(t, open(t, c, providers.Env{}), canary)
	defer r.Stop(t)
	leased, _ := r.Must(t, providers.Request{})
	if got := r.Reveal(t, leased); got.Username() != "bob" || got.Password() != canary {
		t.Error("got another username or password than the secret's")
	}
	if leased.Kind() != providers.Password || leased.Lease() != "" || !slices.Equal(leased.Scopes(), []string{"team/kv/app#pass"}) {
		t.Errorf("got kind %s, lease %q, scopes %v", leased.Kind(), leased.Lease(), leased.Scopes())
	}
	if got := d.header.Get("X-Vault-Namespace"); got != "ns1" {
		t.Errorf("namespace: got %q, want ns1", got)
	}
}
