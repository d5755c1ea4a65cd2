package injector

import (
	"fmt"
	"strings"
	"testing"
)

// BenchmarkScrubEvents is a stream of a model's tokens.
func BenchmarkScrubEvents(b *testing.B) {
	secrets := hidden(benchToken)
	var text strings.Builder
	for _, word := range strings.Fields(string(answerOf(4 << 10))) {
		fmt.Fprintf(&text, "data: {\"id\":\"chatcmpl-8a1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":%s},\"finish_reason\":null}]}\n\n", quoted(word[:min(4, len(word))]))
	}
	for name, body := range map[string][]byte{"tokens": []byte(text.String()), "one": []byte("event: message\ndata: " + string(answerOf(64<<10)) + "\n\n")} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				s := secrets.NewScrubber()
				s.AcrossParts()
				if len(s.Next(body)) != len(body) {
					b.Fatal("lost bytes")
				}
			}
		})
	}
}

// The work for a byte and what is held back are bounded here too, whatever an
// upstream sends.
func TestScrubAcrossPartsIsLinear(t *testing.T) {
	for secret, most := range map[string]int{benchToken: 80, `"` + benchToken + `\`: 80, strings.Repeat("a", 100): 1500} { // the last by the secret alone
		secrets := hidden(secret)
		parts := adversaries(secret)
		for i := 1; i < len(secret); i += 3 { // most of them end it
			parts[fmt.Sprintf("the first %d", i)] = secret[:i]
		}
		for name, part := range parts {
			for frame, f := range framings() {
				text := []byte(strings.Repeat(f.before+part+f.between, 1+700/len(part+f.before)))
				s := secrets.NewScrubber()
				s.AcrossParts()
				for i := 0; i < len(text); i += 7 {
					s.Next(text[i:min(i+7, len(text))])
					if behind(s) > int(s.own.matcher.limit)+1 || len(s.own.across.parts) > mostParts+mostShort {
						t.Fatalf("%s over %s: %d bytes held back and %d parts, want at most %d and %d", name, frame, behind(s), len(s.own.across.parts), s.own.matcher.limit+1, mostParts+mostShort)
					}
				}
				if each := s.own.ways.seen / len(text); each > most {
					t.Errorf("%s of %.20q over %s: %d edges a byte, want at most %d", name, secret, frame, each, most)
				}
			}
		}
	}
}
