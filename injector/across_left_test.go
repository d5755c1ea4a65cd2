package injector

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// What is no secret stays, and what may be is not followed for ever.
func TestScrubAcrossPartsLeavesTheRest(t *testing.T) {
	secrets := hidden(ascii, "hunter22", "1//0gAbCdEfGh+IjKlMnOp==")
	for _, text := range []string{
		"data: s\n\ndata: 3\n\ndata: c\n\ndata: r\n\n",
		`data: {"d":"s3cr"}` + "\n\n" + `data: {"d":"s3cr"}` + "\n\n" + `data: {"d":"et"}` + "\n\n",
		`data: {"d":"hu"}` + "\n\n" + `data: {"d":"n"}` + "\n\n" + `data: {"d":"dred"}` + "\n\n",
		`data: {"d":"s3cr` + strings.Repeat("\"}\n\ndata: {\"x\":\"", partsLines) + ascii[4:] + `"}` + "\n\n",
		`data: ["s3cr"` + strings.Repeat(`,"x"`, partsPlaces/2) + `,"` + ascii[4:] + `"]` + "\n\n",
	} {
		s := secrets.NewScrubber()
		s.AcrossParts()
		if got := scrubbed(s, text); got != text || s.Hits() != 0 {
			t.Errorf("got  %q, %d hits\nwant %q", got, s.Hits(), text)
		}
	}
}

// A model that says hex, or digits, a few at a time says by chance what a secret in hex is
// made of. That is not taken for one.
func TestScrubAcrossPartsLeavesDigits(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 7))
	for _, alphabet := range []string{base16, base16[:10]} {
		for range 4 {
			secret := ""
			for range 40 {
				secret += base16[r.IntN(16):][:1]
			}
			var text strings.Builder
			for text.Len() < 128<<10 {
				digits := ""
				for range 1 + r.IntN(3) {
					digits += alphabet[r.IntN(len(alphabet)):][:1]
				}
				fmt.Fprintf(&text, "data: {\"d\":%q}\n\n", digits)
			}
			s := hidden(secret).NewScrubber()
			s.AcrossParts()
			if got := scrubbed(s, text.String()); len(got) != text.Len() || s.Hits() > 0 {
				t.Errorf("after %d bytes of %d: cut: %t, %d hits", len(got), text.Len(), s.Cut(), s.Hits())
			}
		}
	}
}

// A backslash before a quote begins no secret, in pieces of any size.
func TestABackslashBeforeAQuoteBeginsNothing(t *testing.T) {
	const secret = `\kU3vTq9LzR5mYb7`
	text := `data: {"a":"{\"b\":\"` + "\"}\n\n" + parted(secret[1:], 1)
	for cut := range text {
		s := secretsFrom(secret).NewScrubber()
		s.AcrossParts()
		if got := scrubbed(s, text, cut); got != text || s.Cut() {
			t.Fatalf("cut at %d: got %q, cut: %t", cut, got, s.Cut())
		}
	}
}
