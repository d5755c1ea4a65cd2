package vault_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"mintmark/broker/bundle"
	"mintmark/internal/fault"
	"mintmark/providers"
	"mintmark/providers/internal/providertest"
	"mintmark/providers/vault"
)

// wrapped registers an AppRole whose wrapping token is in the returned file.
func wrapped(t *testing.T, d *double, token string) (c vault.Config, path string) {
	t.Helper()
	path = string(file(t, token))
	c = database(t, d)
	c.Auth = vault.Auth{AppRole: &vault.AppRole{
		Role: "mintmark", RoleID: providertest.Ref(t, "role-id"), WrappedSecretID: providertest.Parse[bundle.Ref](t, "file:"+path)}}
	return c, path
}

// appRole answers as the AppRole method does, and keeps the secret-ids that it was shown.
func appRole(t *testing.T, d *double, shown *[]string) {
	d.on("sys/wrapping/lookup", answer(200, `{"data":{"creation_path":"auth/approle/role/mintmark/secret-id"}}`))
	d.on("sys/wrapping/unwrap", func(w http.ResponseWriter, r *http.Request) {
		answer(200, fmt.Sprintf(`{"data":{"secret_id":"%s of %s"}}`, canary, r.Header.Get("X-Vault-Token")))(w, r)
	})
	d.on("auth/approle/login", func(w http.ResponseWriter, r *http.Request) {
		var body map[string]string
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			t.Errorf("read body: %v", err)
		}
		*shown = append(*shown, strings.TrimPrefix(body["secret_id"], canary+" of "))
		loginFor("t", 900, false)(w, r)
	})
	d.on("database/creds/ro", answer(200, user("u", 60)))
}

func TestSecretIDIsKeptUntilAnotherIsDelivered(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	d := newDouble(t)
	var shown []string
	appRole(t, d, &shown)
	c, path := wrapped(t, d, "w1")
	p := open(t, c, providers.Env{Clock: func() time.Time { return now }})
	mint := func() {
		t.Helper()
		if _, err := p.Mint(t.Context(), providers.Request{}); err != nil {
			t.Fatal(err)
		}
		now = now.Add(time.Hour)
	}
	mint()
	mint()
	if err := os.WriteFile(path, []byte("w2"), 0o600); err != nil {
		t.Fatal(err)
	}
	mint()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	mint()
	if want := []string{"w1", "w1", "w2", "w2"}; !slices.Equal(shown, want) {
		t.Errorf("got logins with the secret-ids of %v, want %v", shown, want)
	}
	for _, wrapping := range []string{"w1", "w2"} {
		if got := d.count("PUT sys/wrapping/unwrap " + wrapping); got != 1 {
			t.Errorf("got %d unwraps of %s, want 1", got, wrapping)
		}
	}
}

func TestWrappingTokenThatIsNotTaken(t *testing.T) {
	const spent = "the broker's one-time secret for vault is spent or not genuine"
	quoting := `{"errors":["` + canary + `"]}`
	tests := map[string]struct {
		path    string
		handler http.HandlerFunc
		kind    fault.Kind
		hint    string
		reason  string
		unwraps int
	}{
		"spent":            {"sys/wrapping/lookup", answer(400, quoting), fault.Internal, spent, "intercepted", 0},
		"of another path":  {"sys/wrapping/lookup", answer(200, `{"data":{"creation_path":"`+canary+`"}}`), fault.Internal, spent, "replaced", 0},
		"of no path":       {"sys/wrapping/lookup", answer(200, `{}`), fault.Internal, spent, "replaced", 0},
		"spent in between": {"sys/wrapping/unwrap", answer(400, quoting), fault.Internal, spent, "intercepted", 1},
		"without secret":   {"sys/wrapping/unwrap", answer(200, `{"data":{"x":"`+canary+`"}}`), fault.Internal, spent, "secret_id", 1},
		"nothing in it":    {"sys/wrapping/unwrap", answer(204, ``), fault.Internal, spent, "got nothing", 1},
		"sealed":           {"sys/wrapping/lookup", answer(503, `{"errors":["Vault is sealed"]}`), fault.Unavailable, "vault is sealed", "503", 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			d := newDouble(t)
			var shown []string
			appRole(t, d, &shown)
			d.on(tt.path, tt.handler)
			c, _ := wrapped(t, d, canary+"-wrapping")
			r := providertest.One(t, open(t, c, providers.Env{}), canary)
			defer r.Stop(t)
			if hint := r.Refused(t, providers.Request{}, tt.kind); hint != tt.hint {
				t.Errorf("hint: got %q, want %q", hint, tt.hint)
			}
			reason := r.Records(t)[0].Reason
			if asked := "PUT " + d.URL + "/v1/" + tt.path + ": "; !strings.Contains(reason, asked) || !strings.Contains(reason, tt.reason) {
				t.Errorf("reason: got %q, want %q and %q in it", reason, asked, tt.reason)
			}
			if got := d.count("PUT sys/wrapping/unwrap"); got != tt.unwraps || len(shown) != 0 {
				t.Errorf("got %d unwraps and %d logins, want %d and none", got, len(shown), tt.unwraps)
			}
		})
	}
}
