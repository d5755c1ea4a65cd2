package vault_test

import (
	"testing"

	"mintmark/providers"
	"mintmark/providers/internal/providertest"
	"mintmark/providers/vault"
)

// Whatever Vault answers, there is a credential or an error that quotes nothing.
func FuzzAnswer(f *testing.F) {
	f.Add(200, []byte(`{"data":{"data":{"key":"value"}}}`))
	f.Add(200, []byte(`{"data":{"data":{"key":["value"]}},"warnings":["x"]}`))
	f.Add(200, []byte(`{"data":{"data":null}}`))
	f.Add(404, []byte(`{"data":{"data":null,"metadata":{}}}`))
	f.Add(503, []byte(`{"errors":["Vault is sealed"]}`))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		if status < 200 || status > 599 {
			return
		}
		d := newDouble(t)
		d.on("secret/data/team/app", answer(status, string(body)+canary))
		c, err := open(t, kv2(t, d), providers.Env{}).Mint(t.Context(), providers.Request{})
		providertest.CheckAnswer(t, c, err, canary)
	})
}

// Whatever an engine answers, fields make a credential of it, or there is an
// error that quotes nothing.
func FuzzDynamicAnswer(f *testing.F) {
	f.Add(`{"lease_id":"l","lease_duration":9,"data":{"a":{"b":"x"},"u":["y"]}}`, "{a.b}-{u}", "ttl")
	f.Add(`{"data":{"a":"{a}"}}`, "{a}{a}", "")
	f.Add(`{"data":{"a.b":1e99}}`, "{a.b}", "a.b")
	f.Fuzz(func(t *testing.T, body, template, expires string) {
		d := newDouble(t)
		d.on("any/path", answer(200, body))
		d.on("sys/leases/revoke", answer(204, ""))
		for _, fields := range []vault.Fields{{Token: template, ExpiresIn: expires}, {Certificate: template, Key: template}} {
			c := dynamic(t, d, vault.Dynamic{Path: "any/path", Fields: fields})
			if len(providertest.Faults(c)) > 0 {
				return
			}
			minted, err := open(t, c, providers.Env{}).Mint(t.Context(), providers.Request{})
			providertest.CheckAnswer(t, minted, err, "")
		}
	})
}
