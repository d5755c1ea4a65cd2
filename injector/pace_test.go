package injector

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"html"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// An agent that has a guess repeated sees the same pace whether it is right or not, as
// far as it is right: there is nothing to go on from, character by character.
func TestTheTimeOfAnAnswerTellsNoGuess(t *testing.T) {
	const secret = "ghs_16C7e42F292c6912E7710c838347Ae178B4a"
	const size = 16 << 10
	needles := NewNeedles()
	needles.Add(hidden(secret))
	searches := map[string]func() *Scrubber{
		"its own":   func() *Scrubber { return hidden(secret).NewScrubber() },
		"another's": needles.NewScrubber,
	}
	spellings := map[string]func(string) string{
		"raw":     func(s string) string { return s },
		"hex":     func(s string) string { return hex.EncodeToString([]byte(s)) },
		"base64":  func(s string) string { return base64.RawStdEncoding.EncodeToString([]byte(s)) },
		"percent": keep("", "%%%02X"),
		`all \u`:  every(`\u%04x`, units),
	}
	for search, scrubber := range searches {
		least := closeAt
		if search == "another's" {
			least = headSize
		}
		for spelling, spell := range spellings {
			if search == "another's" && (spelling == `all \u` || spelling == "percent") {
				continue // are not looked for
			}
			for known := least + least/2; known < len(secret)-1; known += 5 {
				for _, guess := range []string{secret[:known+1], secret[:known] + "Q"} {
					part := spell(guess) + " "
					text := strings.Repeat(part, size/len(part))
					s := scrubber()
					before := time.Now()
					s.Next([]byte(text))
					due := before.Add(time.Duration(len(text)) * pacePerByte)
					if s.NotBefore().Before(due) {
						t.Fatalf("%s, %s, %q: due after %v, want %d times %v", search, spelling, guess, s.NotBefore().Sub(before), len(text), pacePerByte)
					}
					s.Next([]byte("a word and no guess"))
					if s.NotBefore().Before(due) {
						t.Errorf("%s, %s, %q: what comes after it is due earlier", search, spelling, guess)
					}
				}
			}
		}
	}
}

// The same of a header, and of a message that is searched as a whole.
func TestTheTimeOfAHeaderTellsNoGuess(t *testing.T) {
	const secret = "ghs_16C7e42F292c6912E7710c838347Ae178B4a"
	for _, guess := range []string{secret[:9], secret[:8] + "Q"} {
		s := hidden(secret).NewScrubber()
		before, text := time.Now(), strings.Repeat(guess+" ", 100)
		s.String(text)
		if got := s.NotBefore().Sub(before); got < time.Duration(len(text))*pacePerByte {
			t.Errorf("%q: due after %v", guess, got)
		}
	}
}

// Ordinary answers have no pace, also those that are full of escapes, digits, or what
// other tokens begin with.
func TestAnOrdinaryAnswerHasNoPace(t *testing.T) {
	random := make([]byte, 256<<10)
	r := rand.NewChaCha8([32]byte{9})
	_, _ = r.Read(random)
	texts := map[string]string{
		"JSON":     string(answerOf(256 << 10)),
		"escaped":  strings.Repeat(`\u003cp class=\"a\"\u003e\u0026nbsp;\u00e9\/\u003c/p\u003e\n`, 4096),
		"HTML":     html.EscapeString(strings.Repeat(`<a href="/x?a=1&b=2">it's</a>`, 4096)),
		"a query":  strings.Repeat("q=%2Fa%20b%25&", 10000),
		"hex":      hex.EncodeToString(random),
		"base64":   base64.StdEncoding.EncodeToString(random),
		"bytes":    string(random),
		"its kind": strings.Repeat("a token of GitHub's begins with gho or ghp or ghs and ends in a checksum. ", 3000),
	}
	others := NewNeedles()
	for i := range 1000 {
		others.Add(hidden(fmt.Sprintf("ghs_%036d", i*i*7919)))
	}
	for name, text := range texts {
		for _, secret := range []string{"ghs_16C7e42F292c6912E7710c838347Ae178B4a", benchToken, "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"} {
			s := hidden(secret).NewScrubber()
			s.Beside(others)
			for rest := text; rest != ""; {
				n := min(32<<10, len(rest))
				s.Next([]byte(rest[:n]))
				rest = rest[n:]
			}
			if !s.NotBefore().IsZero() {
				t.Errorf("%s: %d close looks for %.8s…", name, s.looked().count, secret)
			}
		}
	}
}

// A secret that an upstream shows a few times is masked, and waits for nothing.
func TestASecretThatIsShownHasNoPace(t *testing.T) {
	s := hidden(benchToken).NewScrubber()
	s.Next([]byte(`{"headers":{"authorization":"Bearer ` + benchToken + `"},"also":"` + benchToken + `"}`))
	if s.Hits() != 2 || !s.NotBefore().IsZero() {
		t.Errorf("got %d hits, due at %v", s.Hits(), s.NotBefore())
	}
}
