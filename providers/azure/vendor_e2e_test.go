//go:build e2e

package azure_test

import (
	"testing"

	"mintmark/broker/bundle"
	"mintmark/internal/testenv"
	"mintmark/providers"
	"mintmark/providers/azure"
	"mintmark/providers/internal/providertest"
)

// TestWhatMicrosoftsClientSends holds the request against that of Microsoft's own client,
// @azure/msal-node: each field, and the address in each cloud, which that client knows by
// heart. It does not show that Entra takes it.
func TestWhatMicrosoftsClientSends(t *testing.T) {
	t.Parallel()
	for _, authority := range []string{"", "https://login.microsoftonline.us", "https://login.partner.microsoftonline.cn"} {
		t.Run("at "+authority, func(t *testing.T) { compare(t, authority) })
	}
}

func compare(t *testing.T, authority string) {
	entra := providertest.NewCapture(t, providertest.Answer(200, "application/json", `{"token_type":"Bearer","expires_in":3599,"ext_expires_in":3599,"access_token":"`+providertest.Canary+`"}`))
	c := azure.Config{TenantID: "contoso.example", ClientID: "0000-client", Scope: graph}
	if authority != "" {
		c.Authority = providertest.URL(t, authority)
	}
	address := azure.URL(open(t, c, providers.Env{Self: providertest.Self{}}))
	c.Authority, c.CA = providertest.URL(t, entra.URL), bundle.Path(entra.Certificate)
	if _, err := open(t, c, providers.Env{Self: providertest.Self{}}).Mint(t.Context(), providers.Request{}); err != nil {
		t.Fatal(err)
	}
	ours := entra.Take(t, 1)[0].At(t, address)

	if authority == "" {
		authority = "https://login.microsoftonline.com"
	}
	var got struct{ Token string }
	testenv.VendorClient(t, "azure", entra.Address, entra.Certificate, map[string]any{
		"authority": authority + "/contoso.example", "clientId": c.ClientID, "scope": c.Scope, "assertion": "svid-for-api://AzureADTokenExchange",
	}, &got)
	if got.Token != providertest.Canary {
		t.Errorf("the vendor's client: got %q", got.Token)
	}
	providertest.Same(t, ours, entra.Take(t, 1)[0], map[string]string{
		"header Accept":                   "we take JSON alone, the client anything",
		"header Content-Type; charset":    "the client names a charset, which a form's type has not",
		"query client-request-id":         "telemetry: a random number by which a request is found",
		"form client-request-id":          "telemetry, again",
		"form x-client-CPU":               "telemetry",
		"form x-client-OS":                "telemetry",
		"form x-client-SKU":               "telemetry: the library",
		"form x-client-VER":               "telemetry: its version",
		"form x-client-current-telemetry": "telemetry",
		"form x-client-last-telemetry":    "telemetry",
		"form x-ms-lib-capability":        "telemetry: that the library waits where it is told to",
	})
}
