//go:build e2e

package githubapp_test

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"maps"
	"strings"
	"testing"

	"mintmark/broker/bundle"
	"mintmark/internal/testenv"
	"mintmark/providers"
	"mintmark/providers/githubapp"
	"mintmark/providers/internal/providertest"
)

// TestWhatGitHubsClientSends holds the request, and the JWT in it, against those of
// GitHub's own client, @octokit/auth-app: each field, and the address, which that client
// has built in. It does not show that GitHub takes them.
func TestWhatGitHubsClientSends(t *testing.T) {
	t.Parallel()
	t.Run("narrowed", func(t *testing.T) {
		compare(t, githubapp.Config{Repositories: []string{"orders", "site.github.io"}, Permissions: map[string]string{"contents": "read", "issues": "write"}}, map[string]string{
			"header Content-Type; charset": "the client names a charset, which JSON has not",
		})
	})
	t.Run("whole", func(t *testing.T) {
		compare(t, githubapp.Config{}, map[string]string{
			"json {}":             "an empty object, where the client leaves the body out: it is not required",
			"header Content-Type": "of the above",
		})
	})
}

func compare(t *testing.T, c githubapp.Config, more map[string]string) {
	ref, key := appKey(t)
	github := providertest.NewCapture(t, providertest.Answer(201, "application/json", `{"token":"`+token+`","expires_at":"2050-01-01T00:00:00Z","permissions":{"contents":"read"},"repository_selection":"selected"}`))
	c.AppID, c.InstallationID, c.PrivateKey = "Iv1.app", 42, ref
	byDefault := githubapp.URL(open(t, c)) + "/app/installations/42/access_tokens"
	c.URL, c.CA = providertest.URL(t, github.URL), bundle.Path(github.Certificate)
	if _, err := open(t, c).Mint(t.Context(), providers.Request{}); err != nil {
		t.Fatal(err)
	}
	ours := github.Take(t, 1)[0].At(t, byDefault)

	input := map[string]any{
		"appId": c.AppID, "installationId": c.InstallationID,
		"privateKey": string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})),
	}
	if c.Repositories != nil {
		input["repositoryNames"], input["permissions"] = c.Repositories, c.Permissions
	}
	var got struct{ Token string }
	testenv.VendorClient(t, "github", github.Address, github.Certificate, input, &got)
	if got.Token != token {
		t.Errorf("the vendor's client: got %q", got.Token)
	}
	theirs := github.Take(t, 1)[0]
	openJWT(t, ours)
	openJWT(t, theirs)
	differ := map[string]string{
		"header Accept":               "the name that GitHub's documentation gives now for what the client calls v3",
		"header Authorization":        "the scheme, which is of any case (RFC 9110, section 11.1)",
		"header X-Github-Api-Version": "we name the version that we know, as GitHub's documentation asks; the client takes the default",
		"jwt claims .iat":             "we allow for a clock that is a minute ahead, the client for half of one",
	}
	maps.Copy(differ, more)
	providertest.Same(t, ours, theirs, differ)
}

// openJWT puts the parts of the app's JWT in its place, and its life in that of its end.
func openJWT(t *testing.T, s providertest.Sent) {
	t.Helper()
	scheme, token, _ := strings.Cut(s["header Authorization"], " ")
	s["header Authorization"] = scheme
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("JWT: got %d parts", len(parts))
	}
	var all [2]map[string]any
	for i := range all {
		content, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err == nil {
			err = json.Unmarshal(content, &all[i])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	header, claims := all[0], all[1]
	from, _ := claims["iat"].(float64)
	to, _ := claims["exp"].(float64)
	claims["exp"] = to - from
	s.JSON("jwt header ", header)
	s.JSON("jwt claims ", claims)
}
