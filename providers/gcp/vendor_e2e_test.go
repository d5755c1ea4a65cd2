//go:build e2e

package gcp_test

import (
	"maps"
	"testing"
	"time"

	"mintmark/broker/bundle"
	"mintmark/internal/testenv"
	"mintmark/providers"
	"mintmark/providers/gcp"
	"mintmark/providers/internal/providertest"
)

// TestWhatGooglesClientSends holds the requests against those of Google's own client,
// google-auth-library: each field, and the addresses, which that client has built in. It
// does not show that Google takes them.
func TestWhatGooglesClientSends(t *testing.T) {
	t.Parallel()
	const between = "between@project.iam.gserviceaccount.com"
	scopes := []string{"https://www.googleapis.com/auth/devstorage.read_only", "openid"}
	as := &gcp.Impersonate{ServiceAccount: account, Delegates: []string{between}, Lifetime: bundle.Duration{Duration: 30 * time.Minute}}
	become := map[string]any{"targetPrincipal": account, "delegates": []string{"projects/-/serviceAccounts/" + between}, "lifetime": 1800}
	for name, tt := range map[string]struct {
		config gcp.Config
		client string
		input  map[string]any
	}{
		"exchange":      {gcp.Config{Scopes: scopes}, "google", map[string]any{"scopes": scopes}},
		"no scope":      {gcp.Config{}, "google", nil},
		"impersonation": {gcp.Config{Scopes: scopes, Impersonate: as}, "google", map[string]any{"scopes": scopes, "impersonate": become}},
		"a credential file": {gcp.Config{Scopes: scopes, Impersonate: &gcp.Impersonate{ServiceAccount: account}}, "google-file",
			map[string]any{"scopes": scopes, "url": "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/" + account + ":generateAccessToken"}},
	} {
		t.Run(name, func(t *testing.T) { compare(t, tt.config, tt.client, tt.input) })
	}
}

func compare(t *testing.T, c gcp.Config, client string, input map[string]any) {
	google := providertest.NewCapture(t, mux(exchanged, providertest.Answer(200, "application/json", `{"accessToken":"`+providertest.Canary+`","expireTime":"2050-01-01T00:00:00Z"}`)))
	c.Audience = pool
	exchange, become := gcp.URLs(open(t, c))
	c.TokenURL, c.IAMURL, c.CA = providertest.URL(t, google.URL+"/v1/token"), providertest.URL(t, google.URL), bundle.Path(google.Certificate)
	if _, err := open(t, c).Mint(t.Context(), providers.Request{}); err != nil {
		t.Fatal(err)
	}
	n, want := 1, federated
	if c.Impersonate != nil {
		n, want = 2, providertest.Canary
	}
	ours := google.Take(t, n)

	all := map[string]any{"audience": pool, "subjectToken": "svid-for-https:" + pool}
	maps.Copy(all, input)
	var got struct{ Token string }
	testenv.VendorClient(t, client, google.Address, google.Certificate, all, &got)
	if got.Token != want {
		t.Errorf("the vendor's client: got %q, want %q", got.Token, want)
	}
	theirs := google.Take(t, n)
	providertest.Same(t, ours[0].At(t, exchange), theirs[0], map[string]string{
		"header Content-Type; charset": "the client names a charset, which a form's type has not",
		"header X-Goog-Api-Client":     "telemetry: the library and how it is used",
	})
	if n == 1 {
		return
	}
	differ := map[string]string{"header X-Goog-Api-Client": "telemetry: Node's version"}
	if client == "google" {
		differ["header Accept"] = "we take JSON alone, the client anything"
	}
	providertest.Same(t, ours[1].At(t, become), theirs[1], differ)
}
