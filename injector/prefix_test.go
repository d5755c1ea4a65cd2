package injector

import (
	"strings"
	"testing"
)

// Another's secret that a longer text begins with, as its own escaped form may be, is
// masked where an answer ends or pauses after it.
func TestAnothersSecretThatMayGoOn(t *testing.T) {
	for _, set := range [][]string{{"abcdefghij%"}, {"abcdefg&"}, {"token-of", "token-of-one-that-is-much-longer-than-that"}} {
		all := NewNeedles()
		for _, v := range set {
			all.Add(secretsFrom(v))
		}
		text := "it is: " + set[0]
		want := "it is: " + strings.Repeat("*", len(set[0]))
		for how, search := range map[string]func(s *Scrubber) string{
			"last":    func(s *Scrubber) string { return inTurn(s.Last([]byte(text))) + inTurn(s.Rest()) },
			"rest":    func(s *Scrubber) string { return inTurn(s.Next([]byte(text))) + inTurn(s.Rest()) },
			"message": func(s *Scrubber) string { return string(s.Message([]byte(text))) },
			"beat":    func(s *Scrubber) string { return told(s, text) + string(s.Rest()) },
			"bytes": func(s *Scrubber) (got string) {
				for i := range text {
					got += string(s.Next([]byte(text[i : i+1])))
				}
				return got + inTurn(s.Due(s.Came())) + inTurn(s.Rest())
			},
			"the last byte": func(s *Scrubber) (got string) {
				for i := range len(text) - 1 {
					got += string(s.Next([]byte(text[i : i+1])))
				}
				return got + inTurn(s.Last([]byte(text[len(text)-1:]))) + inTurn(s.Rest())
			},
		} {
			for _, parts := range []bool{false, true} {
				s := hidden("own-secret-1234").NewScrubber()
				s.Beside(all)
				if parts {
					s.AcrossParts()
				}
				got := search(s)
				if got != want || s.Hits() != 1 {
					t.Errorf("%q, %s, parts %t: got %q with %d hits", set[0], how, parts, got, s.Hits())
				}
			}
		}
	}
}

// inTurn copies what was given out, before the next call, which may be into the same memory.
func inTurn(b []byte) string { return string(b) }
