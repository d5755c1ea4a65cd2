package injector

import (
	"bytes"
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
	if s.Next([]byte("\n\n")); s.HitsOfOthers() != 1 || s.OfOthers() != two.named() {
		t.Errorf("got %d hits of %q", s.HitsOfOthers(), s.OfOthers())
	}
}

// FuzzLateSecrets has what is searched for change between pieces and beats: of what is a
// secret all the while no more is shown than its beginning, before a beat, and no byte is
// lost or another.
func FuzzLateSecrets(f *testing.F) {
	long := longText(120)
	values := []string{long, long[40:60] + "-and-another-end", long[:30] + "-as-it-begins", "0123456789abcdef0123", long[90:] + "-longer-than-it"}
	f.Add([]byte("you said: "+long+" and "+values[1]+long[:80]), []byte{0x83, 0x42, 0x91, 7, 0xff})
	f.Add([]byte(long+"!"+values[4][:20]+long+values[2]), []byte{0xc1, 0x05, 0xe9})
	secrets, all := make([]*Secrets, len(values)), NewNeedles()
	for i, value := range values {
		secrets[i] = secretsFrom(value)
		all.Add(secrets[i])
	}
	f.Fuzz(func(t *testing.T, text, steps []byte) {
		var l later
		s := secrets[0].NewScrubber(secrets[1], secrets[2])
		s.Watch(&l, 0)
		s.Beside(all)
		var got []byte
		beat := make([]bool, len(text)) // given out at a beat
		for rest, i := text, 0; len(rest) > 0; i++ {
			step := byte(9)
			if len(steps) > 0 {
				step = steps[i%len(steps)]
			}
			if step&0x40 != 0 {
				now := []*Secrets{secrets[0]}
				for k := range values[1:] {
					if step>>k&1 != 0 {
						now = append(now, secrets[1+k])
					}
				}
				l.are(now...)
			}
			n := min(len(rest), 1+int(step&0x1f))
			got = append(got, s.Next(rest[:n])...)
			rest = rest[n:]
			if step&0x80 != 0 {
				for _, c := range s.Due(s.Came()) {
					beat[len(got)] = true
					got = append(got, c)
				}
			}
		}
		if got = append(got, s.Rest()...); len(got) != len(text) {
			t.Fatalf("got %d bytes of %d", len(got), len(text))
		}
		for i := range got {
			if got[i] != text[i] && got[i] != mask {
				t.Fatalf("byte %d: got %q of %q", i, got[i], text[i])
			}
		}
		for _, value := range values {
			for at := range text {
				for i := 0; bytes.HasPrefix(text[at:], []byte(value)) && i < len(value); i++ {
					if got[at+i] == text[at+i] && (i >= mostShown || !beat[at+i]) {
						t.Fatalf("%q at %d shows its character %d: got %q", value, at, i, got)
					}
				}
			}
		}
	})
}

// A secret that is whole is no beginning of another for which the search is given up.
func TestWhatIsWholeIsNotCutWhenAnotherIsGivenUp(t *testing.T) {
	const one = "kU3vTq9LzR5mYb7W"
	var l later
	own := secretsFrom(one)
	s := own.NewScrubber(secretsFrom(one[:12] + "-and-another-end"))
	s.Watch(&l, 0)
	s.AcrossParts()
	got := string(s.Next([]byte(`data: "` + one + " and")))
	l.are(own)
	got += string(s.Next([]byte(" more\"\n\n")))
	if want := `data: "` + strings.Repeat("*", len(one)) + " and more\"\n\n"; got != want || s.Cut() {
		t.Errorf("got %q, cut: %t, want %q", got, s.Cut(), want)
	}
}
