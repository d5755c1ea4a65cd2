package injector

import (
	"strings"
	"testing"
)

// kinds are tokens with what all of their kind begin with.
func kinds() map[string]string {
	return map[string]string{
		"ghs_AbCdEf0123456789abcdefABCDEF01234567":                  "ghs_",
		"github_pat_11ABCDEFG0123456789_abcdefghijklmnop":           "github_pat_",
		"glpat-AbCdEf0123456789abcd":                                "glpat-",
		"sk-ant-api03-AbCdEf0123456789abcdefABCDEF01234567":         "sk-ant-api03-",
		"hvs.CAESIJ0123456789abcdefABCDEF01234567":                  "hvs.",
		"1//0gAbCdEfGhIjKlMnOpQrStUvWx":                             "1//",
		"ya29.a0AfH6SMBx-1_KqZ7vN3pLwT9uYhGfRdEsQc":                 "ya29.",
		"https://hooks.example.org/services/T0/B0":                  "https://hooks.",
		"eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJodHRwczovL2FzIn0.c2lnbmVk": "eyJhbGciOiJSUzI1",
		"Zq83kfjw9ef0zzAxJqAAx0_k-3":                                "",
		"3f786850e387550fdab836ed7e6dc881de23001b":                  "",
		"correct horse battery staple":                              "",
	}
}

// most is how much of a secret is shown in parts.
func most(secret, kind string) int {
	return min(len(kind)+secretPart, mostShown, (len(secret)+1)/2) - 1
}

// Of a secret that is said in parts, no more gets through than what tells its kind and
// fewer than eight characters, whatever the parts are.
func TestOfASecretInPartsLessThanEightCharactersAreShown(t *testing.T) {
	for secret, kind := range kinds() {
		for size := 1; size < len(secret); size++ {
			s := hidden(secret).NewScrubber()
			s.AcrossParts()
			var shown strings.Builder
			for line := range strings.SplitSeq(scrubbed(s, parted(secret, size)), "\n\n") {
				_, text, _ := strings.Cut(line, `":"`)
				shown.WriteString(strings.TrimSuffix(text, `"}`))
			}
			got := strings.TrimRight(shown.String(), "*")
			if len(got) > most(secret, kind) || !strings.HasPrefix(secret, got) || shown.Len() != len(secret) {
				t.Errorf("%d at a time: got %q of %q", size, shown.String(), secret)
			}
		}
	}
}

// What tells no more than the kind of a secret stays, and so does what ends in little
// of it, as text does.
func TestHowSecretsOfAKindBeginStays(t *testing.T) {
	for secret, kind := range kinds() {
		n := most(secret, kind)
		for _, end := range []string{kind[:min(n, len(kind))], secret[:n]} {
			s := hidden(secret).NewScrubber()
			s.AcrossParts()
			text := `data: {"text":"It begins with ` + end + "\"}\n\n"
			if got := scrubbed(s, text); got != text || s.Hits() != 0 {
				t.Errorf("got %q with %d hits, want %q", got, s.Hits(), text)
			}
		}
	}
}

func TestKindOf(t *testing.T) {
	for secret, kind := range kinds() {
		if got := kindOf(secret); got != len(kind) {
			t.Errorf("%s: got %q, want %q", secret, secret[:got], kind)
		}
	}
}
