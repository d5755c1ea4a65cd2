package injector

import (
	"strings"
	"testing"
)

// What may be under way at once, and so the work for each byte, is bounded by how
// often a secret begins anew within itself: providers lease none that does so more
// than 64 times.
func TestTheWorkForAByteIsBoundedByTheSecretsRepeats(t *testing.T) {
	for _, repeats := range []int{0, 21, 64} {
		secrets := secretsFrom(strings.Repeat("a", repeats+1) + "Zq83kfjw9ef0zzAxJqAAx0")
		forms := len(secrets.matcher().forms)
		for _, unit := range []string{"a", "YWFh", "61", "a\x00", "MFQWC", "%61"} {
			scrub, most := secrets.NewScrubber(), 0
			for range 4096 / len(unit) {
				scrub.Next([]byte(unit))
				most = max(most, len(scrub.own.under.list))
			}
			if bound := 4 * (repeats + 2) * forms; most > bound {
				t.Errorf("%d repeats, %q: got %d readings at once, want at most %d", repeats, unit, most, bound)
			}
		}
	}
}
