package broker_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mintmark/broker"
	"mintmark/broker/bundle"
	"mintmark/providers"
)

// badRoots are files that an upstream's ca can name and that no roots are in.
func badRoots() map[string]string {
	return map[string]string{"none": "", "junk": "-----BEGIN CERTIFICATE-----\nnope\n-----END CERTIFICATE-----\n"}
}

// withRoots adds an upstream whose ca is a file with a content, or is missing.
func (w *world) withRoots(content string) (old, now string) {
	w.t.Helper()
	if content != "" {
		if err := os.WriteFile(filepath.Join(w.dir, "nope.pem"), []byte(content), 0o600); err != nil {
			w.t.Fatal(err)
		}
	}
	old = "upstreams:\n"
	return old, old + "  rooted: {url: \"https://127.0.0.1/mcp\", ca: nope.pem, unauthenticated: true}\n"
}

// What is added to a broker that serves must not end it.
func TestABundleWithoutTheRootsOfAnUpstreamIsRefused(t *testing.T) {
	t.Parallel()
	for name, content := range badRoots() {
		t.Run(name, func(t *testing.T) {
			w := open(t)
			before := w.broker.Digest()
			old, now := w.withRoots(content)
			w.rewriteOnly("mintmark.yaml", old, now)
			applied, err := w.broker.Reload(t.Context())
			if applied || err == nil || !strings.Contains(err.Error(), ": upstreams.rooted.ca: ") || !strings.Contains(err.Error(), "nope.pem") || strings.Contains(err.Error(), "panic") {
				t.Errorf("got %v, want a refusal that names the upstream and the file", err)
			}
			if w.broker.Digest() != before {
				t.Error("got another bundle in force")
			}
			w.wantOK(w.call(), "result")
		})
	}
}

func TestABrokerWithoutTheRootsOfAnUpstreamDoesNotOpen(t *testing.T) {
	t.Parallel()
	for name, content := range badRoots() {
		t.Run(name, func(t *testing.T) {
			w := open(t)
			old, now := w.withRoots(content)
			bd := w.rewrite("mintmark.yaml", old, now)
			bd.Config.Audit.Directory = bundle.Path(filepath.Join(w.dir, "other"))
			bd.Config.Audit.SigningKey = bundle.Path(filepath.Join(w.dir, "other", "signing.key"))
			b, err := broker.Open(t.Context(), broker.Options{Bundle: bd, Kinds: w.kinds()})
			if b != nil || err == nil || !strings.Contains(err.Error(), ": upstreams.rooted.ca: ") || !strings.Contains(err.Error(), "nope.pem") {
				t.Errorf("got %v, %v, want an error that names the upstream and the file", b, err)
			}
		})
	}
}

// thrower panics wherever a bundle is read or put together.
type thrower struct {
	Reading bool `yaml:"reading"`
}

func (c *thrower) Validate(func(field, want, got string)) {
	if c.Reading {
		panic("hunter2")
	}
}

func TestAPanicOverABundleIsARefusal(t *testing.T) {
	t.Parallel()
	for name, settings := range map[string]string{"read": "reading: true", "open": "reading: false"} {
		t.Run(name, func(t *testing.T) {
			w := open(t)
			before := w.broker.Digest()
			w.rewriteOnly("mintmark.yaml", "providers:\n", "providers:\n  thrower: {kind: thrower, "+settings+"}\n")
			if _, err := w.broker.Reload(context.WithoutCancel(t.Context())); err == nil || !strings.Contains(err.Error(), "panic of type string") {
				t.Errorf("got %v, want a refusal that says so", err)
			}
			if !w.broker.Stale() || w.broker.Digest() != before {
				t.Error("got another bundle in force")
			}
			w.wantMetric(`mintmark_reloads_total{outcome="refused"} 1`)
			if strings.Contains(string(w.logged.bytes()), "hunter2") {
				t.Error("the log has what was thrown")
			}
			w.wantOK(w.call(), "result")
		})
	}
}

func openThrower(thrower, providers.Env) (providers.Provider, error) { panic("hunter2") }

// What a refused bundle says of tools is not put in force, nor kept for the next start.
func TestARefusedBundleRegistersNoTool(t *testing.T) {
	w := open(t)
	w.refuseChanges(t)
	if got := w.listed(t, "finds an order"); len(got) != 1 {
		t.Fatalf("got %v, want the tool shown", got)
	}
	w.rewriteOnly("mintmark.yaml", "orders: {", `orders: {tool_digests: {lookup_order: "`+repeat("0", 64)+`"}, `)
	w.rewriteOnly("mintmark.yaml", "providers:\n", "providers:\n  thrower: {kind: thrower}\n")
	if _, err := w.broker.Reload(context.WithoutCancel(t.Context())); err == nil {
		t.Error("got no error, want the bundle refused for its provider")
	}
	if got := w.listed(t, "finds an order"); len(got) != 1 {
		t.Errorf("got %v, want the tool shown as before", got)
	}
	w.wantOK(w.call(), "result")
	bd := w.rewrite("mintmark.yaml", "  thrower: {kind: thrower}\n", "")
	bd.Config.Audit.Directory = bundle.Path(filepath.Join(w.dir, "other"))
	bd.Config.Audit.SigningKey = bundle.Path(filepath.Join(w.dir, "other", "signing.key"))
	bd.Config.Listeners[0].Address = "256.0.0.1:0"
	if b, err := broker.Open(t.Context(), broker.Options{Bundle: bd, Kinds: w.kinds()}); err == nil {
		t.Errorf("got %v, want it not to open without its listener", b)
	}
	if got := w.listed(t, "finds an order"); len(got) != 1 {
		t.Errorf("after a start that failed: got %v, want the tool shown as before", got)
	}
}
