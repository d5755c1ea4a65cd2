package broker_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mintmark/broker/bundle"
)

// A broker whose policies are gone denies every call, and says so when that comes in
// force, and not to "mintmark check" alone.
func TestPoliciesThatDoNothingAreToldOf(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.logged.take()
	if err := os.WriteFile(filepath.Join(w.dir, "policies.cedar"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	bd, err := bundle.Load(w.dir, w.kinds().Settings())
	if err != nil {
		t.Fatal(err)
	}
	if err := w.broker.Apply(t.Context(), bd); err != nil {
		t.Fatal(err)
	}
	if logged := string(w.logged.take()); !strings.Contains(logged, "every call is denied") {
		t.Errorf("got %s", logged)
	}
}
