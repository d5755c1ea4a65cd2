package injector

import (
	"bytes"
	"encoding/base64"
	"slices"
	"testing"
)

// masksOf is what Needles do, said the plain way.
func masksOf(text []byte, secrets []*Secrets) []byte {
	inLower := func(s []byte) []byte {
		s = bytes.Clone(s)
		for i, c := range s {
			s[i] = lower(c)
		}
		return s
	}
	out, folded := bytes.Clone(text), inLower(text)
	for _, s := range secrets {
		for _, l := range s.literals() {
			n := inLower([]byte(l))
			for from := 0; ; from++ {
				i := bytes.Index(folded[from:], n)
				if i < 0 {
					break
				}
				from += i
				blank(out, from, from+len(n))
			}
		}
	}
	return out
}

// FuzzNeedles holds the search in pieces, while secrets come and go before it, to the
// plain one.
func FuzzNeedles(f *testing.F) {
	f.Add([]byte("tokens-of-one-issuer-0001 tokens-of-one-issuer-0002"), uint8(7), uint8(0))
	f.Add([]byte("aaaaaaaaaaaaaaabaaaaaaaaabaaaabaaa"), uint8(1), uint8(3))
	f.Add([]byte(base64.URLEncoding.EncodeToString([]byte("u:"+canary))), uint8(3), uint8(1))
	f.Add([]byte("abcdefghijklmnop-abcdefgh-efghijkl"), uint8(2), uint8(8))
	values := []string{canary, "aaaaaaab", "aaabaaab", "aaaaaaaaaaaab", "tokens-of-one-issuer-0001", "tokens-of-one-issuer-0002", "tokens-of-one",
		"abcdefghijkl", "efghijklmnop", "abcdefgh", "\\\"&%=\n\n ", "abcdefghijklmnop"}
	secrets, none := make([]*Secrets, len(values)), secretsFrom("")
	for i, v := range values {
		secrets[i] = secretsFrom(v)
	}
	f.Fuzz(func(t *testing.T, text []byte, size, gone uint8) {
		all := NewNeedles()
		var left []*Secrets
		for _, one := range secrets {
			all.Add(one)
		}
		for i, one := range secrets {
			if gone>>(i%8)&1 == 1 {
				all.Remove(one)
			} else {
				left = append(left, one)
			}
		}
		want := masksOf(text, left)
		s := none.NewScrubber()
		s.Beside(all)
		if got := s.String(string(text)); got != string(want) {
			t.Fatalf("whole:\n got %q\nwant %q", got, want)
		}
		hits := s.Hits()
		var got []byte
		for rest := range slices.Chunk(text, int(size)+1) {
			got = append(got, s.Next(rest)...)
		}
		got = append(got, s.Rest()...)
		if !bytes.Equal(got, want) {
			t.Fatalf("in pieces of %d:\n got %q\nwant %q", int(size)+1, got, want)
		}
		if now := s.Hits() - hits; (now > 0) != (hits > 0) {
			t.Fatalf("in pieces of %d: got %d hits, and %d in the whole", int(size)+1, now, hits)
		}
	})
}
