package providers_test

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"mintmark/providers"
)

// What a panic prints is the runtime's, and asks no Format. It runs in a process
// of its own: this one, again.
func TestAPanicShowsNoSecret(t *testing.T) {
	const again = "MINTMARK_TEST_PANIC"
	m := providers.Material{Token: providers.NewSecret(canary), Username: "user", Password: providers.NewSecret(canary), Key: providers.NewPrivateKey(newKey(t))}
	values := map[string]any{"secret": m.Token, "material": m, "pointer": &m, "sealed": providers.Seal(providers.Token, m, providers.Terms{})}
	credential, opened := leaseAndOpen(t, m)
	values["credential"], values["opened"], values["parts"] = credential, opened, opened.Parts
	if kind := os.Getenv(again); kind != "" {
		panic(values[kind])
	}
	for kind := range values {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestAPanicShowsNoSecret$")
		cmd.Env = append(os.Environ(), again+"="+kind, "GOTRACEBACK=all")
		out, err := cmd.CombinedOutput()
		var ended *exec.ExitError
		if !errors.As(err, &ended) || !strings.Contains(string(out), "panic: ") {
			t.Errorf("%s: got %v, want the panic:\n%s", kind, err, out)
		}
		if strings.Contains(string(out), canary) {
			t.Errorf("%s: the secret is in what a panic prints:\n%s", kind, out)
		}
	}
}
