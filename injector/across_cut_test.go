package injector

import (
	"encoding/hex"
	"strings"
	"testing"
)

// What comes to the bound and is no secret cuts the answer, wherever it stands and however
// it goes on; what does not come to it goes on.
func TestScrubAcrossPartsCutsNearMisses(t *testing.T) {
	const secret = "ghs_AbCdEf0123456789abcdefABCDEF01234567"
	const n = len("ghs_") + secretPart
	same := hex.EncodeToString([]byte(secret))
	stars := strings.Repeat("*", len(secret))
	for text, want := range map[string]string{
		secret[:n-1]:                            "all",
		secret[:n-1] + "x":                      "all",
		secret[:n-1] + `"`:                      "all",
		"xx" + secret[:n]:                       "xx",
		secret[:n] + "x":                        "",
		secret[:n] + `","x`:                     "",
		secret[:n] + `\"`:                       "",
		secret[:n] + `\\\\`:                     "",
		secret[:n] + `\u00`:                     "",
		secret[:n] + "%4":                       "",
		secret[:n] + "&am":                      "",
		secret[:n] + "=":                        "",
		secret[:n] + " " + secret:               "",
		secret[:n] + secret:                     "",
		secret[:len(secret)-1]:                  "",
		secret[:len(secret)-1] + "x":            "",
		every(`\u%04x`, units)(secret[:n]):      "",
		same[:2*n-1] + "x":                      "all",
		same[:2*n] + "x":                        "",
		secret + " and " + secret[:n]:           stars + " and ",
		secret + " and " + secret[:n-1]:         stars + " and " + secret[:n-1] + `"]}` + "\n\n",
		secret + secret[:n-1] + secret:          stars + secret[:n-1] + stars + `"]}` + "\n\n",
		secret[:3] + `","` + secret[3:n]:        secret[:3] + `","`,
		secret[:n-1] + `","` + secret[n-1:n]:    secret[:n-1] + `","`,
		secret[:n-1] + `","` + secret[n-1:]:     secret[:n-1] + `","` + stars[n-1:] + `"]}` + "\n\n",
		secret[:n-1] + `","` + secret[n-1:n+20]: secret[:n-1] + `","`,
		secret[:n-1] + `","a","` + "x":          "all",
	} {
		const before, after = `data: {"a":["some ", "`, `"]}` + "\n\n"
		whole := before + text + after
		switch want {
		case "all":
			want = whole
		default:
			want = before + want
		}
		for cut := range whole {
			s := hidden(secret).NewScrubber()
			s.AcrossParts()
			got := scrubbed(s, whole+"data: more\n\n", cut)
			if s.Cut() != !strings.HasSuffix(want, after) || strings.TrimSuffix(got, "data: more\n\n") != want {
				t.Fatalf("%q cut at %d: got %q, want %q", text, cut, got, want)
			}
		}
	}
}

// Where a secret stands that is the beginning of another, or within it, that is masked, and
// what follows is no more of the other than anybody knows who knows the one.
func TestScrubAcrossPartsMasksTheBeginningThatIsWhole(t *testing.T) {
	const one, other, inner = "a-token-of-one-0123456789", "a-token-of-one-0123456789.and-of-another", "of-one-0123456789.and-what-is-within"
	for text, want := range map[string]struct {
		text string
		cut  bool
	}{
		one + " and":            {"************************* and", false},
		one + ".an":             {"*************************.an", false},
		other + " and":          {"**************************************** and", false},
		one[:20] + " " + one:    {"", true},
		one + " " + one[:20]:    {"************************* ", true},
		one + ".and-what-is-in": {"*************************.and-what-is-in", false},
	} {
		const before, after = `data: {"d":"`, "\"}\n\n"
		said := before + text + after
		for cut := range said {
			s := hidden(one, other, inner).NewScrubber()
			s.AcrossParts()
			got := scrubbed(s, said, cut)
			if strings.TrimSuffix(got, after) != before+want.text || s.Cut() != want.cut || strings.HasSuffix(got, after) == want.cut {
				t.Fatalf("%q cut at %d: got %q, cut: %t, want %q, %t", said, cut, got, s.Cut(), want.text, want.cut)
			}
		}
	}
}

// A line without an end does not keep what may be shown, nor what may not.
func TestScrubAcrossPartsCutsALineWithoutAnEnd(t *testing.T) {
	for name, more := range map[string]string{"goes on": "x", "backslashes": `\`, "escapes": `\u005c`, "again": ascii[:9]} {
		s := hidden(ascii).NewScrubber()
		s.AcrossParts()
		got := string(s.Next([]byte("data: before " + ascii[:9])))
		for range 2 * s.own.matcher.limit {
			got += string(s.Next([]byte(more)))
		}
		if got != "data: before " || !s.Cut() {
			t.Errorf("%s: got %q, cut: %t", name, got, s.Cut())
		}
	}
}
