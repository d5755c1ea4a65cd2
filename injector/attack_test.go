package injector

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// shown is all that an agent sees of a stream: with each piece, how much it is given,
// which bytes of that are masked, and whether the answer ends with it.
func shown(s *Scrubber, text string, ends ...int) string {
	s.AcrossParts()
	var b strings.Builder
	at := 0
	see := func(out []byte) {
		fmt.Fprintf(&b, "%d:", len(out))
		for i, c := range out {
			if c != text[at+i] {
				fmt.Fprintf(&b, " %d", i)
			}
		}
		at += len(out)
		fmt.Fprintf(&b, ",%t\n", s.Cut())
	}
	from := 0
	for _, end := range append(slices.Clone(ends), len(text)) {
		see(s.Next([]byte(text[from:end])))
		from = end
	}
	see(s.Rest())
	return b.String()
}

// guesser is an agent whose upstream says what it is told to say, before and after the
// agent's guesses, which are one character longer than what it knows.
type guesser struct {
	search   func() *Scrubber
	text     string // the form of the secret which it guesses
	alphabet string
	before   string
	after    string
	parts    []int // where in the text the parts before the last end
	whole    bool  // the stream comes in one piece
}

// guesses are the character that comes after the first known ones, and every fourth other.
func (g *guesser) guesses(known int) []byte {
	all := []byte{g.text[known]}
	for i := range len(g.alphabet) {
		if c := g.alphabet[i]; i%4 == known%4 && c != g.text[known] {
			all = append(all, c)
		}
	}
	return all
}

// next returns which characters look different from most others, as those that come
// after the first known ones.
func (g *guesser) next(known int) []byte {
	seen := map[string][]byte{}
	guesses := g.guesses(known)
	for _, c := range guesses {
		guess, from := "", 0
		for _, end := range g.parts {
			guess += `data: {"a":"` + g.text[from:end] + "\"}\n\n"
			from = end
		}
		guess += g.before + g.text[from:known] + string(c)
		all := shown(g.search(), guess+g.after)
		for end := len(guess) - 2; end < len(guess)+3 && !g.whole; end++ { // wherever its pieces end
			all += shown(g.search(), guess+g.after, end)
		}
		seen[all] = append(seen[all], c)
	}
	var told []byte
	for _, alike := range seen {
		if 2*len(alike) < len(guesses) {
			told = append(told, alike...)
		}
	}
	return told
}

const (
	base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	base16 = "0123456789abcdef"
)

// attacked are secrets of which an agent may know what is common to their kind.
func attacked() map[string]string {
	return map[string]string{
		"GitHub":   randomToken(7),
		"AWS":      "IQoJb3JpZ2luX2VjEHwaCXVzLWVhc3QtMSJHMEUCIQD" + longText(300),
		"JWT":      base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"ES256","kid":"1"}`)) + "." + longText(120) + "." + longText(200)[110:196],
		"hex":      hex.EncodeToString([]byte(longText(24))),
		"password": longText(16),
	}
}

// surroundings are where a guess may stand. % stands for it.
func surroundings() map[string]string {
	return map[string]string{
		"an event":          "data: %\n\ndata: more\n\n",
		"a string":          `data: {"a":["%","more"]}` + "\n\ndata: more\n\n",
		"a text":            `data: {"a":["some % text","more"]}` + "\n\ndata: more\n\n",
		"a text in a text":  `data: {"a":"{\"b\":\"%\"}"}` + "\n\ndata: more\n\n",
		"a line that stays": `data: some % text`,
		"before an escape":  `data: {"a":["%\n","more"]}` + "\n\ndata: more\n\n",
	}
}

// What an agent has its upstream say tells it nothing of a secret beyond the bound: no
// guess of one more character looks different from the others, in whatever form, wherever
// its parts and pieces end.
func TestAnEchoTellsNothingBeyondTheBound(t *testing.T) {
	t.Parallel()
	for kind, secret := range attacked() {
		forms := map[string][2]string{
			"raw":    {secret, base62 + "-_."},
			"hex":    {hex.EncodeToString([]byte(secret)), base16},
			"base64": {string(aligned(base64.RawStdEncoding.AppendEncode, 6, []byte(secret), 0)), base62 + "+/"},
		}
		for name, form := range forms {
			text := form[0]
			b := boundsOf([]byte(secret), 0).of(len(text), len(secret))
			for where, around := range surroundings() {
				before, after, _ := strings.Cut(around, "%")
				own, earlier := hidden(secret), hidden("another-secret-of-it", secret[:len(secret)/3]+"-and-another-end")
				g := &guesser{search: func() *Scrubber { return own.NewScrubber(earlier) }, text: text, alphabet: form[1], before: before, after: after}
				step := 1 + (len(text)-b.cut)/6
				for known := b.cut; known < len(text)-1; known += step {
					g.parts = nil
					if told := g.next(known); len(told) > 0 {
						t.Fatalf("%s, %s in %s: after %d characters the echo tells %q, and %q comes next", kind, name, where, known, told, text[known])
					}
					if strings.Contains(before, "some") {
						continue // no part goes on there
					}
					g.parts = []int{3, b.cut - 1}
					if told := g.next(known); len(told) > 0 {
						t.Fatalf("%s, %s in parts, the last in %s: after %d characters the echo tells %q, and %q comes next", kind, name, where, known, told, text[known])
					}
				}
			}
		}
	}
}

// An agent that knows all but the last character of the bound can find that one out: the
// bound is where it is said to be.
func TestAnEchoTellsTheBound(t *testing.T) {
	for kind, secret := range attacked() {
		b := boundsOf([]byte(secret), 0)
		g := &guesser{search: func() *Scrubber { return hidden(secret).NewScrubber() }, text: secret, alphabet: base62 + "-_.", before: `data: {"a":["`, after: `x"]}` + "\n\n", whole: true}
		if told := g.next(b.cut - 1); string(told) != secret[b.cut-1:b.cut] {
			t.Errorf("%s: got %q, want %q", kind, told, secret[b.cut-1])
		}
	}
}

// FuzzAnEchoTellsNothing holds two texts against one another that say the beginning of a
// secret and go on in two ways: no agent is to see which it is.
func FuzzAnEchoTellsNothing(f *testing.F) {
	secret := randomToken(7)
	in16 := hex.EncodeToString([]byte(secret))
	b := boundsOf([]byte(secret), 0)
	f.Add(`data: {"a":["`, secret[20:30], "0123456789", `","b"]}`+"\n\nmore", uint8(8), uint8(20), false)
	f.Add("data: ", in16[24:30], `\u0000`, "\n\n", uint8(0), uint8(33), true)
	f.Add(`"g","h","`, `"`, `\`, `"}`, uint8(200), uint8(3), false)
	f.Add(secret, " ", `"`, secret+"\n", uint8(1), uint8(100), false)
	secrets := hidden(secret)
	f.Fuzz(func(t *testing.T, before, one, other, after string, more, size uint8, hexed bool) {
		said := secret[:min(len(secret)-1, b.cut+int(more)%len(secret))]
		if hexed {
			said = in16[:min(len(in16)-1, b.of(len(in16), len(secret)).cut+int(more)%len(in16))]
		}
		if len(one) != len(other) || strings.ContainsAny(one+other, "\r\n") {
			return
		}
		var ends []int
		for end := int(size) + 1; end < len(before+said+one+after); end += int(size) + 1 {
			ends = append(ends, end)
		}
		first, second := shown(secrets.NewScrubber(), before+said+one+after, ends...), shown(secrets.NewScrubber(), before+said+other+after, ends...)
		if first != second && !strings.Contains(first+second, " ") { // none is whole
			t.Errorf("%q, then %q or %q, then %q, with ends at %v:\n%s\n%s", before+said, one, other, after, ends, first, second)
		}
	})
}
