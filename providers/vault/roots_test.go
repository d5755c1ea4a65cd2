package vault_test

import (
	"testing"

	"mintmark/internal/fault"
	"mintmark/providers"
	"mintmark/providers/internal/providertest"
	"mintmark/providers/vault"
)

// By whatever login, Vault is who the configured roots vouch for, by the configured name.
func TestVaultIsWhoItsRootsVouchFor(t *testing.T) {
	own, key := ownCertificate(t)
	const unvouched = "vault shows a certificate that the configured roots do not vouch for"
	for login, auth := range map[string]vault.Auth{
		"jwt":  {JWT: &vault.JWT{Role: "mintmark", Audience: "vault"}},
		"cert": {Cert: &vault.Cert{Certificate: file(t, own), Key: file(t, key)}},
	} {
		for name, tt := range map[string]struct {
			change func(*vault.Config)
			hint   string
		}{
			"its own":            {func(*vault.Config) {}, ""},
			"another name of it": {func(c *vault.Config) { c.ServerName = "example.com" }, ""},
			"of another name":    {func(c *vault.Config) { c.ServerName = "other.test" }, "vault shows a certificate for another name"},
			"roots of another":   {func(c *vault.Config) { c.CA = file(t, own) }, unvouched},
			"system roots":       {func(c *vault.Config) { c.CA = "" }, unvouched},
		} {
			t.Run(login+" "+name, func(t *testing.T) {
				d := newDouble(t)
				d.on("auth/"+login+"/login", answer(200, `{"auth":{"client_token":"t","lease_duration":900}}`))
				d.on("database/creds/ro", answer(200, user("u", 600)))
				c := database(t, d)
				c.Auth = auth
				behind, ca := overTLS(t, d)
				c.Address, c.CA = providertest.URL(t, behind), ca
				tt.change(&c)
				_, err := open(t, c, providers.Env{Self: &self{}}).Mint(t.Context(), providers.Request{})
				if fault.HintOf(err) != tt.hint || (err == nil) != (tt.hint == "") {
					t.Errorf("got %v, want the hint %q", err, tt.hint)
				}
				if asked := d.count("PUT auth/"); (asked == 0) != (tt.hint != "") {
					t.Errorf("got %d logins, want one where it is known alone", asked)
				}
			})
		}
	}
}
