package injector

import (
	"fmt"
	"html"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// asOtherNamed is allNamed of an encoder that has the other of two names.
func asOtherNamed(s string) string {
	return strings.NewReplacer("&lbrack;", "&lsqb;", "&rsqb;", "&rbrack;", "&lbrace;", "&lcub;", "&rcub;", "&rbrace;", "&vert;", "&verbar;").Replace(allNamed(s))
}

// misread is what a server writes that read each byte as a character of Latin-1.
func misread(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		b.WriteRune(rune(c))
	}
	return b.String()
}

func inLatin(s string) string {
	b := make([]byte, 0, len(s))
	for _, r := range s {
		if r > unicode.MaxLatin1 {
			return s
		}
		b = append(b, byte(r))
	}
	return string(b)
}

func TestNamesInHTMLAreThoseOfTheirCharacters(t *testing.T) {
	for r := rune(1); r <= unicode.MaxLatin1; r++ {
		if n := name(r); n != "" && html.UnescapeString("&"+n) != string(r) {
			t.Errorf("got &%s for %q, which is %q", n, r, html.UnescapeString("&"+n))
		}
		text := []byte(string(r) + "j")
		if n := otherName(r, text); n != "" && r != 'f' && html.UnescapeString("&"+n) != string(r) {
			t.Errorf("got &%s for %q too, which is %q", n, r, html.UnescapeString("&"+n))
		}
		if named := name(r) != ""; r >= 0xa0 && !named || r > ' ' && r < utf8.RuneSelf && !isAlphanumeric(byte(r)) && named == strings.ContainsRune("-~\x7f", r) {
			t.Errorf("%q: got a name %t", r, named)
		}
	}
	if got := html.UnescapeString("&" + otherName('f', []byte("fj"))); got != "fj" {
		t.Errorf("got %q for fj", got)
	}
	if got := otherName('f', []byte("f")); got != "" {
		t.Errorf("got %q for an f at the end", got)
	}
}

// A token has characters that some encoders write by their names in HTML, and a password
// may have such that servers read in another charset.
func TestScrubNamesInHTMLAndOtherCharsets(t *testing.T) {
	t.Parallel()
	for kind, secret := range map[string]string{
		"a JWT":            "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJodHRwczovL2FzLmV4YW1wbGUub3JnIn0.ZGVhZGJlZWZk_ZWFkYmVl-g",
		"a GitHub token":   "ghs_16C7e42Ffj2c6912E77fj10c838347Ae178B4a",
		"a password":       `p!"#$%&'()*+,-./:;<=>?@[\]^_{|}~` + "`x",
		"beyond ASCII":     "pässwörd-mît-ÜmläutÿÞ¿ fj",
		"in other letters": "密码-pässwörd",
	} {
		secrets := hidden(secret)
		if got := html.UnescapeString(allNamed(secret)); got != secret {
			t.Errorf("%s: what is named is %q", kind, got)
		}
		others := NewNeedles()
		others.Add(secrets)
		if got := scrubbed(others.NewScrubber(), allNamed(secret)); strings.Trim(got, "*") != "" {
			t.Errorf("%s of another: got %q", kind, got)
		}
		for how, encode := range map[string]func(string) string{
			"named": allNamed, "named otherwise": asOtherNamed, "named, in JSON": chain(allNamed, asGoJSON), "named twice": chain(allNamed, html.EscapeString),
			"misread": misread, "misread, in JSON": chain(misread, every(`\u%04x`, units)),
			"misread, in HTML": chain(misread, allNamed), "Latin-1": inLatin, "Latin-1, percent": chain(inLatin, keep("@*_+-./", "%%%02X")),
		} {
			text := encode(secret)
			hides(t, secrets, fmt.Sprintf("%s, %s", kind, how), secret, coded{text, 0, len(text)}, []int{0, len(text) / 2, len(text) + 5})
		}
	}
}

// A key in hex is the same in either case: databases write UUIDs in capitals.
func TestScrubAKeyInHexInEitherCase(t *testing.T) {
	t.Parallel()
	for _, secret := range []string{"3f2504e0-4f89-11d3-9a0c-0305e82c3301", "9F86D081884C7D659A2FEAA0C55AD015", "deadbeefcafe0001"} {
		for how, encode := range map[string]func(string) string{
			"upper": strings.ToUpper, "lower": strings.ToLower, "upper in a URL": chain(strings.ToUpper, strings.NewReplacer("-", "%2D").Replace), "mixed": func(s string) string { return strings.ToUpper(s[:9]) + strings.ToLower(s[9:]) },
		} {
			text := encode(secret)
			hides(t, hidden(secret), how, secret, coded{text, 0, len(text)}, []int{0, len(text) / 2, len(text) + 5})
		}
	}
	const mixed = "3f2504e0-4f89-11d3-9a0c-0305e82c330x"
	if got := scrubbed(hidden(mixed).NewScrubber(), strings.ToUpper(mixed)); got != strings.ToUpper(mixed) {
		t.Errorf("of what is no hex: got %q", got)
	}
}

// What encoders write for bytes that are no character says nothing of a secret in Latin-1.
func TestWhatIsNoCharacterIsNoSecret(t *testing.T) {
	others := NewNeedles()
	others.Add(hidden("äöüäöüäöüäöü"))
	text := strings.Repeat(`\ufffd`, 12) + strings.Repeat("\ufffd", 12)
	if got := scrubbed(others.NewScrubber(), text); got != text {
		t.Errorf("got %q, want it as it came", got)
	}
}
