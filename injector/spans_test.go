package injector

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"
)

// What several searches find is masked, in whatever order it comes, and looked at only
// where something of it is given out.
func TestSpans(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		var s spans
		want, got, masked := bytes.Repeat([]byte("."), 1000), []byte(nil), 0
		for came := 0; came < len(want); {
			n := min(len(want)-came, 1+r.IntN(60))
			for range r.IntN(3) {
				var found []span
				for range r.IntN(4) {
					from := max(len(got), came-r.IntN(200))
					to := from + r.IntN(came+n-from+1)
					found = append(found, span{int64(from), int64(to)})
					blank(want, from, to)
				}
				s.add(found)
			}
			came += n
			text := bytes.Repeat([]byte("."), r.IntN(came-len(got)+1))
			at := int64(len(got))
			looked := s.mask(text, at)
			got = append(got, text...)
			if masked = bytes.Count(text, []byte{mask}); looked > masked+2 {
				t.Fatalf("looked at %d for %d bytes masked", looked, masked)
			}
			if !slices.IsSortedFunc(s, func(a, b span) int { return int(a.from - b.to) }) {
				t.Fatalf("got %v", s)
			}
		}
		rest := bytes.Repeat([]byte("."), len(want)-len(got))
		s.mask(rest, int64(len(got)))
		if got = append(got, rest...); !bytes.Equal(got, want) || len(s) > 0 {
			t.Fatalf("got  %s\nwant %s", got, want)
		}
	}
}
