package injector

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// slowly are what makes a matcher that follows all ways slow: known beginnings of a
// secret, in the spellings that have the most ways on.
func slowly(secret string) map[string]string {
	escaped := func(s string) string {
		var b strings.Builder
		for _, c := range []byte(s) {
			fmt.Fprintf(&b, `\u00%02x`, c)
		}
		return b.String()
	}
	quoted := func(s string) string { return strings.Join(strings.Split(s, ""), `","`) + `","` }
	return map[string]string{
		"backslashes":            `\`,
		"four and backslashes":   secret[:4] + strings.Repeat(`\`, 5000),
		"four, escaped":          escaped(secret[:4]),
		"the repeats, escaped":   escaped(secret[:31]),
		"the repeats, in quotes": quoted(secret[:31]),
		"four, both":             quoted(escaped(secret[:4])),
		"all but the last":       secret[:len(secret)-1],
		"quotes":                 secret[:4] + strings.Repeat(`"`, 60),
		"quotes within":          `\"` + secret[:4] + `&`,
		"half an escape":         secret[:4] + `\\\x\\\u`,
	}
}

// Whatever an upstream sends, the search takes no more steps than stated; with a
// token that does not repeat itself, it never comes to that.
func TestTheStepsForAnAnswerAreBounded(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(5, 6))
	random := make([]byte, 700)
	for i := range random {
		random[i] = byte(r.Uint32())
	}
	token := base64.RawURLEncoding.EncodeToString(random)
	spent := 0
	for secret, ordinary := range map[string]bool{
		token:                                 true,
		token[:40]:                            true,
		strings.Repeat("a", 32) + token[:20]:  false,
		strings.Repeat(token[:4], 31) + token: false,
	} {
		secrets := hidden(secret)
		for name, unit := range slowly(secret) {
			for _, parts := range []bool{false, true} {
				s := secrets.NewScrubber()
				if parts {
					s.AcrossParts()
				}
				text := `data: "` + strings.Repeat(unit, 1+50_000/len(unit))
				given := 0
				for i := 0; i < len(text); i += 4096 {
					given += len(s.Next([]byte(text[i:min(i+4096, len(text))])))
				}
				given += len(s.Rest())
				const one = 1 << 16 // no more than one byte may cost
				if most := firstSteps + stepsPerByte*len(text) + one; s.own.ways.seen > most {
					t.Errorf("%s of %.8s..., in parts %t: %d steps, want at most %d", name, secret, parts, s.own.ways.seen, most)
				}
				if s.Cut() {
					continue // it is the beginning of the secret
				}
				if s.Spent() {
					spent++
				} else if given != len(text) {
					t.Errorf("%s of %.8s...: %d bytes of %d given out", name, secret, given, len(text))
				}
				if ordinary && s.own.ways.seen > stepsPerByte*len(text) {
					t.Errorf("%s of %.8s..., in parts %t: %d steps for %d bytes, want at most %d each",
						name, secret, parts, s.own.ways.seen, len(text), stepsPerByte)
				}
			}
		}
	}
	if spent == 0 {
		t.Error("nothing was slow enough to be cut")
	}
}

// What is too slow to search comes to an end, with nothing given out that was not
// searched: in a stream, in a message and in a header.
func TestWhatIsTooSlowToSearchIsNotGivenOut(t *testing.T) {
	t.Parallel()
	secret := strings.Repeat("a", 32) + "Zq83kfjw9ef0zzAxJqAAx0"
	slow := strings.Repeat(slowly(secret)["the repeats, escaped"], 1000)
	for _, secrets := range [][]*Secrets{{hidden(secret)}, {hidden("another secret"), hidden(secret)}} {
		s := secrets[0].NewScrubber(secrets[1:]...)
		if out := s.Next([]byte(slow)); len(out) > 0 || !s.Spent() {
			t.Errorf("stream: %d bytes, spent is %t, want none and true", len(out), s.Spent())
		}
		if out := string(s.Next([]byte(secret))) + string(s.Rest()); out != "" {
			t.Errorf("after that: got %q, want nothing", out)
		}
		s = secrets[0].NewScrubber(secrets[1:]...)
		if out := s.Message([]byte(slow + secret)); len(out) > 0 || !s.Spent() {
			t.Errorf("message: %d bytes, spent is %t, want none and true", len(out), s.Spent())
		}
		s = secrets[0].NewScrubber(secrets[1:]...)
		for range 20 {
			s.String(slow[:3000])
		}
		if !s.Spent() {
			t.Error("twenty headers: got none that is too slow")
		}
		for name, mask := range map[string]func(*Scrubber, string) string{"header": (*Scrubber).String, "error": (*Scrubber).ErrorText} {
			s = secrets[0].NewScrubber(secrets[1:]...)
			if out := mask(s, slow+secret); strings.Trim(out, "*") != "" || !s.Spent() {
				t.Errorf("%s: got %.40q..., spent is %t, want all masked and true", name, out, s.Spent())
			}
			if len(s.Next([]byte("more"))) > 0 {
				t.Errorf("%s: the body goes on after it", name)
			}
		}
	}
}
