package injector

import (
	"slices"
	"strings"
	"testing"
)

// What follows a whole secret at once is no part of it, though the last character of that
// could be how the first of the next is escaped.
func TestWhatFollowsAWholeSecretIsCut(t *testing.T) {
	const one, other = `-kU3vTq9LzR5mYb7\`, `-kU3vTq9LzR5aaaaaaaa`
	for _, next := range []string{one, other} {
		for n := 9; n < len(next); n++ {
			text := `data: "` + one + next[:n] + `"` + "\n\n"
			for cut := range text {
				s := secretsFrom(one).NewScrubber(secretsFrom(other))
				s.AcrossParts()
				if got := scrubbed(s, text, cut); !s.Cut() || strings.Contains(got, "kU") {
					t.Fatalf("%q cut at %d: got %q, cut: %t", text, cut, got, s.Cut())
				}
			}
		}
	}
}

// A line in which a short secret stands hundreds of times after what is the beginning of a
// long one too, as that is, is not cut for it.
func TestALineWithManyShort(t *testing.T) {
	const one = "kU3vTq9Lz"
	text := `data: "` + strings.Repeat(one+" ", 1200) + "\"\n\n"
	want := strings.ReplaceAll(text, one, strings.Repeat("*", len(one)))
	for _, size := range []int{7, 500, 32 << 10} {
		s := secretsFrom(one).NewScrubber(secretsFrom(one[:8] + longText(300)))
		s.AcrossParts()
		var got strings.Builder
		for piece := range slices.Chunk([]byte(text), size) {
			got.Write(s.Next(piece))
		}
		got.Write(s.Rest())
		if got.String() != want || s.Cut() || s.Spent() || s.Hits() != 1200 {
			t.Errorf("in pieces of %d: got %d bytes of %d with %d hits, cut: %t, spent: %t", size, got.Len(), len(text), s.Hits(), s.Cut(), s.Spent())
		}
	}
}

// What was nearly a secret counts for the pace of an answer also when the search for it is
// given up.
func TestThePaceStaysWhenASearchIsGivenUp(t *testing.T) {
	const old = "second-secret-0002"
	var l later
	own := secretsFrom("first-secret-0001")
	s := own.NewScrubber(secretsFrom(old))
	s.Watch(&l, 0)
	s.Next([]byte(strings.Repeat("second-x ", 9)))
	before := s.looked().count
	l.are(own)
	if s.Next([]byte("and more")); before == 0 || s.looked().count != before {
		t.Errorf("got %d close looks, want %d as before", s.looked().count, before)
	}
}
