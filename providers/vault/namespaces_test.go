package vault_test

import (
	"net/http"
	"strings"
	"testing"

	"mintmark/internal/fault"
	"mintmark/providers"
	"mintmark/providers/vault"
)

// A server that takes no notice of namespaces would answer with what it has at
// the same path for everybody. It is not even logged in to.
func TestNamespaceOfAServerThatHasNone(t *testing.T) {
	const (
		none  = "this vault has no namespaces, and the broker is told to use one"
		admit = ""
	)
	for name, tt := range map[string]struct {
		health http.HandlerFunc
		hint   string
	}{
		"open edition":         {answer(200, `{"initialized":true,"enterprise":false,"version":"1.21.4"}`), none},
		"open edition, sealed": {answer(299, `{"sealed":true,"enterprise":false}`), none},
		"enterprise edition":   {answer(200, `{"enterprise":true,"version":"1.21.4+ent"}`), admit},
		"no editions":          {answer(200, `{"version":"2.4.0"}`), admit},
		"an empty answer":      {answer(204, ``), admit},
		"a page":               {answer(200, `<html>`), admit},
		"a huge answer":        {answer(200, `{"x":"`+strings.Repeat("x", 1<<20)+`"}`), admit},
		"kept from it":         {answer(403, `{"errors":["`+canary+`"]}`), admit},
		"no such path":         {answer(404, ``), admit},
		"a failure":            {answer(500, `{"errors":["`+canary+`"]}`), "vault could not make the credential"},
		"limited":              {answer(429, `{"errors":["`+canary+`"]}`), "vault limits how often the broker may ask"},
	} {
		for where, set := range map[string]func(*vault.Config){
			"of the paths":     func(c *vault.Config) { c.Namespace = "team" },
			"of the login":     func(c *vault.Config) { c.Auth.Namespace = "team" },
			"root's the login": func(c *vault.Config) { c.Namespace, c.Auth.Namespace = "team", "root" },
		} {
			t.Run(name+", "+where, func(t *testing.T) {
				d := newDouble(t)
				d.on("sys/health", func(w http.ResponseWriter, r *http.Request) {
					if got := r.Header.Get("X-Vault-Namespace"); got != "" {
						t.Errorf("question: got it in namespace %q, want in none", got)
					}
					tt.health(w, r)
				})
				d.on("auth/jwt/login", loginFor("t", 3600, false))
				d.on("database/creds/ro", answer(200, user("u", 600)))
				c := database(t, d)
				set(&c)
				_, err := open(t, c, providers.Env{Self: &self{}}).Mint(t.Context(), providers.Request{})
				if fault.HintOf(err) != tt.hint || (err == nil) != (tt.hint == admit) {
					t.Errorf("mint: got %v, want hint %q", err, tt.hint)
				}
				if err != nil && strings.Contains(err.Error(), canary) {
					t.Errorf("mint: got %v, want an error that quotes nothing", err)
				}
				if got := d.count("PUT auth/jwt/login"); (got == 0) != (tt.hint != admit) {
					t.Errorf("got %d logins, want one only where the server may have the namespace", got)
				}
			})
		}
	}
}

func TestNamespacesAreAskedForOnce(t *testing.T) {
	d := newDouble(t)
	d.on("sys/health", inTurn(answer(502, ""), answer(200, `{"enterprise":true}`)))
	d.on("auth/jwt/login", loginFor("t", 3600, false))
	d.on("database/creds/ro", inTurn(answer(200, user("u", 600)), answer(403, ""), answer(200, user("u", 600))))
	c := database(t, d)
	c.Namespace = "team"
	p := open(t, c, providers.Env{Self: &self{}})
	if _, err := p.Mint(t.Context(), providers.Request{}); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("while it fails: got %v, want an outage", err)
	}
	for range 2 { // the second logs in anew
		if _, err := p.Mint(t.Context(), providers.Request{}); err != nil {
			t.Error(err)
		}
	}
	if asked, logins := d.count("GET sys/health"), d.count("PUT auth/jwt/login"); asked != 2 || logins != 2 {
		t.Errorf("got %d questions and %d logins, want 2 and 2", asked, logins)
	}
	bare := newDouble(t)
	bare.on("auth/jwt/login", loginFor("t", 3600, false))
	bare.on("database/creds/ro", answer(200, user("u", 600)))
	if _, err := open(t, database(t, bare), providers.Env{Self: &self{}}).Mint(t.Context(), providers.Request{}); err != nil || bare.count("GET sys/health") != 0 {
		t.Errorf("without a namespace: got %v, want no question", err)
	}
}
