package injector

import (
	"strings"
	"testing"
)

func TestCleanTextsAreRememberedAndSecretsNever(t *testing.T) {
	const secret = "applicant-4711-secret"
	s := secretsFrom(secret)
	for range 3 {
		for _, text := range []string{"application/json", "applicant-4711-secre!", "x" + secret, secret, strings.Repeat("applica", 40)} {
			got := s.NewScrubber().String(text)
			if want := strings.ReplaceAll(text, secret, strings.Repeat("*", len(secret))); got != want {
				t.Fatalf("got %q for %q, want %q", got, text, want)
			}
		}
	}
	c := &s.matcher().clean
	if !c.has("application/json") {
		t.Error("got a search for the text that begins like the secret each time")
	}
	if c.has(secret) || c.has("x"+secret) || c.has(strings.Repeat("applica", 40)) {
		t.Error("got a text remembered that holds the secret, or is long")
	}
	if n := testing.AllocsPerRun(100, func() { s.NewScrubber().String("application/json") }); n > 1 {
		t.Errorf("got %v allocations for a text that is known, want that of the scrubber alone", n)
	}
}
