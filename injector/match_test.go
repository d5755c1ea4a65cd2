package injector

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// walk writes one form of a secret as the edges describe it, at random, or
// nothing when it loses its way: some escapes have no end for some characters.
func walk(r *rand.Rand, m *matcher, form uint8) string {
	f := &m.forms[form]
	var b strings.Builder
	var e edges
	for p := (place{form: form}); int(p.pos) < len(f.text); {
		m.ways(p, &e)
		if len(e.list) == 0 || b.Len() > int(m.limit) {
			return ""
		}
		way := e.list[r.IntN(len(e.list))]
		if r.IntN(2) == 0 && p.at == rest {
			way = e.list[0] // the character itself
		}
		c := way.b
		if way.fold && 'a' <= c && c <= 'z' && r.IntN(2) == 0 {
			c &^= 0x20
		}
		b.WriteByte(c)
		p = way.to
	}
	return b.String()
}

// What the edges describe is found, so the filter passes all of it.
func TestScrubEverySpelling(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for kind, secret := range secretsOfEveryKind(r) {
		secrets := hidden(secret)
		m := secrets.matcher()
		walked := 0
		for i := range 800 {
			form := uint8(i % len(m.forms))
			text := walk(r, m, form)
			if text == "" {
				continue
			}
			walked++
			all := " " + text + " "
			s := secrets.NewScrubber()
			got := scrubbed(s, all, r.IntN(len(all)))
			if strings.Trim(got[1:len(got)-1], "*") != "" || len(got) != len(all) {
				t.Fatalf("%s: form %q as\n%q came through as\n%q", kind, m.forms[form].text, all, got)
			}
		}
		if walked < 20 {
			t.Errorf("%s: only %d walks came to an end", kind, walked)
		}
	}
}

// adversaries are what makes a matcher that goes back over its input slow.
func adversaries(secret string) map[string]string {
	half := secret[:len(secret)/2]
	encoded := base64.StdEncoding.EncodeToString([]byte(secret))
	var escaped strings.Builder
	for _, c := range []byte(half) {
		fmt.Fprintf(&escaped, `\\\\u00%02x`, c)
	}
	return map[string]string{
		"backslashes":          `\`,
		"the first half":       half,
		"all but the last":     secret[:len(secret)-1],
		"the first byte":       secret[:1],
		"first and backslash":  secret[:1] + `\\\\`,
		"escaped first half":   escaped.String(),
		"percent":              "%25",
		"ampersands":           "&amp;",
		"ampersands in JSON":   `\u0026amp;`,
		"zeros":                half + "&#000000000000",
		"half of base64":       encoded[:len(encoded)/2],
		"half and its breaks":  lines(encoded[:len(encoded)/2], 1, `\\r\\n`),
		"soft breaks":          half + "=\r\n",
		"indented":             encoded[:4] + "\n                    ",
		"unicode":              `\u00`,
		"backslash and others": `\%=&`,
	}
}

// The work for a byte does not grow with what came before it, nor with the
// secret, as long as the secret does not repeat itself.
func TestScrubIsLinear(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	random := make([]byte, 1500)
	for i := range random {
		random[i] = byte(r.Uint32())
	}
	token := base64.RawURLEncoding.EncodeToString(random)
	for _, c := range []struct {
		secret string
		most   int // edges a byte
	}{
		{token[:40], 60},
		{token, 60}, // no more, though it is fifty times as long
		{`"` + token[:40] + `\`, 60},
		{strings.Repeat(`\`, 20), 3000}, // bounded by the secret alone
		{strings.Repeat("a", 100), 1500},
	} {
		secrets := hidden(c.secret)
		for name, part := range adversaries(c.secret) {
			text := []byte(strings.Repeat(part, 1+1000/len(part)))
			s := secrets.NewScrubber()
			for i := 0; i < len(text); i += 7 {
				s.Next(text[i:min(i+7, len(text))])
				if behind(s) > int(s.own.matcher.limit)+1 {
					t.Fatalf("%s: %d bytes held back, want at most %d", name, behind(s), s.own.matcher.limit+1)
				}
			}
			if each := s.own.ways.seen / len(text); each > c.most {
				t.Errorf("%s of %.20q...: %d edges a byte, want at most %d", name, c.secret, each, c.most)
			}
		}
	}
}

// innocent is text of every kind that has no secret in it.
func innocent(r *rand.Rand) string {
	words := []string{
		`{"a":"b"}`, `\u00e9`, `\\u0026amp;`, "%2F%25", "&amp;&#39;", "=\r\n", "data: ", "\n\n", `\\\"`, "é中😀", "1//0g", "MS8vMGc",
		"\n", `\r\n`, "&#x27;", "=3D", "\x00\xff", `\x2f`, "a b+c", "3 ",
	}
	var b strings.Builder
	for range 1 + r.IntN(60) {
		b.WriteString(words[r.IntN(len(words))])
	}
	return b.String()
}

func TestScrubLeavesTheRest(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	secrets := hidden("1//0gAbCdEfGh+IjKlMnOp==", `&é"/\secret`, "hunter22")
	for range 1000 {
		text := innocent(r)
		s := secrets.NewScrubber()
		if got := scrubbed(s, text, r.IntN(len(text)+1)); got != text || s.Hits() != 0 {
			t.Fatalf("got  %q, %d hits\nwant %q", got, s.Hits(), text)
		}
		s = secrets.NewScrubber()
		s.AcrossParts()
		if event := text + "}\n\n"; string(s.Next([]byte(event))) != event {
			t.Fatalf("%q is late", event)
		}
	}
}

// An event that ends within what may be a secret is given out all the same, or cuts the
// answer at once.
func TestScrubNeverDelaysAnEvent(t *testing.T) {
	for kind, secret := range secretsOfEveryKind(rand.New(rand.NewPCG(9, 10))) {
		secrets := hidden(secret)
		for name, encode := range coders() {
			c := encode(secret)
			for _, n := range []int{1, len(c.text) / 2, len(c.text) - 3} {
				for _, end := range []string{"\n\n", "\r\n\r\n", "\r\r"} {
					event := "data: " + c.text[:n] + end
					s := secrets.NewScrubber()
					s.AcrossParts()
					if got := s.Next([]byte(event)); len(got) != len(event) && !(s.Cut() && n > 1) {
						t.Fatalf("%s of a secret, %s: %q of %q is late", name, kind, event[len(got):], event)
					}
				}
			}
		}
	}
}

func TestScrubKeepsJSONValid(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	secrets := secretsOfEveryKind(r)
	secrets["ends in a backslash"] = `abc"def\`
	secrets["begins with one"] = `\"abcdef`
	secrets["backslashes within"] = `a\\\b\\c\d`
	for kind, secret := range secrets {
		for depth, text := 1, `say "`+secret+`"\ `+html.EscapeString(secret)+"\n"; depth < 5; depth++ {
			b, _ := json.Marshal(map[string]string{"text": text})
			text = string(b)
			s := hidden(secret).NewScrubber()
			got := scrubbed(s, text, r.IntN(len(text)))
			for range depth {
				var inner map[string]string
				if err := json.Unmarshal([]byte(got), &inner); err != nil {
					t.Fatalf("%s, JSON %d deep: %v in %q", kind, depth, err, got)
				}
				got = inner["text"]
			}
			if s.Hits() == 0 || !strings.HasSuffix(got, "*\n") {
				t.Errorf("%s, JSON %d deep: got %q, %d hits", kind, depth, got, s.Hits())
			}
		}
	}
}

// A reading that is drawn out beyond every encoding gives out its beginning and
// still masks its end.
func TestScrubHoldsBackNoMoreThanItsLimit(t *testing.T) {
	s := hidden(canary).NewScrubber()
	limit := int(s.own.matcher.limit)
	text := canary[:4]
	for _, r := range canary[4 : len(canary)-4] {
		text += "&#" + strings.Repeat("0", mostIdle-10) + fmt.Sprintf("%d;", r)
	}
	text += canary[len(canary)-4:]
	var got []byte
	for i := range len(text) {
		got = append(got, s.Next([]byte{text[i]})...)
		if behind := i + 1 - len(got); behind > limit+1 {
			t.Fatalf("%d bytes held back, want at most %d", behind, limit+1)
		}
	}
	got = append(got, s.Rest()...)
	if len(got) != len(text) || !bytes.HasSuffix(got, bytes.Repeat([]byte{mask}, 4)) {
		t.Errorf("got %q..., want the end masked", got[len(got)-40:])
	}
}

// FuzzScrubEncoded takes any secret through any encoding, cut anywhere.
func FuzzScrubEncoded(f *testing.F) {
	all := coders()
	names := slices.Sorted(maps.Keys(all))
	for i, secret := range secretsOfEveryKind(rand.New(rand.NewPCG(13, 14))) {
		f.Add(secret, uint16(7*len(i)), uint16(10))
	}
	f.Fuzz(func(t *testing.T, secret string, which, cut uint16) {
		if len(secret) < minSecret || len(secret) > 200 || !utf8.ValidString(secret) || strings.ContainsAny(secret, "\x00\r\n\t\ufffd") {
			return // what encoders do not carry unchanged
		}
		name := names[int(which)%len(names)]
		c := all[name](secret)
		text := "- " + c.text + " -"
		got := scrubbed(hidden(secret).NewScrubber(), text, int(cut)%len(text))
		if len(got) != len(text) || strings.Trim(got[2+c.from:2+c.to], "*") != "" {
			t.Fatalf("%s of %q, cut at %d:\n got %q\nfrom %q", name, secret, int(cut)%len(text), got, text)
		}
	})
}

// behind returns how much of what came was not given out.
func behind(s *Scrubber) int { return len(s.join.text) - s.join.given }

// told returns what is given out of a piece at once and with the beat after it.
func told(s *Scrubber, piece string) string {
	next := string(s.Next([]byte(piece))) // before the next call, which may be into the same memory
	return next + string(s.Due(s.Came()))
}
