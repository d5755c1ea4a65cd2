package injector

import (
	"slices"
	"strings"
	"testing"
)

// parted returns secret as a server says it that streams a model's words.
func parted(secret string, size int) string {
	var b strings.Builder
	for i := 0; i < len(secret); i += size {
		b.WriteString(`data: {"delta":"` + secret[i:min(i+size, len(secret))] + "\"}\n\n")
	}
	return b.String()
}

// Secrets of one issuer begin alike, and one may be the beginning or a part of another.
// What the search for one masks, of a part or as a whole, hides nothing from the search
// for another: all is masked that one of them alone would mask, and an answer is cut where
// one of them alone would cut it. But where one stands there whole, it is masked: it is no
// beginning of another.
func TestASharedBeginningHidesNoOther(t *testing.T) {
	const jwt = "eyJhbGciOiJSUzI1NiIsImtpZCI6IjEyMzQ1Njc4OTAifQ.eyJhdWQiOiJvcmRlcnMiLCJpc3Mi"
	const hook = "https://hooks.example.org/services/"
	for name, pair := range map[string][2]string{
		"tokens":     {jwt + "AAAA0123456789one", jwt + "BBBB987654321another"},
		"links":      {hook + "T00ONE/0123456789one", hook + "T00ANOTHER/987654321another"},
		"attenuated": {"a-token-of-one", "a-token-of-one.and-of-another"},
		"prefixed":   {"a-token-of-one", "another:a-token-of-one"},
	} {
		for _, own := range []int{0, 1} {
			one, other := secretsFrom(pair[own]), secretsFrom(pair[1-own])
			for _, said := range pair {
				escaped := strings.ReplaceAll(said, "/", `\/`)
				for text, masked := range map[string]string{
					"data: " + said + " more\n\n":         "data: " + strings.Repeat("*", len(said)) + " more\n\n",
					`data: "` + escaped + "\"\n\n":        `data: "` + strings.Repeat("*", len(escaped)) + "\"\n\n",
					parted(said, 8):                       "",
					parted(said, 3) + parted(pair[0], 20): "",
				} {
					for cut := 0; cut < len(text); cut += 1 + len(text)/48 {
						overlaps(t, name, one, other, text, masked, cut)
					}
				}
			}
		}
	}
}

// overlaps wants a text to be masked, or else to be what it is by one and by the other.
func overlaps(t *testing.T, name string, one, other *Secrets, text, masked string, cut int) {
	t.Helper()
	follow := func(s *Scrubber) string {
		s.AcrossParts()
		return scrubbed(s, text, cut)
	}
	want := func(one, other string) string {
		if masked != "" {
			return masked
		}
		n := min(len(one), len(other))
		return overlaid(text[:n], one[:n], other[:n])
	}
	all, only := NewNeedles(), NewNeedles()
	all.Add(one)
	all.Add(other)
	only.Add(other)
	alone := secretsFrom().NewScrubber()
	alone.Beside(only)
	among := one.NewScrubber()
	among.Beside(all)
	first, second, third := follow(one.NewScrubber()), follow(other.NewScrubber()), follow(alone)
	for what, tc := range map[string]struct{ got, want string }{
		"earlier":     {follow(one.NewScrubber(other)), want(first, second)},
		"of others":   {follow(among), want(first, third)},
		"in a header": {one.NewScrubber(other).String(text), overlaid(text, one.NewScrubber().String(text), other.NewScrubber().String(text))},
	} {
		if tc.got != tc.want {
			t.Fatalf("%s, %s, cut at %d of %q:\ngot  %q\nwant %q", name, what, cut, text, tc.got, tc.want)
		}
	}
}

// What an answer's own search masks is no hit of the search for others', in which its
// own secrets are as well; what both have a part in is one of each.
func TestHitsOfOverlappingSecrets(t *testing.T) {
	one, other := secretsFrom("a-token-of-one"), secretsFrom("another:a-token-of-one")
	for text, want := range map[string][2]int{
		"a-token-of-one":                        {1, 0},
		"A-TOKEN-OF-ONE":                        {1, 1},
		"another:a-token-of-one":                {2, 1},
		"a-token-of-one another:a-token-of-one": {3, 1},
	} {
		for cut := range text {
			all := NewNeedles()
			all.Add(one)
			all.Add(other)
			s := one.NewScrubber()
			s.Beside(all)
			if got := scrubbed(s, text, cut); strings.Trim(got, "* ") != "" || s.Hits() != want[0] || s.HitsOfOthers() != want[1] {
				t.Errorf("%q cut at %d: got %q, %d hits, %d of others, want %v", text, cut, got, s.Hits(), s.HitsOfOthers(), want)
			}
		}
	}
}

// A long secret costs no more where it comes byte by byte, and is masked like any other.
func TestALongSecretByteByByte(t *testing.T) {
	long := "eyJhbGciOiJSUzI1NiJ9." + strings.Repeat("x", 3) + longText(16<<10)
	one, other := secretsFrom(long+"-one"), secretsFrom(long+"-another")
	for name, said := range map[string]string{"own": long + "-one", "another's": long + "-another", "none": long + "-nobody", "the beginning": long[:9000] + "...."} {
		all := NewNeedles()
		all.Add(one)
		all.Add(other)
		s := one.NewScrubber()
		s.Beside(all)
		var got strings.Builder
		for i := range said {
			got.Write(s.Next([]byte{said[i]}))
		}
		got.Write(s.Rest())
		want := said
		if s.Hits() > 0 {
			want = strings.Repeat("*", len(said))
		}
		if secret := strings.HasSuffix(said, "one") || strings.HasSuffix(said, "another"); s.Spent() || got.String() != want || secret != (s.Hits() == 1) {
			t.Errorf("%s: got %d bytes with %d hits, spent: %t", name, got.Len(), s.Hits(), s.Spent())
		}
	}
}

// longText does not repeat itself.
func longText(n int) string {
	var b strings.Builder
	for seed := uint64(1); b.Len() < n; seed++ {
		b.WriteString(randomToken(seed)[4:])
	}
	return b.String()[:n]
}

// A line with a secret in it many times is not cut for the beginning of another that it has
// in common with that, in pieces of any size.
func TestALineWithMany(t *testing.T) {
	const one, other = "kU3vTq9LzR5mYb7WcX2nHs8GdJ4fPa6E", "kU3vTq9LzR5mYb7WcX2nHs8GdJ4fXXXXXXXX"
	text := `data: "` + strings.Repeat(one+" ", 900) + "\"\n\n"
	want := strings.ReplaceAll(text, one, strings.Repeat("*", len(one)))
	for _, size := range []int{7, 500, 32 << 10} {
		s := secretsFrom(one).NewScrubber(secretsFrom(other))
		s.AcrossParts()
		var got strings.Builder
		for piece := range slices.Chunk([]byte(text), size) {
			got.Write(s.Next(piece))
		}
		got.Write(s.Rest())
		if got.String() != want || s.Cut() || s.Spent() || s.Hits() != 900 {
			t.Errorf("in pieces of %d: got %d bytes of %d with %d hits, cut: %t, spent: %t", size, got.Len(), len(text), s.Hits(), s.Cut(), s.Spent())
		}
	}
}
