package injector

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
)

// canary has what each encoding changes: a quote, a slash, a plus, a percent
// sign and a byte beyond ASCII.
const canary = `s3cr"t/+%é&token-0123456789`

func hidden(values ...string) *Secrets { return secretsFrom(values...) }

// forms are the ways in which an upstream may repeat the canary.
func forms() map[string]string {
	quoted, _ := json.Marshal(canary)
	m := map[string]string{
		"raw":        canary,
		"hex":        hex.EncodeToString([]byte(canary)),
		"HEX":        strings.ToUpper(hex.EncodeToString([]byte(canary))),
		"query":      url.QueryEscape(canary),
		"path":       url.PathEscape(canary),
		"JSON":       string(quoted),
		"basic auth": base64.StdEncoding.EncodeToString([]byte("user:" + canary)),
	}
	for name, replace := range map[string][]string{
		"PHP":              {"/", `\/`, `"`, `\"`},
		"lower percent":    {`"`, "%22", "/", "%2f", "+", "%2b", "%", "%25", "&", "%26"},
		"JSON \\u":         {`"`, `\u0022`, "/", `\u002F`, "+", `\u002B`, "%", `\u0025`, "&", `\u0026`},
		"HTML":             {`"`, "&#34;", "/", "&#47;", "+", "&#43;", "%", "&#37;", "&", "&#38;"},
		"quoted printable": {`"`, "=22", "/", "=2F", "+", "=2B", "%", "=25", "&", "=26"},
	} {
		m[name] = strings.NewReplacer(replace...).Replace(canary)
	}
	var wide strings.Builder
	for _, r := range canary {
		wide.Write([]byte{byte(r), byte(r >> 8)})
	}
	m["UTF-16"] = wide.String()
	for before := range 4 {
		text := strings.Repeat("x", before) + canary + "yy"
		m[fmt.Sprintf("base64 after %d", before)] = base64.StdEncoding.EncodeToString([]byte(text))
		m[fmt.Sprintf("base64url after %d", before)] = base64.RawURLEncoding.EncodeToString([]byte(text))
	}
	return m
}

// leaks reports a recognisable part of a form: any run of it longer than what
// alignment leaves over at the ends.
func leaks(got, form string) bool {
	const run = 12
	for i := 0; i+run <= len(form); i++ {
		if strings.Contains(got, form[i:i+run]) {
			return true
		}
	}
	return false
}

func TestScrubAtEveryOffset(t *testing.T) {
	for name, form := range forms() {
		t.Run(name, func(t *testing.T) {
			text := "data: before " + form + " after\n\ndata: more\n\n"
			for cut := range len(text) {
				s := hidden(canary).NewScrubber()
				got := bytes.Clone(s.Next([]byte(text[:cut])))
				got = append(got, s.Next([]byte(text[cut:]))...)
				got = append(got, s.Rest()...)
				if len(got) != len(text) {
					t.Fatalf("cut at %d: got %d bytes, want %d", cut, len(got), len(text))
				}
				if leaks(string(got), form) {
					t.Fatalf("cut at %d: the secret came through: %q", cut, got)
				}
				if !strings.HasPrefix(string(got), "data: before ") || !strings.HasSuffix(string(got), " after\n\ndata: more\n\n") {
					t.Fatalf("cut at %d: the text around the secret changed: %q", cut, got)
				}
				if s.Hits() == 0 {
					t.Fatalf("cut at %d: got no hit", cut)
				}
			}
		})
	}
}

func TestScrubByteByByte(t *testing.T) {
	for name, form := range forms() {
		text := "a" + form + "b" + form + "c"
		s := hidden(canary).NewScrubber()
		var got []byte
		for i := range len(text) {
			got = append(got, s.Next([]byte{text[i]})...)
		}
		got = append(got, s.Rest()...)
		if len(got) != len(text) || leaks(string(got), form) {
			t.Errorf("%s: got %q", name, got)
		}
	}
}

// What is held back is a constant of the credential, and with a beat the beginning of a
// secret from where nobody guesses it.
func TestScrubHoldsBackATail(t *testing.T) {
	s := hidden(canary).NewScrubber()
	part := knownBy(t, hidden(canary), canary)
	text := strings.Repeat("-", int(s.own.matcher.tail)+10)
	for _, step := range []struct{ piece, next, due string }{
		{text, text[:10], text[10:]},
		{"!", "", "!"},
		{"x" + canary[:part-1], "", "x" + canary[:part-1]},
		{"!", "", "!"},
		{"x" + canary[:part], "", "x"},
		{"!", "", ""},
		{text, "", ""},
	} {
		if got := string(s.Next([]byte(step.piece))); got != step.next {
			t.Errorf("after %q: got %q, want %q", step.piece, got, step.next)
		}
		if waits, got := s.Waits(), string(s.Due(s.Came())); got != step.due || waits != (step.due != "") || s.Waits() {
			t.Errorf("after %q, with a beat: got %q, want %q", step.piece, got, step.due)
		}
	}
	if got := string(s.Rest()); got != canary[:part]+"!"+text || s.Hits() != 0 {
		t.Errorf("at the end: got %q, %d hits", got, s.Hits())
	}
}

func TestScrubOverlapping(t *testing.T) {
	s := hidden("abcdefgh", "efghijkl").NewScrubber()
	var got []byte
	for _, piece := range []string{"-abcd", "efgh", "ij", "kl-"} {
		got = append(got, s.Next([]byte(piece))...)
	}
	got = append(got, s.Rest()...)
	if string(got) != "-************-" {
		t.Errorf("got %q, want both masked", got)
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		if got := fmt.Sprintf(verb, hidden(canary)); strings.Contains(got, "s3cr") {
			t.Errorf("%s shows the secret: %s", verb, got)
		}
	}
}

// FuzzScrub holds a stream cut into pieces against the same text in one piece.
func FuzzScrub(f *testing.F) {
	f.Add([]byte("data: "+canary+"\n\n"), uint8(7))
	f.Add([]byte(canary[:9]+canary), uint8(1))
	f.Add([]byte(base64.StdEncoding.EncodeToString([]byte("u:"+canary))), uint8(3))
	f.Add([]byte(`\\u00731//0g\\\u0026=`+"\r\n"+canary[1:]), uint8(2))
	secrets := hidden(canary, "aaaaaaab", "aaabaaab", `\"&%=`+"\n\n ")
	f.Fuzz(func(t *testing.T, text []byte, size uint8) {
		want := secrets.NewScrubber().String(string(text))
		s := secrets.NewScrubber()
		var got []byte
		for rest := text; len(rest) > 0; {
			n := min(int(size)+1, len(rest))
			got = append(got, s.Next(rest[:n])...)
			rest = rest[n:]
		}
		got = append(got, s.Rest()...)
		if string(got) != want {
			t.Fatalf("in pieces of %d:\n got %q\nwant %q", int(size)+1, got, want)
		}
	})
}

// answerOf is a tool's answer of about size bytes: JSON within JSON.
func answerOf(size int) []byte {
	var b strings.Builder
	b.WriteString(`{"jsonrpc":"2.0","id":7,"result":{"content":[{"type":"text","text":"[`)
	for i := 0; b.Len() < size-40; i++ {
		fmt.Fprintf(&b, `{\"name\":\"issue-%d\",\"state\":\"open\",\"title\":\"Crash when the list is empty\",`+
			`\"url\":\"https://git.example.com/api/v4/projects/%d/issues?page=%d&per_page=20\",\"labels\":[\"bug\",\"p%d\"]},`, i, i*7919, i, i%4)
	}
	b.WriteString(`{}]"}],"isError":false}}`)
	return []byte(b.String())
}

// benchToken is of the length and the alphabet of an OAuth access token.
const benchToken = "ya29.a0AfH6SMBx-1_KqZ7vN3pLwT9uYhGfRdEsQcXzVbNmAoPiUyTrEwQ5"

func BenchmarkScrub(b *testing.B) {
	secrets := hidden(benchToken)
	for _, size := range []int{1, 64} {
		b.Run(fmt.Sprintf("%dKB", size), func(b *testing.B) {
			body := answerOf(size << 10)
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				s := secrets.NewScrubber()
				if len(s.Last(body)) != len(body) {
					b.Fatal("lost bytes")
				}
			}
		})
	}
}

// BenchmarkScrubCompile is what each lease costs once.
func BenchmarkScrubCompile(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		hidden(benchToken)
	}
}

// Secrets of several credentials are masked at every cut, and what is not theirs
// stays.
func TestAScrubberOfSeveral(t *testing.T) {
	one, two := secretsFrom("first-secret-0001"), secretsFrom("second-secret-0002")
	const text = "a first-secret-0001 b second-secret-0002 first-secret-000"
	const want = "a ***************** b ****************** first-secret-000"
	for cut := range text {
		s := one.NewScrubber(two)
		if got := scrubbed(s, text, cut); got != want || s.Hits() != 2 {
			t.Fatalf("cut at %d: got %q with %d hits, want %q with 2", cut, got, s.Hits(), want)
		}
	}
	if s := one.NewScrubber(two); s.String(text) != want || s.Hits() != 2 {
		t.Errorf("whole: got %q with %d hits", s.String(text), s.Hits())
	}
}

// What an error quotes is masked wherever it is in a header, and more: also where the
// secret is broken into lines.
func TestAnErrorIsMaskedAsAHeaderIs(t *testing.T) {
	secrets := hidden(ascii)
	for name, form := range spokenForms(ascii) {
		for at := range len(form.text) {
			for _, end := range []string{"\n", "\r\n", ""} {
				text := "read: " + form.text[:at] + end + form.text[at:] + " end"
				header, got := secrets.NewScrubber().String(text), secrets.NewScrubber().ErrorText(text)
				if overlaid(text, header, got) != got {
					t.Fatalf("%s: got %q, want no less masked than in %q", name, got, header)
				}
			}
		}
	}
}
