package oauth_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mintmark/broker/bundle"
	"mintmark/providers"
	"mintmark/providers/internal/providertest"
	"mintmark/providers/oauth"
)

// What the broker shows to a server, or is given to go on with, is in no record though the
// server says it where scopes stand.
func TestNoSecretIsAScope(t *testing.T) {
	echo := func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		_, password, _ := r.BasicAuth()
		said := []string{"read", canary + "-next"}
		for _, name := range []string{"client_secret", "assertion", "client_assertion", "subject_token", "refresh_token"} {
			said = append(said, r.PostForm.Get(name))
		}
		ok(fmt.Sprintf(`{"access_token":"tttttttt-1","token_type":"Bearer","expires_in":60,"refresh_token":%q,"scope":%q}`,
			canary+"-next", strings.Join(append(said, password), " ")))(w, r)
	}
	for name, change := range map[string]func(c *oauth.Config){
		"client_secret_post":  func(c *oauth.Config) { c.AuthStyle = "post" },
		"client_secret_basic": func(c *oauth.Config) { c.AuthStyle = "basic" },
		"refresh token": func(c *oauth.Config) {
			c.RefreshToken = &oauth.RefreshToken{Token: providertest.Ref(t, canary+"-0"), State: bundle.Path(filepath.Join(t.TempDir(), "state"))}
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := serve(t, echo)
			change(&c)
			r := providertest.New(t, map[string]providers.Entry{"db": {Provider: open(t, c, providers.Env{})}}, []string{canary})
			if leased, _, err := r.Lease(t.Context(), "db", providertest.Agent(t, "spiffe://a.test/1")); err == nil || !leased.IsZero() {
				t.Errorf("got %v and %v, want it refused", leased, err)
			}
			r.Stop(t) // and looks through what was recorded
			if made := r.Records(t)[0]; made.Event != "mint_failed" || made.Fingerprint == "" || !strings.Contains(made.Reason, "into the token's scope") {
				t.Errorf("got the record %+v, want that of a token that is refused", made)
			}
			if c.RefreshToken != nil && !strings.Contains(read(t, c.RefreshToken.State.String()), canary+"-next") {
				t.Error("the next refresh token is not kept")
			}
		})
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
