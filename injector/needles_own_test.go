package injector

import (
	"testing"
)

// Where all that an upstream got is the answer's own, it is not searched for again.
func TestNoSearchForWhatIsSearchedAlready(t *testing.T) {
	all := NewNeedles()
	own, other := secretsFrom(ownSecret), secretsFrom("other-secret-0002")
	all.Add(own)
	all.Add(other)
	s := own.NewScrubber(other)
	s.Beside(all)
	text := []byte("data: " + ownSecret + " other-secret-0002\n\n")
	next := func() { s.Next(text); s.Due(s.Came()) }
	n := testing.AllocsPerRun(100, next)
	if n != 0 || s.beside.found != nil {
		t.Errorf("got %v allocations, and a search: %v", n, s.beside.found != nil)
	}
	all.Add(secretsFrom("third-secret-0003"))
	before := s.HitsOfOthers()
	if got := told(s, "third-secret-0003 "); got != "***************** " || s.HitsOfOthers() != before+1 {
		t.Errorf("got %q with %d hits more", got, s.HitsOfOthers()-before)
	}
	text = []byte("data: nothing of it\n\n")
	if n := testing.AllocsPerRun(100, next); n != 0 {
		t.Errorf("with others: got %v allocations for a piece, want none", n)
	}
}

// What the own search gives up is looked for among the others' from then on.
func TestWhatTheOwnSearchGivesUpIsFoundBeside(t *testing.T) {
	var l later
	own, old := secretsFrom(ownSecret), secretsFrom("earlier-secret-0002")
	all := NewNeedles()
	all.Add(own)
	all.Add(old)
	s := own.NewScrubber(old)
	s.Watch(&l, 0)
	s.Beside(all)
	for _, others := range []int{1, 2} {
		if got := told(s, "earlier-secret-0002 "); got != "******************* " || s.HitsOfOthers() != others {
			t.Errorf("got %q with %d hits of others, want %d", got, s.HitsOfOthers(), others)
		}
		if s.Hits() != others || s.OfOthers() != old.named() {
			t.Errorf("got %d hits, want %d, the first of what is older: %v", s.Hits(), others, s.OfOthers() == old.named())
		}
		l.are(own)
	}
}

// It may be given up when half of it was said, and is found all the same.
func TestWhatTheOwnSearchGivesUpHalfway(t *testing.T) {
	const text = "and earlier-secret-0002 or earliest-secret-0003, too"
	const want = "and ******************* or ********************, too"
	for cut := range text {
		var l later
		own, old, older := secretsFrom(ownSecret), secretsFrom("earlier-secret-0002"), secretsFrom("earliest-secret-0003")
		all := NewNeedles()
		for _, one := range []*Secrets{own, old, older} {
			all.Add(one)
		}
		s := own.NewScrubber(old, older)
		s.Watch(&l, 0)
		s.Beside(all)
		got := string(s.Next([]byte(text[:cut])))
		l.are(own)
		got += scrubbed(s, text[cut:])
		if got != want || s.HitsOfOthers() != 2 {
			t.Fatalf("cut at %d: got %q with %d hits of others, want %q with 2", cut, got, s.HitsOfOthers(), want)
		}
	}
}
