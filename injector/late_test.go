package injector

import (
	"fmt"
	"strings"
	"testing"
)

// later are secrets that come and go.
type later struct {
	all   []*Secrets
	count uint64
}

func (l *later) Since(seen uint64) ([]*Secrets, uint64) {
	if seen == l.count {
		return nil, seen
	}
	return l.all, l.count
}

func (l *later) are(all ...*Secrets) {
	l.all = all
	l.count++
}

// An answer that goes on is searched for what became known since it began, at
// every cut.
func TestAScrubberLearnsOfLaterSecrets(t *testing.T) {
	one, two := secretsFrom("first-secret-0001"), secretsFrom("second-secret-0002")
	const before, after = "a second-secret-0002 b ", "first-secret-0001 c second-secret-0002 d"
	const want = before + "***************** c ****************** d"
	for cut := range after {
		var l later
		s := one.NewScrubber()
		s.Watch(&l, 0)
		got := string(s.Next([]byte(before)))
		l.are(one, two)
		got += string(s.Next([]byte(after[:cut])))
		got += string(s.Next([]byte(after[cut:])))
		got += string(s.Rest())
		if got != want || s.Hits() != 2 {
			t.Fatalf("cut at %d: got %q with %d hits, want %q with 2", cut, got, s.Hits(), want)
		}
	}
	var l later
	s := one.NewScrubber()
	s.Watch(&l, 0)
	l.are(two)
	if got := s.String("first-secret-0001 second-secret-0002"); strings.Contains(got, "secret") || s.Hits() != 2 {
		t.Errorf("whole: got %q with %d hits", got, s.Hits())
	}
}

// A stream that outlives many credentials looks for no more than are held, its own
// among them, loses no byte on the way and forgets no hit.
func TestAScrubberForgetsWhatIsGivenUp(t *testing.T) {
	var l later
	own := secretsFrom("stream-secret-own")
	s := own.NewScrubber()
	s.Watch(&l, 0)
	var got, want strings.Builder
	held := []*Secrets{}
	for i := range 100 {
		text := fmt.Sprintf("passing-secret-%03d", i)
		held = append(held, secretsFrom(text))
		held = held[max(0, len(held)-4):]
		l.are(held...)
		got.Write(s.Next([]byte(text + " stream-secret-own passing-secret-"))) // ends as each of them begins
		want.WriteString(strings.Repeat("*", len(text)) + " ***************** passing-secret-")
		if n := len(s.others); n > 4 {
			t.Fatalf("after %d: got %d searches beside the own one, want at most 4", i, n)
		}
	}
	got.Write(s.Rest())
	if got.String() != want.String() || s.Hits() != 200 {
		t.Errorf("got %d hits, want 200, in %q", s.Hits(), got.String())
	}
}

func TestLookingForLaterSecretsAllocatesNothing(t *testing.T) {
	var l later
	s := secretsFrom("first-secret-0001").NewScrubber()
	s.Watch(&l, 0)
	piece := []byte("data: nothing of it\n\n")
	s.Next(piece)
	if n := testing.AllocsPerRun(100, func() { s.Next(piece) }); n != 0 {
		t.Errorf("got %v allocations for a piece, want none", n)
	}
}

// What became known meanwhile is followed over the parts of a stream as well.
func TestALaterSecretIsFollowedOverParts(t *testing.T) {
	const late = "second-secret-that-came-later-0002"
	var l later
	s := secretsFrom("first-secret-0001").NewScrubber()
	s.Watch(&l, 0)
	s.AcrossParts()
	got := string(s.Next([]byte("data: {\"delta\":\"hello\"}\n\n")))
	l.are(secretsFrom(late))
	for i := 0; i < len(late); i += 5 {
		got += string(s.Next([]byte("data: {\"delta\":\"" + late[i:min(i+5, len(late))] + "\"}\n\n")))
	}
	got += string(s.Rest())
	said := strings.NewReplacer("data: {\"delta\":\"", "", "\"}\n\n", "").Replace(got)
	if said != "hello"+late[:15] || !s.Cut() || s.HitsOfOthers() != 1 {
		t.Errorf("got %q, want no more than the beginning of %q", said, late)
	}
}

// What a stream says of a secret that is given up before the line is over stays unsaid.
func TestAStreamIsCutThoughItsSecretIsGivenUp(t *testing.T) {
	one, two := secretsFrom("first-secret-0001"), secretsFrom("second-secret-that-was-before-0002")
	var l later
	s := one.NewScrubber(two)
	s.Watch(&l, 0)
	s.AcrossParts()
	got := string(s.Next([]byte("data: second-secret-that-was-bXYZ")))
	l.are(one)
	got += string(s.Next([]byte("\n\n"))) + "|"
	if got += string(s.Rest()); got != "|" || !s.Cut() || s.HitsOfOthers() != 1 {
		t.Errorf("got %q with %d hits, cut: %t", got, s.HitsOfOthers(), s.Cut())
	}
}

// Nor does who has a guess said, has the secret given up, and then ends the line, learn by
// the cut whether the guess was right.
func TestAGuessOfWhatIsGivenUpTellsNothing(t *testing.T) {
	const secret = "second-secret-that-was-before-0002"
	var l later
	one, two := secretsFrom("first-secret-0001"), secretsFrom(secret)
	for _, beside := range []bool{false, true} {
		for _, guess := range []string{secret[:24], secret[:23] + "X"} {
			s := one.NewScrubber(two)
			if beside {
				all := NewNeedles()
				all.Add(two)
				s.Beside(all)
			}
			s.Watch(&l, l.count)
			s.AcrossParts()
			got := string(s.Next([]byte("data: " + guess)))
			l.are(one)
			got += string(s.Next([]byte("!\n\n"))) + "|"
			if got += string(s.Rest()); got != "|" || !s.Cut() || s.HitsOfOthers() != 1 {
				t.Errorf("%q: got %q with %d hits, cut: %t", guess, got, s.HitsOfOthers(), s.Cut())
			}
		}
	}
}
