package injector

import (
	"slices"
	"strings"
	"testing"
)

// apart returns a Scrubber beside values that are each of another credential, and whose
// they are.
func apart(values ...string) (s *Scrubber, of []*Secrets) {
	all := NewNeedles()
	for _, value := range values {
		of = append(of, secretsFrom(value))
		all.Add(of[len(of)-1])
	}
	return besideAll(all), of
}

// A hit is of the longest that was said, wherever the pieces end.
func TestAHitIsOfTheLongest(t *testing.T) {
	const long = "beginsABCDEFGH-and-goes-on-for-long"
	for _, short := range []string{"beginsAB", "ABCDEFGH", "on-for-long"} {
		text := "x " + long + " y"
		for cut := range len(text) + 1 {
			for size := 1; size < len(text); size += 3 {
				s, of := apart(short, long)
				var got strings.Builder
				got.Write(s.Next([]byte(text[:cut])))
				for piece := range slices.Chunk([]byte(text[cut:]), size) {
					got.Write(s.Next(piece))
				}
				got.Write(s.Rest())
				if want := "x " + strings.Repeat("*", len(long)) + " y"; got.String() != want || s.HitsOfOthers() != 1 || s.OfOthers() != of[1].named() {
					t.Fatalf("%q, cut at %d, then by %d: got %q with %d hits, of the longer one: %t", short, cut, size, got.String(), s.HitsOfOthers(), s.OfOthers() == of[1].named())
				}
			}
		}
	}
}

// Also of two that the same workload got.
func TestAHitOfTheSameWorkloadIsOfTheLongest(t *testing.T) {
	const long = "beginsABCDEFGH-and-goes-on-for-long"
	of := []*Secrets{secretsFrom(long[:8]), secretsFrom(long), secretsFrom(long[6:14])}
	for _, parts := range []bool{false, true} {
		s := secretsFrom(ownSecret).NewScrubber(of...)
		if parts {
			s.AcrossParts()
		}
		if got := string(s.Last([]byte("x " + long))); got != "x "+strings.Repeat("*", len(long)) || s.OfOthers() != of[1].named() {
			t.Errorf("in parts %t: got %q, of the longest: %t", parts, got, s.OfOthers() == of[1].named())
		}
	}
}

// What is masked stays so and is counted, though it is looked for no more before more of a
// longer one came.
func TestAHitOfWhatIsRemovedBeforeItIsGivenOut(t *testing.T) {
	const long, within = "beginsABCDEFGH-and-goes-on-for-long", "ABCDEFGH"
	all, short := NewNeedles(), secretsFrom(within)
	all.Add(short)
	all.Add(secretsFrom(long))
	s := besideAll(all)
	got := string(s.Next([]byte("x " + long[:20])))
	all.Remove(short)
	got += string(s.Next([]byte("! "+long+" y"))) + string(s.Rest())
	want := "x begins********-and-g! " + strings.Repeat("*", len(long)) + " y"
	if got != want || s.HitsOfOthers() != 2 || s.OfOthers() != short.named() {
		t.Errorf("got %q with %d hits, want %q with 2", got, s.HitsOfOthers(), want)
	}
}

// longer are secrets of which a longer one begins alike, or as the whole of the first.
func longer() map[string][2]string {
	const short, more = "ABCDEFGHIJKLMNOP", "-and-goes-on-for-long-and-longer"
	return map[string][2]string{"a few": {short, short[:5] + more}, "most": {short, short[:12] + more}, "whole": {short, short + more}}
}

// Of a short secret that a pause splits no more is shown where a longer one begins alike,
// whichever came first, and whatever came and went.
func TestAPauseWithinTheShorterOfTwo(t *testing.T) {
	for name, pair := range longer() {
		for _, order := range [][2]string{{pair[0], pair[1]}, {pair[1], pair[0]}} {
			all, gone := NewNeedles(), secretsFrom("ABCDEFGHIJKL")
			all.Add(gone)
			all.Add(secretsFrom(order[0]))
			all.Add(secretsFrom(order[1]))
			all.Remove(gone)
			for at := range len(pair[0]) {
				want := pair[0][:at]
				if at >= minNeedle {
					want = ""
				}
				if got := told(besideAll(all), pair[0][:at]); got != want {
					t.Errorf("%s: a pause after %d characters: got %q, want %q", name, at, got, want)
				}
			}
		}
	}
}

// Nor does what is held back tell a guess of either: it differs by one character, from
// where on nobody guesses it.
func TestWhatIsHeldBackOfOneOfTwo(t *testing.T) {
	for name, pair := range longer() {
		for _, order := range [][2]string{{pair[0], pair[1]}, {pair[1], pair[0]}} {
			for _, form := range pair {
				search := func() *Scrubber {
					s, _ := apart(order[0], order[1])
					return s
				}
				if differs := differing(search, form); len(differs) != 1 || differs[0] < 7 {
					t.Errorf("%s: what is given out differs by the guess of the characters %v of %q, want one, from the eighth on", name, differs, form)
				}
			}
		}
	}
}
