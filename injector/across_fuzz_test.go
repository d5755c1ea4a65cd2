package injector

import (
	"strings"
	"testing"
)

// FuzzScrubAcrossParts holds a stream cut into pieces against the same in one.
func FuzzScrubAcrossParts(f *testing.F) {
	for _, frame := range framings() {
		f.Add([]byte(frame.before+ascii[:7]+frame.between+ascii[7:]+frame.after), uint8(3))
	}
	f.Add([]byte(`data: {"d":"s3\\\"`+"\n\ndata: \"cr\\\"t"), uint8(0))
	f.Add([]byte("data: aaaaaaaaaaaaaaaaaaaab-and aaaaaaaaaaaaaaaab\n"), uint8(9))
	secrets := hidden(ascii, "aaaaaaab", "aaabaaab", `\"&%=`+"\n\n ", strings.Repeat("a", 20)+"b")
	others := hidden(strings.Repeat("a", 20)+"b-and more", ascii[:12]+"another")
	f.Fuzz(func(t *testing.T, text []byte, size uint8) {
		read := func(size int) (string, bool) {
			s := secrets.NewScrubber(others)
			s.AcrossParts()
			var got []byte
			for rest := text; len(rest) > 0; {
				n := min(size, len(rest))
				got = append(got, s.Next(rest[:n])...)
				rest = rest[n:]
			}
			return string(append(got, s.Rest()...)), s.Cut()
		}
		want, cut := read(len(text) + 1)
		got, _ := read(int(size) + 1)
		if got != want || len(got) != len(text) && !cut {
			t.Fatalf("in pieces of %d:\n got %q\nwant %q", int(size)+1, got, want)
		}
		for i := range len(got) {
			if got[i] != text[i] && got[i] != mask {
				t.Fatalf("byte %d: got %q of %q", i, got[i], text[i])
			}
		}
	})
}
