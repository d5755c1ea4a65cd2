package injector

import (
	"reflect"
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

// What is remembered is no text: a header may have a secret of somebody in it.
func TestNoTextIsKeptThatIsClean(t *testing.T) {
	const secret, said = "applicant-4711-secret", "/files/1?signature=applicant-and-a-secret-of-somebody"
	s := secretsFrom(secret)
	s.NewScrubber().String(said)
	c := &s.matcher().clean
	if !c.has(said) {
		t.Fatal("got it forgotten, want it known")
	}
	if other := strings.ToUpper(said); c.has(other) {
		t.Error("got another text of its length known")
	}
	for i := range c {
		if kept := c[i].Load(); holdsText(reflect.ValueOf(kept)) {
			t.Errorf("got %+v kept, want no text", kept)
		}
	}
}

// holdsText reports whether there is a string in v.
func holdsText(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.String:
		return v.Len() > 0
	case reflect.Pointer:
		return !v.IsNil() && holdsText(v.Elem())
	case reflect.Struct:
		for i := range v.NumField() {
			if holdsText(v.Field(i)) {
				return true
			}
		}
	}
	return false
}
