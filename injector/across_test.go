package injector

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"math/rand/v2"
	"strings"
	"testing"
)

// framing is how an upstream hands on a text in parts.
type framing struct{ before, between, after string }

func framings() map[string]framing {
	return map[string]framing{
		"events":             {"data: ", "\n\ndata: ", "\n\n"},
		"events, no space":   {"data:", "\n\ndata:", "\n\n"},
		"events, CRLF":       {"data: ", "\r\n\r\nid: 7\r\ndata: ", "\r\n\r\n"},
		"events, CR":         {"data: ", "\r\rdata: ", "\r\r"},
		"lines of one event": {"data: ", "\ndata: ", "\n\n"},
		"deltas":             {`data: {"delta":"`, "\"}\n\ndata: {\"delta\":\"", "\"}\n\n"},
		"deltas with more": {`data: {"id":"cmpl-1","choices":[{"index":0,"delta":{"content":"`,
			`"},"finish_reason":null}]}` + "\n\n: ping\n\nevent: delta\nid: 8\ndata: " + `{"id":"cmpl-1","choices":[{"index":0,"delta":{"content":"`, `"}}]}` + "\n\n"},
		"deltas within a text": {`data: {"result":{"content":[{"type":"text","text":"{\"delta\":\"`,
			`\"}"}]}}` + "\n\n" + `data: {"result":{"content":[{"type":"text","text":"{\"delta\":\"`, `\"}"}]}}` + "\n\n"},
		"strings of one text": {`data: {"a":["x`, `","`, `"]}` + "\n\n"},
	}
}

// cuts reports whether a JSON string would end within an escape, which it can't.
func (f framing) cuts(text string, at int) bool {
	return strings.Contains(f.between, `"`) && strings.Contains(text[max(0, at-5):at], `\`)
}

// spoken is a form in which the secret may be said.
type spoken struct {
	text   string
	cut    int // how much of it cuts a stream
	shown  int // how much of it may be shown before a pause
	escape int // how much of an escape may come through too
}

// spokenForms are every kind of form of a secret, with the bound of each.
func spokenForms(secret string) map[string]spoken {
	cutOf := func(form string) int { return boundsOf([]byte(secret), 0).of(len(form), len(secret)).cut }
	encoded := func(text string) spoken { return spoken{text, cutOf(text), cutOf(text) - 1, 0} }
	m := map[string]spoken{}
	escapes := map[string]func(string) string{
		"raw":     func(s string) string { return s },
		"JSON":    asGoJSON,
		"PHP":     chain(asGoJSON, strings.NewReplacer("/", `\/`).Replace),
		`all \u`:  every(`\u%04x`, units),
		"percent": keep("", "%%%02X"),
		"HTML":    html.EscapeString,
	}
	for name, escape := range escapes {
		n := cutOf(secret)
		m[name] = spoken{escape(secret), len(escape(secret[:n])), len(escape(secret[:n-1])), len(`\u002`)}
	}
	for name, text := range map[string]string{
		"hex": hex.EncodeToString([]byte(secret)), "HEX": strings.ToUpper(hex.EncodeToString([]byte(secret))),
	} {
		m[name] = encoded(text)
	}
	for before := range 3 {
		whole := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", before) + secret + "yy"))
		text := string(aligned(base64.RawStdEncoding.AppendEncode, 6, []byte(secret), before))
		at := strings.Index(whole, text)
		m[fmt.Sprintf("base64 after %d", before)] = encoded(text)
		m[fmt.Sprintf("base64url after %d", before)] = encoded(strings.NewReplacer("+", "-", "/", "_").Replace(whole[at : at+len(text)]))
	}
	return m
}

// ascii has a character for every escape, none of more than a byte.
const ascii = `s3cr"t/K+%A&token-0123456789`

// A secret in two parts: where the first is short, it is shown and the second masked.
// Where it is not, neither is, nor anything after it. Whatever it is, it does not wait for
// the second.
func TestScrubAcrossTwoPartsAtEveryOffset(t *testing.T) {
	secrets := hidden(ascii)
	for frame, f := range framings() {
		for name, form := range spokenForms(ascii) {
			for at := 1; at < len(form.text); at++ {
				if f.cuts(form.text, at) {
					continue
				}
				head, tail := f.before+form.text[:at]+f.between, form.text[at:]+f.after
				s := secrets.NewScrubber()
				s.AcrossParts()
				early := string(s.Next([]byte(head)))
				if strings.HasSuffix(f.between, "data: ") && at < form.cut && len(early) < len(f.before)+at+1 {
					t.Fatalf("%s over %s, at %d: the first event waits: got %q of %q", name, frame, at, early, head)
				}
				got := early + scrubbed(s, tail)
				wantParts(t, fmt.Sprintf("%s over %s, at %d", name, frame, at), s, f.inTwo(form, at), got)
			}
		}
	}
}

// inTwo returns what is shown of a form that is said in two parts.
func (f framing) inTwo(form spoken, at int) string {
	if at >= form.cut {
		return f.before
	}
	return f.before + form.text[:at] + f.between + strings.Repeat("*", len(form.text)-at) + f.after
}

// wantParts wants an answer to be what it is to be, and to be cut where that is no more
// than a beginning; and one hit.
func wantParts(t *testing.T, what string, s *Scrubber, want, got string) {
	t.Helper()
	if got != want || s.Hits() != 1 || s.Cut() != !strings.Contains(want, "**") {
		t.Fatalf("%s:\n got %q with %d hits, cut: %t\nwant %q with 1", what, got, s.Hits(), s.Cut(), want)
	}
}

// The same in pieces of every size, as they come off a connection.
func TestScrubAcrossPartsInChunks(t *testing.T) {
	secrets := hidden(ascii)
	for frame, f := range framings() {
		for name, form := range spokenForms(ascii) {
			for _, at := range []int{form.cut - 1, form.cut, len(form.text) - 1} {
				for f.cuts(form.text, at) && at > 0 {
					at--
				}
				text := f.before + form.text[:at] + f.between + form.text[at:] + f.after
				for size := 1; size < 24; size++ {
					s := secrets.NewScrubber()
					s.AcrossParts()
					var got strings.Builder
					for rest := text; rest != ""; {
						n := min(size, len(rest))
						got.Write(s.Next([]byte(rest[:n])))
						rest = rest[n:]
					}
					got.Write(s.Rest())
					wantParts(t, fmt.Sprintf("%s over %s, at %d in pieces of %d", name, frame, at, size), s, f.inTwo(form, at), got.String())
				}
			}
		}
	}
}

// A model says a secret in tokens of a few characters: the answer ends before the one that
// comes to the bound.
func TestScrubAcrossManyParts(t *testing.T) {
	secrets := hidden(ascii)
	for frame, f := range framings() {
		for name, form := range spokenForms(ascii) {
			for _, size := range []int{1, 2, 3, 5, 9} {
				if strings.Contains(f.between, `"`) && strings.Contains(form.text, `\`) {
					continue // no JSON text has part of an escape
				}
				text, want := f.before, ""
				for i := 0; i < len(form.text); i += size {
					end := min(i+size, len(form.text))
					if want == "" && end >= form.cut {
						want = text
					}
					text += form.text[i:end] + f.between
				}
				s := secrets.NewScrubber()
				s.AcrossParts()
				got := scrubbed(s, text)
				wantParts(t, fmt.Sprintf("%s over %s, %d at a time", name, frame, size), s, want, got)
			}
		}
	}
}

// Messages of one stream that are read one by one are followed too.
func TestScrubAcrossMessages(t *testing.T) {
	type step struct{ message, want string }
	begin := `{"d":"` + ascii[:4] + `"}`
	for name, steps := range map[string][]step{
		"whole in the end": {
			{begin, begin}, {`{"d":"r"}`, `{"d":"r"}`},
			{`{"d":` + quoted(ascii[4:]+" and more") + `}`, `{"d":"` + strings.Repeat("*", len(quoted(ascii[4:]))-2) + ` and more"}`},
			{`{"d":` + quoted(ascii) + `}`, `{"d":"` + strings.Repeat("*", len(quoted(ascii))-2) + `"}`},
		},
		"never whole": {
			{begin, begin}, {`{"d":"r"}`, `{"d":"r"}`},
			{`{"a":1,"d":` + quoted(ascii[4:20]) + `}`, ""}, {begin, ""}, {`{}`, ""},
		},
	} {
		s := hidden(ascii).NewScrubber()
		s.AcrossParts()
		for i, c := range steps {
			if got := string(s.Message([]byte(c.message))); got != c.want {
				t.Errorf("%s, message %d: got %q, want %q", name, i, got, c.want)
			}
		}
		if cut := steps[2].want == ""; s.Cut() != cut || s.Hits() != 2 && !cut || s.Hits() != 1 && cut {
			t.Errorf("%s: got %d hits, cut: %t", name, s.Hits(), s.Cut())
		}
	}
}

func quoted(s string) string { b, _ := json.Marshal(s); return string(b) }

// What comes to the bound and is no secret cuts the answer, wherever it stands and however
// it goes on; what does not come to it goes on.
func TestScrubAcrossPartsCutsNearMisses(t *testing.T) {
	const secret = "ghs_AbCdEf0123456789abcdefABCDEF01234567"
	const n = len("ghs_") + secretPart
	same := hex.EncodeToString([]byte(secret))
	stars := strings.Repeat("*", len(secret))
	for text, want := range map[string]string{
		secret[:n-1]:                            "all",
		secret[:n-1] + "x":                      "all",
		secret[:n-1] + `"`:                      "all",
		"xx" + secret[:n]:                       "xx",
		secret[:n] + "x":                        "",
		secret[:n] + `","x`:                     "",
		secret[:n] + `\"`:                       "",
		secret[:n] + `\\\\`:                     "",
		secret[:n] + `\u00`:                     "",
		secret[:n] + "%4":                       "",
		secret[:n] + "&am":                      "",
		secret[:n] + "=":                        "",
		secret[:n] + " " + secret:               "",
		secret[:n] + secret:                     "",
		secret[:len(secret)-1]:                  "",
		secret[:len(secret)-1] + "x":            "",
		every(`\u%04x`, units)(secret[:n]):      "",
		same[:2*n-1] + "x":                      "all",
		same[:2*n] + "x":                        "",
		secret + " and " + secret[:n]:           stars + " and ",
		secret + " and " + secret[:n-1]:         stars + " and " + secret[:n-1] + `"]}` + "\n\n",
		secret + secret[:n-1] + secret:          stars + secret[:n-1] + stars + `"]}` + "\n\n",
		secret[:3] + `","` + secret[3:n]:        secret[:3] + `","`,
		secret[:n-1] + `","` + secret[n-1:n]:    secret[:n-1] + `","`,
		secret[:n-1] + `","` + secret[n-1:]:     secret[:n-1] + `","` + stars[n-1:] + `"]}` + "\n\n",
		secret[:n-1] + `","` + secret[n-1:n+20]: secret[:n-1] + `","`,
		secret[:n-1] + `","a","` + "x":          "all",
	} {
		const before, after = `data: {"a":["some ", "`, `"]}` + "\n\n"
		whole := before + text + after
		switch want {
		case "all":
			want = whole
		default:
			want = before + want
		}
		for cut := range whole {
			s := hidden(secret).NewScrubber()
			s.AcrossParts()
			got := scrubbed(s, whole+"data: more\n\n", cut)
			if s.Cut() != !strings.HasSuffix(want, after) || strings.TrimSuffix(got, "data: more\n\n") != want {
				t.Fatalf("%q cut at %d: got %q, want %q", text, cut, got, want)
			}
		}
	}
}

// Where a secret stands that is the beginning of another, or within it, that is masked, and
// what follows is no more of the other than anybody knows who knows the one.
func TestScrubAcrossPartsMasksTheBeginningThatIsWhole(t *testing.T) {
	const one, other, inner = "a-token-of-one-0123456789", "a-token-of-one-0123456789.and-of-another", "of-one-0123456789.and-what-is-within"
	for text, want := range map[string]struct {
		text string
		cut  bool
	}{
		one + " and":            {"************************* and", false},
		one + ".an":             {"*************************.an", false},
		other + " and":          {"**************************************** and", false},
		one[:20] + " " + one:    {"", true},
		one + " " + one[:20]:    {"************************* ", true},
		one + ".and-what-is-in": {"*************************.and-what-is-in", false},
	} {
		const before, after = `data: {"d":"`, "\"}\n\n"
		said := before + text + after
		for cut := range said {
			s := hidden(one, other, inner).NewScrubber()
			s.AcrossParts()
			got := scrubbed(s, said, cut)
			if strings.TrimSuffix(got, after) != before+want.text || s.Cut() != want.cut || strings.HasSuffix(got, after) == want.cut {
				t.Fatalf("%q cut at %d: got %q, cut: %t, want %q, %t", said, cut, got, s.Cut(), want.text, want.cut)
			}
		}
	}
}

// A line without an end does not keep what may be shown, nor what may not.
func TestScrubAcrossPartsCutsALineWithoutAnEnd(t *testing.T) {
	for name, more := range map[string]string{"goes on": "x", "backslashes": `\`, "escapes": `\u005c`, "again": ascii[:9]} {
		s := hidden(ascii).NewScrubber()
		s.AcrossParts()
		got := string(s.Next([]byte("data: before " + ascii[:9])))
		for range 2 * s.own.matcher.limit {
			got += string(s.Next([]byte(more)))
		}
		if got != "data: before " || !s.Cut() {
			t.Errorf("%s: got %q, cut: %t", name, got, s.Cut())
		}
	}
}

// What is no secret stays, and what may be is not followed for ever.
func TestScrubAcrossPartsLeavesTheRest(t *testing.T) {
	secrets := hidden(ascii, "hunter22", "1//0gAbCdEfGh+IjKlMnOp==")
	for _, text := range []string{
		"data: s\n\ndata: 3\n\ndata: c\n\ndata: r\n\n",
		`data: {"d":"s3cr"}` + "\n\n" + `data: {"d":"s3cr"}` + "\n\n" + `data: {"d":"et"}` + "\n\n",
		`data: {"d":"hu"}` + "\n\n" + `data: {"d":"n"}` + "\n\n" + `data: {"d":"dred"}` + "\n\n",
		`data: {"d":"s3cr` + strings.Repeat("\"}\n\ndata: {\"x\":\"", partsLines) + ascii[4:] + `"}` + "\n\n",
		`data: ["s3cr"` + strings.Repeat(`,"x"`, partsPlaces/2) + `,"` + ascii[4:] + `"]` + "\n\n",
	} {
		s := secrets.NewScrubber()
		s.AcrossParts()
		if got := scrubbed(s, text); got != text || s.Hits() != 0 {
			t.Errorf("got  %q, %d hits\nwant %q", got, s.Hits(), text)
		}
	}
}

// A model that says hex, or digits, a few at a time says by chance what a secret in hex is
// made of. That is not taken for one.
func TestScrubAcrossPartsLeavesDigits(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 7))
	for _, alphabet := range []string{base16, base16[:10]} {
		for range 4 {
			secret := ""
			for range 40 {
				secret += base16[r.IntN(16):][:1]
			}
			var text strings.Builder
			for text.Len() < 128<<10 {
				digits := ""
				for range 1 + r.IntN(3) {
					digits += alphabet[r.IntN(len(alphabet)):][:1]
				}
				fmt.Fprintf(&text, "data: {\"d\":%q}\n\n", digits)
			}
			s := hidden(secret).NewScrubber()
			s.AcrossParts()
			if got := scrubbed(s, text.String()); len(got) != text.Len() || s.Hits() > 0 {
				t.Errorf("after %d bytes of %d: cut: %t, %d hits", len(got), text.Len(), s.Cut(), s.Hits())
			}
		}
	}
}

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
