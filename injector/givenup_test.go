package injector

import (
	"strings"
	"testing"
)

// What is held back of one secret stays so when the search for a shorter one is given up.
func TestWhatIsGivenUpReleasesNoOther(t *testing.T) {
	const other = "otherABCDEFGHIJKLMNOP"
	long := longText(600) + other[:12] + longText(700)[650:]
	for cut := 650; cut < len(long)-1; cut++ {
		var l later
		own, old := secretsFrom(long), secretsFrom(other)
		s := own.NewScrubber(old)
		s.Watch(&l, 0)
		got := told(s, long[:cut])
		l.are(own)
		got += told(s, long[cut:cut+1])
		got += told(s, long[cut+1:]) + string(s.Rest())
		if want := strings.Repeat("*", len(long)); got != want {
			t.Fatalf("given up after %d bytes: got %q", cut, got)
		}
	}
}

// A hit of what is given up is told as its own.
func TestAHitOfWhatIsGivenUpIsOfThat(t *testing.T) {
	one, two := secretsFrom("first-secret-0001"), secretsFrom("second-secret-that-was-before-0002")
	var l later
	s := one.NewScrubber(two)
	s.Watch(&l, 0)
	s.AcrossParts()
	s.Next([]byte("data: second-secret-that-was-bXYZ"))
	l.are(one)
	if s.Next([]byte("\n\n")); s.HitsOfOthers() != 1 || s.OfOthers() != two {
		t.Errorf("got %d hits, of what was given up: %t", s.HitsOfOthers(), s.OfOthers() == two)
	}
}
