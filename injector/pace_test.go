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

// Each search takes its time, and so the pace is that of all.
func TestThePaceIsThatOfAllSearches(t *testing.T) {
	secrets := make([]*Secrets, 5)
	for i := range secrets {
		secrets[i] = hidden(randomToken(uint64(i)))
	}
	text := strings.Repeat(randomToken(0)[:12]+`\u0`, 500)
	for others := range secrets {
		s := secrets[0].NewScrubber(secrets[1 : 1+others]...)
		before := time.Now()
		s.Next([]byte(text))
		if got, want := s.NotBefore().Sub(before), time.Duration(len(text)*(1+others))*pacePerByte; got < want {
			t.Errorf("with %d others: due after %v, want %v", others, got, want)
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
	var numbers, tokens strings.Builder
	for i := range 20000 {
		fmt.Fprintf(&numbers, "%d,%g,", i*7919, float64(i)*rand.New(r).Float64())
		if i%10 == 0 {
			fmt.Fprintf(&tokens, "token ghs_%s was revoked\n", hex.EncodeToString(random[i:i+18]))
		}
	}
	texts["numbers"], texts["tokens of its kind"] = numbers.String(), tokens.String()
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
			if all := s.looked(); int64(all.count) > freeLooks+s.join.total/freeBytes {
				t.Errorf("%s: %d close looks for %.8s…", name, all.count, secret)
			}
		}
	}
}

// A secret that an upstream shows a few times is masked, and waits for next to nothing, as
// does whatever else begins so. What comes long after it waits for nothing.
func TestASecretThatIsShownHasTheLeastPace(t *testing.T) {
	for _, shown := range []string{benchToken, benchToken[:20] + "!"} {
		s := hidden(benchToken).NewScrubber()
		before := time.Now()
		s.Next([]byte(`{"headers":{"authorization":"Bearer ` + shown + `"},"also":"` + shown + `"}`))
		after := time.Now()
		if due := s.NotBefore(); due.Before(before.Add(leastPace)) || due.After(after.Add(leastPace)) {
			t.Errorf("due %v after it came, want %v", due.Sub(before), leastPace)
		}
		for range 2 * s.goesOn() / 1000 {
			s.Next([]byte(strings.Repeat("-", 1000)))
		}
		due := s.NotBefore()
		if s.Next([]byte(strings.Repeat("-", 1000))); !s.NotBefore().Equal(due) {
			t.Error("what comes long after it waits too")
		}
	}
}

// What an agent has its upstream say after a guess takes no longer to search where the
// guess is right: nothing that is between two characters of a secret goes on for long.
func TestWhatFollowsAGuessEnds(t *testing.T) {
	secret := randomToken(7)
	secrets := hidden(secret)
	in64 := string(aligned(base64.RawStdEncoding.AppendEncode, 6, []byte(secret), 0))
	for name, c := range map[string]struct{ guess, before, more string }{
		"backslashes":       {secret[:20], ``, `\`},
		"zeros":             {secret[:20], `&#`, `0`},
		"zeros in hex":      {secret[:20], `&#x`, `0`},
		"escaped":           {secret[:20], `\`, `u005c`},
		"escaped for HTML":  {secret[:20], `&`, `amp;`},
		"escaped for a URL": {secret[:20], `%`, `25`},
		"in mail":           {secret[:20], `=`, `3D`},
		"spaces":            {in64[:20], "\n", " "},
	} {
		for _, parts := range []bool{false, true} {
			var steps [2]int
			for i, guess := range []string{c.guess, c.guess[:19] + "!"} {
				s := secrets.NewScrubber()
				if parts {
					s.AcrossParts()
				}
				s.Next([]byte(guess + c.before + strings.Repeat(c.more, 4<<10)))
				steps[i] = s.own.ways.seen
			}
			if more := steps[0] - steps[1]; more > 16*mostIdle {
				t.Errorf("%s, parts %t: %d steps more where the guess is right", name, parts, more)
			}
		}
	}
}
