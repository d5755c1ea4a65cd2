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
