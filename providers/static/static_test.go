package static_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mintmark/broker/bundle"
	"mintmark/internal/fault"
	"mintmark/providers"
	"mintmark/providers/internal/providertest"
	"mintmark/providers/static"
)

const canary = "canary-5f1d7c-key"

func day(t *testing.T, text string) bundle.Date { return providertest.Parse[bundle.Date](t, text) }

func at(t *testing.T, text string) providers.Env {
	t.Helper()
	now, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return providers.Env{Clock: func() time.Time { return now }}
}

func open(t *testing.T, c static.Config, env providers.Env) providers.Provider {
	t.Helper()
	if got := providertest.Faults(c); len(got) > 0 {
		t.Fatalf("config: got faults %v, want none", got)
	}
	p, err := static.Open(c, env)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestKeysOfBothForms(t *testing.T) {
	since := day(t, "2024-05-01")
	r := providertest.One(t, open(t, static.Config{Token: providertest.Ref(t, canary), Since: since}, providers.Env{}), canary)
	leased, _ := r.Must(t, providers.Request{})
	if got := r.Reveal(t, leased).Token(); got != canary || leased.Kind() != providers.Token {
		t.Errorf("token: got %q of kind %s", got, leased.Kind())
	}
	r.Stop(t)
	t.Setenv("MINTMARK_TEST_PASSWORD", canary)
	c := static.Config{Username: "clerk", Password: providertest.Parse[bundle.Ref](t, "env:MINTMARK_TEST_PASSWORD"), Since: since}
	r = providertest.One(t, open(t, c, providers.Env{}), canary)
	leased, _ = r.Must(t, providers.Request{})
	if got := r.Reveal(t, leased); got.Password() != canary || got.Username() != "clerk" || leased.Kind() != providers.Password {
		t.Errorf("password: got %q for %q of kind %s", got.Password(), got.Username(), leased.Kind())
	}
	r.Stop(t)
}

func TestEachMintReadsTheKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	p := open(t, static.Config{Token: providertest.Parse[bundle.Ref](t, "file:"+path), Since: day(t, "2024-05-01")}, providers.Env{})
	if _, err := p.Mint(t.Context(), providers.Request{}); fault.HintOf(err) != "the broker cannot read its own secret for the credential provider" {
		t.Errorf("no file: got %v", err)
	}
	for _, key := range []string{"first-" + canary, "second-" + canary} {
		if err := os.WriteFile(path, []byte(key), 0o600); err != nil {
			t.Fatal(err)
		}
		r := providertest.One(t, p, key)
		leased, _ := r.Must(t, providers.Request{})
		if got := r.Reveal(t, leased).Token(); got != key {
			t.Errorf("got %q, want %q", got, key)
		}
		r.Stop(t)
	}
}

func TestExpiryIsHeld(t *testing.T) {
	c := static.Config{Token: providertest.Ref(t, canary), Since: day(t, "2024-05-01"), Expires: day(t, "2025-01-01")}
	for now, want := range map[string]string{
		"2024-12-31T12:00:00Z":      "2024-12-31T12:05:00Z",
		"2024-12-31T23:58:00Z":      "2025-01-01T00:00:00Z",
		"2024-12-31T23:59:59Z":      "2025-01-01T00:00:00Z",
		"2025-01-01T00:00:00Z":      "",
		"2026-01-01T00:00:00Z":      "",
		"2025-01-01T00:30:00+01:00": "2024-12-31T23:35:00Z",
	} {
		minted, err := open(t, c, at(t, now)).Mint(t.Context(), providers.Request{})
		got := ""
		if err == nil {
			got = minted.NotAfter().UTC().Format(time.RFC3339)
		}
		if got != want || err != nil && (!strings.Contains(fault.HintOf(err), "has expired") || fault.KindOf(err) != fault.Internal || minted.Kind() != "") {
			t.Errorf("at %s: got an end of %q and %v, want %q", now, got, err, want)
		}
	}
}

func TestWarnings(t *testing.T) {
	c := static.Config{Since: day(t, "2024-05-01"), RotateBy: day(t, "2024-11-01"), Expires: day(t, "2025-05-01")}
	for now, want := range map[string]string{
		"2024-04-30T00:00:00Z": "said to be made on 2024-05-01, in the future: correct since",
		"2024-05-02T01:00:00Z": "a stored key, made on 2024-05-01, 1 day ago: a provider that mints short-lived credentials is better",
		"2024-11-01T00:00:00Z": "184 days ago: it was to be replaced by 2024-11-01: replace it",
		"2025-04-28T12:00:00Z": "it is refused from 2025-05-01 on, in 2 days: replace it",
		"2025-05-01T00:00:00Z": "365 days ago: it is refused since 2025-05-01, when it expired: replace it",
	} {
		if got := c.Warnings(at(t, now).Now()); len(got) != 1 || !strings.Contains(got[0], want) {
			t.Errorf("at %s: got %q, want %q", now, got, want)
		}
	}
}

func TestConfigRules(t *testing.T) {
	good := func() static.Config {
		return static.Config{Token: providertest.Ref(t, canary), Since: day(t, "2024-05-01")}
	}
	for name, tt := range map[string]struct {
		change func(*static.Config)
		want   []string
	}{
		"as it is":             {func(*static.Config) {}, nil},
		"no key":               {func(c *static.Config) { c.Token = bundle.Ref{} }, []string{"token"}},
		"a name alone":         {func(c *static.Config) { c.Username = "a" }, []string{"username"}},
		"both forms":           {func(c *static.Config) { c.Username, c.Password = "a", c.Token }, []string{"token"}},
		"a colon":              {func(c *static.Config) { c.Username, c.Password, c.Token = "a:b", c.Token, bundle.Ref{} }, []string{"username"}},
		"expired when made":    {func(c *static.Config) { c.Expires = c.Since }, []string{"expires"}},
		"replaced when unmade": {func(c *static.Config) { c.RotateBy = day(t, "2024-04-30") }, []string{"rotate_by"}},
	} {
		c := good()
		tt.change(&c)
		if got := providertest.Faults(c); !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %v, want %v", name, got, tt.want)
		}
	}
	if p, err := static.Open(static.Config{}, providers.Env{}); err == nil || p != nil {
		t.Errorf("open without a key: got %v, %v", p, err)
	}
}
