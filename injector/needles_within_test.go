package injector

import (
	"testing"
)

// A secret within the first bytes of a longer one is masked though a pause follows it, of
// which so few bytes of the longer one tell nothing.
func TestAnothersSecretWithinTheBeginningOfALongerOne(t *testing.T) {
	const long, within = "beginsABCDEFGH-and-goes-on-for-long", "ABCDEFGH"
	for _, size := range []int{1, 2, 5, len(long)} {
		s := amongOthers(long, within)
		var got []byte
		for text := []byte("x " + long[:14]); len(text) > 0; {
			n := min(size, len(text))
			got = append(got, s.Next(text[:n])...)
			text = text[n:]
		}
		got = append(got, s.Due(s.Came())...)
		if want := "x begins********"; string(got) != want {
			t.Errorf("in pieces of %d: got %q, want %q", size, got, want)
		}
	}
}

// Of one that begins there no more is shown than of any.
func TestAnothersSecretThatBeginsWithinTheBeginningOfALongerOne(t *testing.T) {
	const long, within = "bABCDEFGHIJKLMNO-and-goes-on-for-long", "ABCDEFGHIJKLMNO+"
	for _, size := range []int{1, 2, 5, len(long)} {
		s := amongOthers(long, within)
		var got []byte
		for text := []byte("x " + long[:12]); len(text) > 0; {
			n := min(size, len(text))
			got = append(got, s.Next(text[:n])...)
			text = text[n:]
		}
		got = append(got, s.Due(s.Came())...)
		if want := "x b"; string(got) != want {
			t.Errorf("in pieces of %d: got %q, want %q", size, got, want)
		}
	}
}
