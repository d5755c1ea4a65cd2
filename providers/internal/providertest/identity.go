package providertest

import (
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"mintmark/internal/fault"
	"mintmark/providers"
)

// IdentityRules demands of a provider that shows the broker's own identity to system
// that it asks for nothing without one, and is not opened without one or with roots
// that can't be read. Open opens one with ca.
func IdentityRules(t *testing.T, system string, open func(t *testing.T, handler http.Handler, ca string, env providers.Env) (providers.Provider, error)) {
	t.Helper()
	var asked atomic.Int64
	count := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) })
	p, err := open(t, count, "", providers.Env{Self: Self{Err: errors.New("no Workload API")}})
	if err != nil {
		t.Fatal(err)
	}
	r := One(t, p)
	defer r.Stop(t)
	if hint := r.Refused(t, providers.Request{}, fault.Unavailable); hint != "the broker has no identity to show to "+system {
		t.Errorf("identity away: got hint %q", hint)
	}
	if p, err := open(t, count, "", providers.Env{}); err == nil || p != nil {
		t.Errorf("no identity: got %v, %v, want an error", p, err)
	}
	if p, err := open(t, count, "/nonexistent", providers.Env{Self: Self{}}); err == nil || p != nil {
		t.Errorf("no roots: got %v, %v, want an error", p, err)
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("got %d requests, want none", n)
	}
}

// Reasons demands that a refusal (400) of each body has the reason in its error, for
// the operator, and nothing of what Canary stands in.
func Reasons(t *testing.T, open func(t *testing.T, system http.Handler) providers.Provider, reasons map[string]string) {
	t.Helper()
	for body, want := range reasons {
		c, err := open(t, Answer(400, "application/json", body)).Mint(t.Context(), providers.Request{})
		CheckAnswer(t, c, err, Canary)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", body, err, want)
		}
	}
}
