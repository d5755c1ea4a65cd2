package vault_test

import (
	"testing"

	"mintmark/providers"
	"mintmark/providers/internal/providertest"
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
