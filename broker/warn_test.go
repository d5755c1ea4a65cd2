package broker_test

import (
	"strings"
	"testing"
)

// A stored key is logged with its age when its registration comes in force.
func TestStoredKeysAreWarnedOf(t *testing.T) {
	t.Parallel()
	w := open(t)
	if logged := string(w.logged.bytes()); strings.Contains(logged, "a stored key") {
		t.Errorf("without one: got %s", logged)
	}
	const entry = "  legacy: {kind: static, token: \"file:vault-token\", since: 2024-05-01}\n"
	if err := w.change("mintmark.yaml", "upstreams:\n", entry+"upstreams:\n"); err != nil {
		t.Fatal(err)
	}
	logged := string(w.logged.bytes())
	for _, want := range []string{`"level":"WARN"`, `"registration":"providers.legacy"`, "a stored key, made on 2024-05-01, "} {
		if !strings.Contains(logged, want) {
			t.Errorf("got no %s in %s", want, logged)
		}
	}
}
