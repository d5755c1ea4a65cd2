package vault_test

import (
	"encoding/json"
	"net/url"
	gopath "path"
	"strings"
	"testing"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"mintmark/attest"
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
// error with no credential.
func FuzzFields(f *testing.F) {
	f.Add([]byte(`{"a":{"b":"x"},"u":["y"]}`), "{a.b}-{u}")
	f.Add([]byte(`{"a":"{a}"}`), "{a}{a}")
	f.Add([]byte(`{"a.b":1e99}`), "{a.b}")
	f.Add([]byte(`{"a":"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"}`), "{a}")
	f.Fuzz(func(t *testing.T, body []byte, template string) {
		var data map[string]any
		if template == "" || json.Unmarshal(body, &data) != nil { // no template is no kind
			return
		}
		for _, fields := range []vault.Fields{{Token: template}, {Username: "u", Password: template}, {Certificate: template, Key: template}} {
			kind, m, err := vault.MaterialOf(fields, data)
			if kind == "" || (err != nil && (!m.Token.IsZero() || !m.Password.IsZero() || len(m.Chain) > 0)) {
				t.Errorf("got kind %q and %v, want nothing of a credential with an error", kind, err)
			}
		}
	})
}

// Whatever an agent is called, it stays below the path, and below nobody else's.
func FuzzPath(f *testing.F) {
	f.Add("a.test", "/ns/prod/sa/bot")
	f.Add("..", "/x")
	f.Add("a.test", "/%2e%2e/x?list=true#")
	f.Fuzz(func(t *testing.T, domain, path string) {
		id, err := spiffeid.FromString("spiffe://" + domain + path)
		if err != nil {
			return
		}
		got, err := vault.FillPath("kv/{trust_domain}/{subject_path}/key", providers.Request{Agent: attest.Proven(attest.Proof{ID: id, Attestor: "test"})})
		if err != nil {
			return
		}
		u, err := url.Parse("http://vault/v1/" + got)
		if err != nil || u.Path != "/v1/"+got || gopath.Clean(u.Path) != u.Path || strings.Count(got, "/") != 3 {
			t.Errorf("%s: got path %q, want one of four segments that means itself", id, got)
		}
	})
}
