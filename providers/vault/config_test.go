package vault_test

import (
	"slices"
	"strings"
	"testing"

	"mintmark/broker/bundle"
	"mintmark/providers"
	"mintmark/providers/internal/providertest"
	"mintmark/providers/vault"
)

func TestEnvironmentIsIgnored(t *testing.T) {
	other := newDouble(t)
	for name, value := range map[string]string{
		"VAULT_ADDR": other.URL, "VAULT_AGENT_ADDR": other.URL, "VAULT_TOKEN": "env-token", "VAULT_NAMESPACE": "env-ns", "VAULT_HEADERS": `{"X-Env":"1"}`,
		"VAULT_WRAP_TTL": "60s", "VAULT_PROXY_ADDR": other.URL, "VAULT_HTTP_PROXY": other.URL, "HTTP_PROXY": other.URL, "HTTPS_PROXY": other.URL,
		"VAULT_MAX_RETRIES": "5", "VAULT_SKIP_VERIFY": "true", "VAULT_CLIENT_TIMEOUT": "1ns", "VAULT_RATE_LIMIT": "0.001:1",
	} {
		t.Setenv(name, value)
	}
	d := newDouble(t)
	d.on("secret/data/team/app", answer(200, `{"data":{"data":{"key":"`+canary+`"}}}`))
	r := providertest.One(t, open(t, kv2(t, d), providers.Env{}), canary)
	defer r.Stop(t)
	r.Must(t, providers.Request{})
	d.on("auth/jwt/login", answer(200, `{"auth":{"client_token":"t","lease_duration":900}}`))
	d.on("database/creds/ro", answer(200, user("u", 600)))
	if _, err := open(t, database(t, d), providers.Env{Self: &self{}}).Mint(t.Context(), providers.Request{}); err != nil {
		t.Fatal(err)
	}
	if got := d.count("PUT auth/jwt/login env-token"); got != 0 {
		t.Errorf("got %d logins with the environment's token, want none", got)
	}
	if len(other.asked) != 0 {
		t.Errorf("the environment's server was asked: %v", other.asked)
	}
	for _, header := range []string{"X-Env", "X-Vault-Namespace", "X-Vault-Wrap-Ttl"} {
		if got := d.header.Get(header); got != "" {
			t.Errorf("header %s: got %q from the environment, want none", header, got)
		}
	}
	if got := d.count("GET secret/data/team/app " + canary + "-token"); got != 1 {
		t.Errorf("got %d reads with the configured token, want 1", got)
	}
}

func TestMalformedEnvironmentIsNamed(t *testing.T) {
	t.Setenv("VAULT_MAX_RETRIES", canary)
	p, err := vault.Open(kv2(t, newDouble(t)), providers.Env{})
	if err == nil || p != nil || !strings.Contains(err.Error(), "VAULT_*") || strings.Contains(err.Error(), canary) {
		t.Errorf("open: got %v, want an error that names VAULT_* and quotes nothing", err)
	}
}

func TestOpenDoesNoNetwork(t *testing.T) {
	d := newDouble(t)
	open(t, kv2(t, d), providers.Env{})
	open(t, database(t, d), providers.Env{Self: &self{}})
	if len(d.asked) != 0 {
		t.Errorf("open asked %v, want nothing", d.asked)
	}
}

func TestConfigRules(t *testing.T) {
	d := newDouble(t)
	tests := map[string]struct {
		change func(*vault.Config)
		want   []string
	}{
		"plaintext beyond loopback": {func(c *vault.Config) { c.Address = providertest.URL(t, "http://vault.example.org") }, []string{"address"}},
		"https":                     {func(c *vault.Config) { c.Address = providertest.URL(t, "https://vault.example.org") }, nil},
		"neither kv2 nor database":  {func(c *vault.Config) { c.KV2 = nil }, []string{"kv2"}},
		"both":                      {func(c *vault.Config) { c.Database = &vault.Database{Role: "r"} }, []string{"kv2"}},
		"no auth":                   {func(c *vault.Config) { c.Auth = vault.Auth{} }, []string{"auth"}},
		"two auths":                 {func(c *vault.Config) { c.Auth.JWT = &vault.JWT{Role: "r", Audience: "a"} }, []string{"auth"}},
		"no field":                  {func(c *vault.Config) { c.KV2.Field = "" }, []string{"kv2.field"}},
		"field and password":        {func(c *vault.Config) { c.KV2.PasswordField, c.KV2.UsernameField = "p", "u" }, []string{"kv2.field"}},
		"password alone":            {func(c *vault.Config) { c.KV2.Field, c.KV2.PasswordField = "", "p" }, []string{"kv2.field"}},
		"path climbs":               {func(c *vault.Config) { c.KV2.Path = "a/../../sys/raw" }, []string{"kv2.path"}},
		"path with a query":         {func(c *vault.Config) { c.KV2.Path = "a?list=true" }, []string{"kv2.path"}},
		"path from the root":        {func(c *vault.Config) { c.KV2.Path = "/a" }, []string{"kv2.path"}},
		"path encoded":              {func(c *vault.Config) { c.KV2.Path = "%2e%2e/a" }, []string{"kv2.path"}},
		"mount climbs":              {func(c *vault.Config) { c.KV2.Mount = ".." }, []string{"kv2.mount"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := kv2(t, d)
			tt.change(&c)
			if got := providertest.Faults(c); !slices.Equal(got, tt.want) {
				t.Errorf("faults: got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestOpenRefuses(t *testing.T) {
	d := newDouble(t)
	noRoots := kv2(t, d)
	noRoots.CA = bundle.Path(t.TempDir() + "/none.pem")
	empty := kv2(t, d)
	empty.KV2 = nil
	for name, c := range map[string]vault.Config{"no identity of its own": database(t, d), "no roots file": noRoots, "nothing to read": empty} {
		if p, err := vault.Open(c, providers.Env{}); err == nil || p != nil {
			t.Errorf("%s: got %v, %v, want no provider and an error", name, p, err)
		}
	}
}
