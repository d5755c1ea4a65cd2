package injector

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// lengths returns how much is given out after each piece, at once and with a beat.
func lengths(s *Scrubber, pieces ...string) (all []int) {
	for _, piece := range pieces {
		all = append(all, len(s.Next([]byte(piece))), len(s.Due(s.Came())))
	}
	return all
}

// knownBy returns how many characters of a secret it is known by, as it is.
func knownBy(t *testing.T, secrets *Secrets, secret string) int {
	t.Helper()
	for _, f := range secrets.matcher().forms {
		if f.alphabet == plain && string(f.text) == secret {
			return f.part
		}
	}
	t.Fatal("the secret is in no form as it is")
	return 0
}

// An agent that has its upstream repeat what it chose, and pause, sees when it comes. It
// learns nothing by that of whether it is how a secret begins: a guess that is right is
// given out as one that is wrong, but for the one character that makes so much of it
// that nobody guesses it. From there on what is held back does not depend on what follows.
func TestWhatIsHeldBackDependsOnNoGuess(t *testing.T) {
	secrets := hidden(ascii)
	searches := map[string]struct {
		scrub func() *Scrubber
		forms map[string]spoken
		least func(form spoken) int // that a beat may show
	}{
		"own":       {func() *Scrubber { return secrets.NewScrubber() }, spokenForms(ascii), func(form spoken) int { return form.shown }},
		"another's": {func() *Scrubber { return amongOthers(ascii) }, anothersForms(), func(form spoken) int { return min(mostShown, (len(form.text)+1)/2) - 1 }},
	}
	for whose, search := range searches {
		for name, form := range search.forms {
			differs := differing(search.scrub, form.text)
			if len(differs) != 1 || differs[0] < search.least(form) {
				t.Errorf("%s, %s: what is given out differs by the guess of the characters %v of %q, want one, from %d on", whose, name, differs, form.text, search.least(form))
			}
		}
	}
}

// Nor when what is searched for changes while it is held back.
func TestWhatIsGivenUpIsHeldBackAllTheSame(t *testing.T) {
	measure := func(text string) []int {
		var l later
		own, old, all := secretsFrom(ownSecret), secretsFrom(ascii), NewNeedles()
		all.Add(own)
		all.Add(old)
		s := own.NewScrubber(old)
		s.Watch(&l, 0)
		s.Beside(all)
		got := lengths(s, text)
		l.are(own)
		return append(got, lengths(s, "!", strings.Repeat("-", 100), strings.Repeat("-", 700))...)
	}
	for i := 1; i < len(ascii); i++ {
		if i == knownBy(t, hidden(ascii), ascii) {
			continue
		}
		if right, wrong := measure(ascii[:i]), measure(ascii[:i-1]+"?"); !slices.Equal(right, wrong) {
			t.Errorf("%d characters: got %v for a right guess, %v for a wrong one", i, right, wrong)
		}
	}
}

func anothersForms() map[string]spoken {
	m := map[string]spoken{}
	for name, form := range spokenForms(ascii) {
		switch name {
		case `all \u`, "percent", "PHP": // not escaped as a whole
		default:
			m[name] = form
		}
	}
	return m
}

// differing returns of which characters of form a right guess is given out at other
// times than a wrong one, whatever comes after it.
func differing(scrub func() *Scrubber, form string) (at []int) {
	for i := range len(form) - 1 {
		wrong := byte('!')
		if form[i] == wrong {
			wrong = '?'
		}
		for _, drawn := range []string{"", strings.Repeat(`\`, 350), strings.Repeat(`\`, 700)} {
			if drawn != "" && strings.ContainsAny(form, `\%&`) {
				continue
			}
			measure := func(guess byte) []int {
				pieces := []string{"you said: " + form[:i] + drawn + string(guess), "!"}
				for range 20 {
					pieces = append(pieces, strings.Repeat("-", 49))
				}
				return lengths(scrub(), pieces...)
			}
			if !slices.Equal(measure(form[i]), measure(wrong)) {
				at = append(at, i)
				break
			}
		}
	}
	return at
}

// In a stream of events a finished line does not wait, and all of one that is not
// finished does.
func TestWhatIsHeldBackOfALine(t *testing.T) {
	for name, form := range spokenForms(ascii) {
		for i := range form.cut {
			for whose, s := range map[string]*Scrubber{"own": hidden(ascii).NewScrubber(), "another's": amongOthers(ascii)} {
				s.AcrossParts()
				if got := string(s.Next([]byte("id: 7\ndata: " + form.text[:i]))); got != "id: 7\n" || len(s.Due(s.Came())) > 0 || s.Waits() {
					t.Fatalf("%s, %s: half a line: got %q", whose, name, got)
				}
				if got := s.Next([]byte("!\n\n")); len(got) != len("data: !\n\n")+i {
					t.Fatalf("%s, %s: %d characters and a line's end: got %q", whose, name, i, got)
				}
			}
		}
	}
}

// A secret that is split by a pause shows fewer characters than are masked of a part, and
// one that is split otherwise none.
func TestABeatAtEveryOffset(t *testing.T) {
	searches := map[string]func() *Scrubber{
		"own": func() *Scrubber { return hidden(ascii).NewScrubber() }, "another's": func() *Scrubber { return amongOthers(ascii) },
		"an earlier one": func() *Scrubber { return hidden("something-else-1").NewScrubber(hidden(ascii)) },
	}
	for whose, scrub := range searches {
		forms := spokenForms(ascii)
		if whose == "another's" {
			forms = anothersForms()
		}
		for name, form := range forms {
			for at := range len(form.text) + 1 {
				shown := form.shown + form.escape
				if whose == "another's" {
					shown = max(minNeedle, mostShown) - 1
				}
				want := strings.Repeat("*", len(form.text))
				if at <= shown {
					want = form.text[:at] + want[at:]
				}
				s := scrub()
				got := told(s, "before "+form.text[:at])
				got += told(s, form.text[at:]+" after")
				got += string(s.Rest())
				text := strings.TrimSuffix(strings.TrimPrefix(got, "before "), " after")
				if text != want && (at > shown || text != strings.Repeat("*", len(form.text))) || len(got) != len(text)+len("before  after") || s.Hits() != 1 {
					t.Fatalf("%s, %s, with a beat at %d: got %q with %d hits, want %q of %q", whose, name, at, got, s.Hits(), want, form.text)
				}
			}
		}
	}
}

// Beats all the time show no more than one does.
func TestABeatAtEachOffset(t *testing.T) {
	for whose, scrub := range map[string]func() *Scrubber{"own": func() *Scrubber { return hidden(ascii).NewScrubber() }, "another's": func() *Scrubber { return amongOthers(ascii) }} {
		for name, form := range anothersForms() {
			s := scrub()
			var got strings.Builder
			for i := range len(form.text) {
				got.WriteString(told(s, form.text[i:i+1]))
			}
			got.Write(s.Rest())
			shown := strings.IndexByte(got.String(), mask)
			if shown < 0 || shown >= mostShown+len(`\u0022`) || strings.Trim(got.String()[shown:], "*") != "" || s.Hits() != 1 {
				t.Errorf("%s, %s: got %q of %q with %d hits", whose, name, got.String(), form.text, s.Hits())
			}
		}
	}
}

// What reads into the memory that it is given reads the same, and what is held back is
// in no memory that was given back.
func TestPiecesInLentMemory(t *testing.T) {
	secrets, others := hidden(ascii), NewNeedles()
	others.Add(hidden(canary))
	var text bytes.Buffer
	for name, form := range spokenForms(ascii) {
		fmt.Fprintf(&text, "%s: %s, %s\n", name, form.text, form.text[:len(form.text)/2])
	}
	want := secrets.NewScrubber().String(text.String())
	for size := 1; size < 900; size += 1 + size/3 {
		for _, room := range []int{600, 4096} {
			s, buf := secrets.NewScrubber(), make([]byte, room)
			s.Beside(others)
			var got []byte
			for rest := text.Bytes(); len(rest) > 0; {
				into := s.Room(buf)
				n := copy(into, rest[:min(size, len(rest))])
				got = append(got, s.Next(into[:n])...)
				rest = rest[n:]
			}
			s.Room(nil)
			clear(buf)
			if got = append(got, s.Rest()...); string(got) != want {
				t.Fatalf("in pieces of %d in %d bytes:\n got %q\nwant %q", size, room, got, want)
			}
		}
	}
}

// FuzzBeats holds a stream in pieces with beats between them against the same in one
// piece: no more is masked, and less only where a secret began before a beat.
func FuzzBeats(f *testing.F) {
	f.Add([]byte("you said: "+ascii+" and "+ascii[:12]+"!"), []byte{3, 0x85, 9, 0x80, 1})
	f.Add([]byte(`s3\u0063r\\u0022t`+ascii+canary), []byte{0x81})
	f.Add([]byte("aaaaaaaaaaaaaaaaaaab aaabaaab tokens-of-one-issuer-0001"), []byte{0x82, 2})
	secrets := hidden(ascii, "aaaaaaab", "aaabaaab", `\"&%=`+"\n\n ")
	all := NewNeedles()
	for _, value := range []string{canary, "tokens-of-one-issuer-0001", "abcdefgh", "aaaaaaab"} {
		all.Add(secretsFrom(value))
	}
	f.Fuzz(func(t *testing.T, text, sizes []byte) {
		if len(sizes) == 0 {
			sizes = []byte{7}
		}
		for _, beats := range []bool{false, true} {
			whole := secrets.NewScrubber()
			whole.Beside(all)
			want := whole.String(string(text))
			s := secrets.NewScrubber()
			s.Beside(all)
			buf := make([]byte, 4096)
			var got []byte
			shown := make([]bool, len(text)+1) // given out at a beat, before what came after
			for rest, i := text, 0; len(rest) > 0; i++ {
				size := sizes[i%len(sizes)]
				into := s.Room(buf)
				n := copy(into, rest[:min(int(size&0x7f)+1, len(rest))])
				got = append(got, s.Next(into[:n])...)
				rest = rest[n:]
				if beats && size&0x80 != 0 {
					from := len(got)
					got = append(got, s.Due(s.Came())...)
					for k := from; k < len(got); k++ {
						shown[k] = true
					}
				}
			}
			got = append(got, s.Rest()...)
			if len(got) != len(text) {
				t.Fatalf("got %d bytes of %d", len(got), len(text))
			}
			for i := range got {
				if got[i] != want[i] && (!shown[i] || got[i] != text[i]) {
					t.Fatalf("byte %d, with beats %t:\n got %q\nwant %q", i, beats, got, want)
				}
			}
		}
	})
}

// What is held back after a guess of another's secret ends when it does for any, however far
// before it another guess stands, whose own time ends within it.
func TestWhatIsHeldBackOfTwoGuesses(t *testing.T) {
	const secret = "kU3vTq9LzR5mYb7WcX2nHs8GdJ4fPa6E"
	others := NewNeedles()
	others.Add(secretsFrom(secret))
	seen := func(text string) (all []int) {
		s := besideAll(others)
		for i := range text {
			all = append(all, len(s.Next([]byte(text[i:i+1]))), len(s.Due(s.Came())))
		}
		return all
	}
	for apart := range 200 {
		before := secret[:20] + strings.Repeat(".", apart) + secret[:20]
		after := "." + strings.Repeat(" ", 200)
		if right, wrong := seen(before+secret[20:21]+after), seen(before+"-"+after); !slices.Equal(right, wrong) {
			t.Fatalf("%d bytes apart: a right guess\n%v\na wrong one\n%v", apart, right, wrong)
		}
	}
}

// A secret that pauses split shows no more after what can be read as an escape of how it
// begins, however long that is.
func TestBeatsAfterWhatMayBeAnEscape(t *testing.T) {
	for _, secret := range []string{"/b/a///b/aa", "/ecretOfTheOwn", "+9xYz&Q", "/secret-of-many-0123456789abcdef"} {
		part := knownBy(t, hidden(secret), secret)
		for _, before := range []string{`\`, "%", "&", "=", " "} {
			for _, length := range []int{1, 150, 200, 201, 250, 300, 700} {
				s := hidden(secret).NewScrubber()
				got := told(s, strings.Repeat(before, length))
				for i := range secret {
					got += told(s, secret[i:i+1])
				}
				got += string(s.Rest())
				if shown := strings.IndexByte(got[length:], mask); shown < 0 || shown >= part {
					t.Errorf("%q after %d times %q: got %q, want fewer than %d characters", secret, length, before, got[length:], part)
				}
			}
		}
	}
}
