package injector

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
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

// spoken is a form in which the secret may be said: all of it, and how much of that
// its first n characters take.
type spoken struct {
	text   string
	shown  int // how long a first part may be that gets through
	escape int // how much of an escape may come through too
}

// spokenForms are every kind of form of a secret, with the bound of each.
func spokenForms(secret string) map[string]spoken {
	bound := func(form string) int { return int(partOf(len(form), 0)) - 1 }
	m := map[string]spoken{}
	escapes := map[string]func(string) string{
		"raw":     func(s string) string { return s },
		"JSON":    asGoJSON,
		"PHP":     chain(asGoJSON, strings.NewReplacer("/", `\/`).Replace),
		`all \u`:  every(`\u%04x`, units),
		"percent": keep("", "%%%02X"),
		"HTML":    html.EscapeString,
	}
	first := secret[:bound(secret)]
	for name, escape := range escapes {
		m[name] = spoken{escape(secret), len(escape(first)), len(`\u002`)}
	}
	for name, text := range map[string]string{
		"hex": hex.EncodeToString([]byte(secret)), "HEX": strings.ToUpper(hex.EncodeToString([]byte(secret))),
	} {
		m[name] = spoken{text, bound(text), 0}
	}
	for before := range 3 {
		whole := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", before) + secret + "yy"))
		text := string(aligned(base64.RawStdEncoding.AppendEncode, 6, []byte(secret), before))
		at := strings.Index(whole, text)
		m[fmt.Sprintf("base64 after %d", before)] = spoken{text, bound(text), 0}
		m[fmt.Sprintf("base64url after %d", before)] = spoken{strings.NewReplacer("+", "-", "/", "_").Replace(whole[at : at+len(text)]), bound(text), 0}
	}
	return m
}

// ascii has a character for every escape, none of more than a byte.
const ascii = `s3cr"t/+%A&token-0123456789`

// A secret in two parts: the first gets through only where it is short, and the
// second never does. Whatever it is, it does not wait for the second.
func TestScrubAcrossTwoPartsAtEveryOffset(t *testing.T) {
	secrets := hidden(ascii)
	for frame, f := range framings() {
		for name, form := range spokenForms(ascii) {
			for at := 1; at < len(form.text); at++ {
				if f.cuts(form.text, at) {
					continue
				}
				one, two := form.text[:at], form.text[at:]
				head, tail := f.before+one+f.between, two+f.after
				s := secrets.NewScrubber()
				s.AcrossParts()
				early := string(s.Next([]byte(head)))
				if strings.HasSuffix(f.between, "data: ") && len(early) < len(f.before)+at+1 {
					t.Fatalf("%s over %s, at %d: the first event waits: got %q of %q", name, frame, at, early, head)
				}
				got := early + string(s.Next([]byte(tail))) + string(s.Rest())
				wantParts(t, fmt.Sprintf("%s over %s, at %d", name, frame, at), f, form, at, got)
				if s.Hits() == 0 {
					t.Fatalf("%s over %s, at %d: got %d hits, in %q", name, frame, at, s.Hits(), got)
				}
			}
		}
	}
}

func wantParts(t *testing.T, what string, f framing, form spoken, at int, got string) {
	t.Helper()
	first := strings.Repeat("*", at)
	if at <= form.shown || strings.IndexByte(`\%&`, form.text[form.shown]) >= 0 && at-form.shown <= form.escape && strings.HasPrefix(got, f.before+form.text[:at]) {
		first = form.text[:at]
	} else if i := strings.LastIndexAny(form.text[:at], `\%&`); i >= 0 && at-i < 2 && len(got) > len(f.before)+i {
		first = first[:i] + got[len(f.before)+i:len(f.before)+at] // of an escape no more than what introduces it
		if c := first[i]; c != '*' && c != form.text[i] {
			t.Fatalf("%s: got %q", what, got)
		}
	}
	masked := f.before + first + f.between + strings.Repeat("*", len(form.text)-at) + f.after
	if got != masked {
		t.Fatalf("%s:\n got %q\nwant %q", what, got, masked)
	}
}

// The same in pieces of every size, as they come off a connection.
func TestScrubAcrossPartsInChunks(t *testing.T) {
	secrets := hidden(ascii)
	for frame, f := range framings() {
		for name, form := range spokenForms(ascii) {
			at := len(form.text) / 3
			for f.cuts(form.text, at) && at > form.shown {
				at--
			}
			if f.cuts(form.text, at) {
				at = 0
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
				wantParts(t, fmt.Sprintf("%s over %s, in pieces of %d", name, frame, size), f, form, at, got.String())
			}
		}
	}
}

// A model says a secret in tokens of a few characters.
func TestScrubAcrossManyParts(t *testing.T) {
	secrets := hidden(ascii)
	for frame, f := range framings() {
		for name, form := range spokenForms(ascii) {
			for _, size := range []int{1, 2, 3, 5, 9} {
				if strings.Contains(f.between, `"`) && strings.Contains(form.text, `\`) {
					continue // no JSON text has part of an escape
				}
				var text strings.Builder
				text.WriteString(f.before)
				for i := 0; i < len(form.text); i += size {
					text.WriteString(form.text[i:min(i+size, len(form.text))] + f.between)
				}
				s := secrets.NewScrubber()
				s.AcrossParts()
				all := string(s.Next([]byte(text.String()))) + string(s.Rest())
				var got strings.Builder // what a client joins
				for i, at := 0, len(f.before); i < len(form.text); i += size {
					n := min(size, len(form.text)-i)
					got.WriteString(all[at : at+n])
					at += n + len(f.between)
				}
				shown := strings.IndexByte(got.String()+"*", '*')
				if hidden := strings.Trim(strings.ReplaceAll(got.String()[shown:], `\u00`, ""), `*\%&`); shown > form.shown+form.escape || hidden != "" || s.Hits() == 0 {
					t.Errorf("%s over %s, %d at a time: got %q of %q with %d hits", name, frame, size, got.String(), form.text, s.Hits())
				}
			}
		}
	}
}

// Messages of one stream that are read one by one are followed too.
func TestScrubAcrossMessages(t *testing.T) {
	s := hidden(ascii).NewScrubber()
	s.AcrossParts()
	for i, c := range []struct{ message, want string }{
		{`{"d":"` + ascii[:4] + `"}`, `{"d":"` + ascii[:4] + `"}`},
		{`{"d":"r"}`, `{"d":"r"}`},
		{`{"d":` + quoted(ascii[4:20]) + `}`, `{"d":"` + strings.Repeat("*", len(quoted(ascii[4:20]))-2) + `"}`},
		{`{"d":"` + ascii[20:] + ` and more"}`, `{"d":"` + strings.Repeat("*", len(ascii)-20) + ` and more"}`},
	} {
		if got := string(s.Message([]byte(c.message))); got != c.want {
			t.Errorf("message %d: got %q, want %q", i, got, c.want)
		}
	}
	if s.Hits() != 1 {
		t.Errorf("got %d hits, want 1", s.Hits())
	}
}

func quoted(s string) string { b, _ := json.Marshal(s); return string(b) }

// What is no secret stays, and what may be is not followed for ever.
func TestScrubAcrossPartsLeavesTheRest(t *testing.T) {
	secrets := hidden(ascii, "hunter22", "1//0gAbCdEfGh+IjKlMnOp==")
	for _, text := range []string{
		"data: s\n\ndata: 3\n\ndata: c\n\ndata: r\n\n",
		`data: {"d":"s3cr"}` + "\n\n" + `data: {"d":"s3cr"}` + "\n\n" + `data: {"d":"et"}` + "\n\n",
		`data: {"d":"hu"}` + "\n\n" + `data: {"d":"n"}` + "\n\n" + `data: {"d":"dred"}` + "\n\n",
		`data: {"d":"s3cr` + strings.Repeat("\"}\n\ndata: {\"x\":\"", partsLines) + ascii[4:] + `"}` + "\n\n",
	} {
		s := secrets.NewScrubber()
		s.AcrossParts()
		if got := string(s.Next([]byte(text))) + string(s.Rest()); got != text || s.Hits() != 0 {
			t.Errorf("got  %q, %d hits\nwant %q", got, s.Hits(), text)
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
		for i := 1; i < len(secret); i += 9 {
			parts[fmt.Sprintf("the first %d", i)] = secret[:i]
		}
		for name, part := range parts {
			for frame, f := range framings() {
				text := []byte(strings.Repeat(f.before+part+f.between, 1+700/len(part+f.before)))
				s := secrets.NewScrubber()
				s.AcrossParts()
				for i := 0; i < len(text); i += 7 {
					s.Next(text[i:min(i+7, len(text))])
					if behind(s) > int(s.matcher.limit)+1 || len(s.across.parts) > mostParts+mostShort {
						t.Fatalf("%s over %s: %d bytes held back and %d parts, want at most %d and %d", name, frame, behind(s), len(s.across.parts), s.matcher.limit+1, mostParts+mostShort)
					}
				}
				if each := s.ways.seen / len(text); each > most {
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
	secrets := hidden(ascii, "aaaaaaab", "aaabaaab", `\"&%=`+"\n\n ")
	f.Fuzz(func(t *testing.T, text []byte, size uint8) {
		read := func(size int) (string, int) {
			s := secrets.NewScrubber()
			s.AcrossParts()
			var got []byte
			for rest := text; len(rest) > 0; {
				n := min(size, len(rest))
				got = append(got, s.Next(rest[:n])...)
				rest = rest[n:]
			}
			return string(append(got, s.Rest()...)), len(got)
		}
		want, _ := read(len(text) + 1)
		got, _ := read(int(size) + 1)
		if got != want || len(got) != len(text) {
			t.Fatalf("in pieces of %d:\n got %q\nwant %q", int(size)+1, got, want)
		}
		for i := range text {
			if got[i] != text[i] && got[i] != mask {
				t.Fatalf("byte %d: got %q of %q", i, got[i], text[i])
			}
		}
	})
}
