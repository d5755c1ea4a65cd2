package broker

import (
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"mintmark/broker/bundle"
)

// A change of what is fixed says which value it is, and what it was.
func TestAChangedFrameSaysWhatItWas(t *testing.T) {
	base := func() bundle.Config {
		return bundle.Config{
			TrustDomain: spiffeid.RequireTrustDomainFromString("example.org"),
			Trust:       bundle.Trust{WorkloadAPI: "unix:///run/a.sock", Bundles: []bundle.TrustBundle{{File: "/a.json"}}},
			Listeners:   []bundle.Listener{{Address: "127.0.0.1:1"}, {Address: "127.0.0.1:2"}},
			Audit:       bundle.Audit{Directory: "/a"}, State: "/s", Escrow: "off", Limits: bundle.Limits{Body: 1 << 20}, Metrics: "127.0.0.1:3",
		}
	}
	changes := map[string]struct {
		change func(*bundle.Config)
		want   string
	}{
		"trust_domain": {func(c *bundle.Config) { c.TrustDomain = spiffeid.RequireTrustDomainFromString("other.org") }, "trust_domain: expected example.org, as it was at start, got other.org; restart the broker"},
		"trust":        {func(c *bundle.Config) { c.Trust.Bundles[0].File = "/b.json" }, `trust.bundles[0].file: expected "/a.json", as it was at start, got "/b.json"`},
		"listeners":    {func(c *bundle.Config) { c.Listeners[1].Address = "127.0.0.1:9" }, `listeners[1].address: expected "127.0.0.1:2", as it was at start, got "127.0.0.1:9"`},
		"audit":        {func(c *bundle.Config) { c.Audit.Directory = "/b" }, `audit.directory: expected "/a", as it was at start, got "/b"`},
		"state":        {func(c *bundle.Config) { c.State = "/b" }, `state: expected "/s", as it was at start, got "/b"`},
		"escrow":       {func(c *bundle.Config) { c.Escrow = "" }, `escrow: expected "off", as it was at start, got none`},
		"limits":       {func(c *bundle.Config) { c.Limits.Body = 2 << 20 }, "limits.body: expected 1MiB, as it was at start, got 2MiB"},
		"metrics":      {func(c *bundle.Config) { c.Metrics = "" }, `metrics: expected "127.0.0.1:3", as it was at start, got none`},
	}
	for _, name := range frame() {
		was, now := bundle.Bundle{Config: base()}, bundle.Bundle{Config: base()}
		if err := sameFrame(&was, &now); err != nil {
			t.Fatalf("the same: got %v", err)
		}
		changes[name].change(&now.Config)
		if err := sameFrame(&was, &now); err == nil || !strings.Contains(err.Error(), changes[name].want) {
			t.Errorf("%s: got %v, want %q", name, err, changes[name].want)
		}
	}
	for want, change := range map[string]func(*bundle.Config){
		"listeners: expected a list of 2, as it was at start, got a list of 1":         func(c *bundle.Config) { c.Listeners = c.Listeners[:1] },
		"listeners[0].plaintext: expected false, as it was at start, got true":         func(c *bundle.Config) { c.Listeners[0].Plaintext = true },
		"listeners[0].hosts: expected none, as it was at start, got a list of 1":       func(c *bundle.Config) { c.Listeners[0].Hosts = []string{"a"} },
		"limits.shutdown: expected none, as it was at start, got 20s; restart the bro": func(c *bundle.Config) { c.Limits.Shutdown.Duration = 20 * time.Second },
	} {
		was, now := bundle.Bundle{Config: base()}, bundle.Bundle{Config: base()}
		change(&now.Config)
		if err := sameFrame(&was, &now); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	if len(changes) != len(frame()) {
		t.Errorf("got %d changes for %d names", len(changes), len(frame()))
	}
}
