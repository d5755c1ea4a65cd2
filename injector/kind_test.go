package injector

import (
	"strings"
	"testing"
)

// kinds are secrets with what all of their kind begin with, and where an answer is cut that
// has more of them in it.
func kinds() map[string]struct {
	kind string
	bounds
} {
	const aws = "IQoJb3JpZ2luX2VjEHwaDmFwLXNvdXRoZWFzdC0xIkgwRgIhAM"
	return map[string]struct {
		kind string
		bounds
	}{
		"ghs_AbCdEf0123456789abcdefABCDEF01234567":                                             {"ghs_", bounds{12, 12}},
		"ghs_123456_eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJodHRwczovL2FzIn0.c2lnbmVkc2lnbmVkc2lnbmVk": {"ghs_123456_eyJhbGciOiJSUzI1N", bounds{27, 68}},
		"github_pat_11ABCDEFG0123456789abc_" + longText(59):                                    {"github_pat_11ABCDEFG01", bounds{30, 30}},
		"glpat-AbCdEf0123456789abcd":                                                           {"glpat-", bounds{13, 13}},
		"sk-ant-api03-AbCdEf0123456789abcdefABCDEF01234567":                                    {"sk-ant-api03-", bounds{21, 21}},
		"sk_live_51H5abcDEFghIJKLmnO" + longText(80):                                           {"sk_live_51H5abcDEFghIJKLmn", bounds{34, 34}},
		"xoxb-1234567890-1234567890123-AbCdEfGhIjKlMnOpQrStUvWx":                               {"xoxb-1234567890-1234567890123-", bounds{38, 38}},
		"hvs.CAESIJ0123456789abcdefABCDEF01234567":                                             {"hvs.CAESIJ", bounds{18, 18}},
		"hvs.AbCdEf0123456789abcdefAB":                                                         {"hvs.", bounds{12, 12}},
		"1//0gAbCdEfGhIjKlMnOpQrStUvWx":                                                        {"1//", bounds{11, 11}},
		"ya29.a0AfH6SMBx-1_KqZ7vN3pLwT9uYhGfRdEsQc":                                            {"ya29.a0AfH6SMBx-", bounds{24, 24}},
		aws + longText(300):                                                                    {aws, bounds{60, 60}},
		"https://hooks.example.org/services/T00ONE/B0/0123456789one":                           {"https://hooks.example.org/services/", bounds{43, 43}},
		"https://AbCdEf0123456789abcdef@hooks.example.org/services/":                           {"https://", bounds{16, 16}},
		"xoxab-1234567890-1234567890123-AbCdEfGhIjKlMn":                                        {"xoxab-", bounds{14, 14}},
		"eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJodHRwczovL2FzIn0.c2lnbmVkc2lnbmVk":                    {"eyJhbGciOiJSUzI1", bounds{16, 57}},
		"eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJodHRwczovL2FzIn0.c2lnbmVk":                            {"eyJhbGciOiJSUzI1", bounds{16, 53}},
		"eyJhbGciOiJub25lIn0.eyJpc3MiOiJodHRwczovL2FzIn0.":                                     {"eyJhbGciOiJub25l", bounds{16, 48}},
		"Zq83kfjw9ef0zzAxJqAAx0_k-3":                                                           {"", bounds{8, 8}},
		"3f786850e387550fdab836ed7e6dc881de23001b":                                             {"", bounds{8, 8}},
		"550e8400-e29b-41d4-a716-446655440000":                                                 {"550e8400-e29b-", bounds{18, 18}},
		"correct horse battery staple":                                                         {"correct horse ", bounds{14, 14}},
		"hunter22-hunted":                                                                      {"hunter22", bounds{8, 8}},
		"hunter22":                                                                             {"hunt", bounds{4, 8}},
		"a1b2c3":                                                                               {"a1b", bounds{3, 8}},
	}
}

func TestBoundsOf(t *testing.T) {
	for secret, want := range kinds() {
		if got := boundsOf([]byte(secret), 0); got != want.bounds {
			t.Errorf("%s: got %v, want %v", secret, got, want.bounds)
		}
	}
	// The user's name is not secret, and half of what follows it is masked.
	for length, want := range map[int]bounds{40: {20, 20}, 20: {16, 20}, 13: {13, 20}} {
		if got := boundsOf([]byte(longText(length)), 12); got != want {
			t.Errorf("%d characters after 12: got %v, want %v", length-12, got, want)
		}
	}
}

// Of a secret that is said in parts, no more is shown than what tells its kind and fewer
// than eight characters, whatever the parts are.
func TestOfASecretInPartsLessThanEightCharactersAreShown(t *testing.T) {
	for secret, of := range kinds() {
		for size := 1; size < len(secret); size++ {
			s := hidden(secret).NewScrubber()
			s.AcrossParts()
			var said strings.Builder
			for line := range strings.SplitSeq(scrubbed(s, parted(secret, size)), "\n\n") {
				_, text, _ := strings.Cut(line, `":"`)
				said.WriteString(strings.TrimSuffix(text, `"}`))
			}
			got := strings.TrimRight(said.String(), "*")
			if len(got) >= of.part || !strings.HasPrefix(secret, got) || s.Hits() == 0 || size >= of.cut && said.Len() > 0 {
				t.Errorf("%d at a time: got %q of %q with %d hits", size, said.String(), secret, s.Hits())
			}
		}
	}
}

// What tells no more than the kind of a secret stays, and so does what has little of it in
// it, as text does.
func TestHowSecretsOfAKindBeginStays(t *testing.T) {
	for secret, of := range kinds() {
		for _, end := range []string{of.kind[:min(len(of.kind), of.part-1)], secret[:of.part-1], secret[:min(of.cut, len(secret))-1] + "~"} {
			s := hidden(secret).NewScrubber()
			s.AcrossParts()
			text := `data: {"text":"It begins with ` + end + "\"}\n\n"
			if got := scrubbed(s, text); got != text || s.Hits() != 0 {
				t.Errorf("got %q with %d hits, want %q", got, s.Hits(), text)
			}
		}
	}
}

// Tokens of one kind, or of one issuer, cut no answers to those who hold another.
func TestAnotherOfItsKindStays(t *testing.T) {
	for secret, of := range kinds() {
		if len(of.kind)+secretPart > of.cut {
			continue // a short one
		}
		rest := secret[len(of.kind):]
		other := of.kind + strings.Map(func(c rune) rune { return c ^ 1 }, rest)
		if strings.HasPrefix(secret[len(secret)-len(rest):], "eyJ") {
			t.Fatal(rest)
		}
		s := hidden(secret).NewScrubber()
		s.AcrossParts()
		text := `data: {"text":"` + other + " it is\"}\n\n"
		if got := scrubbed(s, text); got != text || s.Cut() {
			t.Errorf("got %q, want %q", got, text)
		}
	}
}
