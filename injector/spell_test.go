package injector

import (
	"bytes"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"html/template"
	"math/rand/v2"
	"mime/quotedprintable"
	"net/url"
	"strings"
	"testing"
	"unicode/utf16"
)

// coded is what an upstream made of a secret. The bytes from..to say all of it
// that does not depend on what stands around it, and must be masked.
type coded struct {
	text     string
	from, to int
}

type coder func(secret string) coded

// entire makes a coder whose every byte must be masked.
func entire(encode func(string) string) coder {
	return func(secret string) coded {
		text := encode(secret)
		return coded{text, 0, len(text)}
	}
}

func asJSON(s string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s)
	return strings.TrimSuffix(b.String()[1:], "\"\n")
}

func asGoJSON(s string) string {
	b, _ := json.Marshal(s)
	return string(b[1 : len(b)-1])
}

// keep escapes what is not alphanumeric and not kept, as encodeURI, urllib and
// others do, each with its own list.
func keep(kept, format string) func(string) string {
	return func(s string) string {
		var b strings.Builder
		for _, c := range []byte(s) {
			if isAlphanumeric(c) || strings.IndexByte(kept, c) >= 0 {
				b.WriteByte(c)
			} else {
				fmt.Fprintf(&b, format, c)
			}
		}
		return b.String()
	}
}

// every writes every character, or every byte, by format.
func every(format string, split func(string) []rune) func(string) string {
	return func(s string) string {
		var b strings.Builder
		for _, c := range split(s) {
			fmt.Fprintf(&b, format, c)
		}
		return b.String()
	}
}

func units(s string) (out []rune) {
	for _, u := range utf16.Encode([]rune(s)) {
		out = append(out, rune(u))
	}
	return out
}

func runes(s string) []rune { return []rune(s) }

func octets(s string) (out []rune) {
	for _, c := range []byte(s) {
		out = append(out, rune(c))
	}
	return out
}

func chain(steps ...func(string) string) func(string) string {
	return func(s string) string {
		for _, step := range steps {
			s = step(s)
		}
		return s
	}
}

func asMail(s string) string {
	var b bytes.Buffer
	w := quotedprintable.NewWriter(&b)
	_, _ = w.Write([]byte(s))
	_ = w.Close()
	return b.String()
}

func plainCoders() map[string]func(string) string {
	nothing := func(s string) string { return s }
	slashes := strings.NewReplacer("/", `\/`).Replace
	return map[string]func(string) string{
		"itself":            nothing,
		"url.QueryEscape":   url.QueryEscape,
		"url.PathEscape":    url.PathEscape,
		"urllib quote":      keep("_.-~/", "%%%02X"),
		"encodeURI":         keep("-_.!~*'();/?:@&=+$,#", "%%%02X"),
		"encodeURIComp":     keep("-_.!~*'()", "%%%02X"),
		"lower percent":     keep("", "%%%02x"),
		"percent twice":     chain(keep("/", "%%%02X"), keep("/", "%%%02X")),
		"percent all":       every("%%%02X", octets),
		"html.EscapeString": html.EscapeString,
		"template.HTML":     template.HTMLEscapeString,
		"template.JS":       template.JSEscapeString,
		"HTML twice":        chain(html.EscapeString, html.EscapeString),
		"HTML, hex":         every("&#x%x;", runes),
		"HTML, HEX":         every("&#X%04X;", runes),
		"HTML, decimal":     every("&#%05d;", runes),
		"HTML in JSON":      chain(html.EscapeString, asGoJSON),
		"JSON in HTML":      chain(asGoJSON, html.EscapeString),
		"JSON":              asJSON,
		"JSON, Go":          asGoJSON,
		"JSON, PHP":         chain(asGoJSON, slashes),
		"JSON in JSON":      chain(asGoJSON, asGoJSON),
		"JSON three times":  chain(asGoJSON, asJSON, asGoJSON),
		"JSON in a URL":     chain(asGoJSON, url.QueryEscape),
		"\\u all":           every(`\u%04x`, units),
		"\\U all, in JSON":  chain(every(`\u%04X`, units), asJSON),
		"\\x all":           every(`\x%02x`, octets),
		"\\u all, twice":    chain(every(`\u%04x`, units), strings.NewReplacer(`\`, `\u005C`).Replace),
		"\\u all, thrice":   chain(every(`\u%04x`, units), strings.NewReplacer(`\`, `\u005c`).Replace, strings.NewReplacer(`\`, `\u005c`).Replace),
		"JSON in a log":     chain(every(`\u%04x`, units), strings.NewReplacer(`\`, `\x5C`).Replace),
		"\\x all, twice":    chain(every(`\x%02x`, octets), strings.NewReplacer(`\`, `\u005c`).Replace),
		"JSON, escapejs":    chain(asJSON, strings.NewReplacer(`\`, `\u005C`, `"`, `\u0022`, "&", `\u0026`, "=", `\u003D`).Replace),
		"quoted-printable":  asMail,
		"QP all":            every("=%02X", octets),
		"QP in JSON":        chain(func(s string) string { return asMail(strings.Repeat("x", 60) + s)[60:] }, asJSON),
		"hex":               func(s string) string { return hex.EncodeToString([]byte(s)) },
		"HEX in lines":      func(s string) string { return lines(strings.ToUpper(hex.EncodeToString([]byte(s))), 16, "\n") },
	}
}

// lines breaks text after every n characters.
func lines(text string, n int, by string) string {
	var b strings.Builder
	for i := range len(text) {
		if i > 0 && i%n == 0 {
			b.WriteString(by)
		}
		b.WriteByte(text[i])
	}
	return b.String()
}

// armoured is an encoding of bits a character with lines of n, in which the
// secret comes after and before something else.
func armoured(encode func([]byte) string, bits, before, n int, by string) coder {
	return func(secret string) coded {
		text := encode([]byte(strings.Repeat("x", before) + secret + "yy"))
		place := func(i int) int { return i + max(0, i)/n*len(by) }
		first, last := (8*before+bits-1)/bits, 8*(before+len(secret))/bits
		return coded{lines(text, n, by), place(first), place(last-1) + 1}
	}
}

func coders() map[string]coder {
	m := map[string]coder{}
	for name, encode := range plainCoders() {
		m[name] = entire(encode)
	}
	breaks := map[string]string{
		`\n`: "\n", `\r\n`: "\r\n", "JSON": `\n`, "JSON, CRLF": `\r\n`, "JSON in JSON": `\\n`, "CRLF, JSON in JSON": `\\r\\n`,
		"mail": "=\r\n", "mail in JSON": `=\r\n`, "URL": "%0D%0A", "XML": "&#13;\n", "XML, hex": "&#xD;&#xA;", "indented": "\n    ",
	}
	for name, by := range breaks {
		for before := range 5 {
			for _, n := range []int{10, 60, 76} {
				at := fmt.Sprintf(", after %d, broken at %d by %s", before, n, name)
				m["base64"+at] = armoured(base64.StdEncoding.EncodeToString, 6, before, n, by)
				m["base64url"+at] = armoured(base64.RawURLEncoding.EncodeToString, 6, before, n, by)
				m["base32"+at] = armoured(base32.StdEncoding.EncodeToString, 5, before, n, by)
			}
		}
	}
	return m
}

// secretsOfEveryKind are secrets of the alphabets in use.
func secretsOfEveryKind(r *rand.Rand) map[string]string {
	of := func(n int, alphabet string) string {
		all := []rune(alphabet)
		var b strings.Builder
		for range n {
			b.WriteRune(all[r.IntN(len(all))])
		}
		return b.String()
	}
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	return map[string]string{
		"an OAuth refresh token": "1//0gAbCdEfGh+IjKlMnOp==",
		"short":                  of(6, letters),
		"unreserved":             of(40, letters+"-._~"),
		"base64":                 of(41, letters+"+/") + "==",
		"special":                of(30, letters+`"'&<>/+=\%#;:?`),
		"only special":           of(12, `"'&<>/+=\%#;:?`),
		"unicode":                of(16, letters+"éß中文😀 &\""),
		"with a new line":        of(9, letters) + "\n" + of(9, letters),
	}
}

// scrubbed returns what comes out of pieces cut at the given places.
func scrubbed(s *Scrubber, text string, cuts ...int) string {
	var out strings.Builder
	for _, cut := range cuts {
		out.Write(s.Next([]byte(text[:cut])))
		text = text[cut:]
	}
	out.Write(s.Next([]byte(text)))
	out.Write(s.Rest())
	return out.String()
}

// hides fails the test unless the whole of c is masked, and nothing before or
// after it is, wherever the stream is cut.
func hides(t *testing.T, secrets *Secrets, name, secret string, c coded, cuts []int) {
	t.Helper()
	const before, after = `data: {"x":"- `, ` -"}` + "\n\n"
	text := before + c.text + after
	from, to := len(before)+c.from, len(before)+c.to
	for _, cut := range cuts {
		if cut >= len(text) {
			continue
		}
		s := secrets.NewScrubber()
		got := scrubbed(s, text, cut)
		if len(got) != len(text) || got[:len(before)] != before || got[len(text)-len(after):] != after {
			t.Fatalf("%s of %q, cut at %d: what stands around changed:\n got %q\nfrom %q", name, secret, cut, got, text)
		}
		if strings.Trim(got[from:to], "*") != "" {
			t.Fatalf("%s of %q, cut at %d: got %q\nfrom %q", name, secret, cut, got[from:to], text)
		}
		if s.Hits() != 1 {
			t.Fatalf("%s of %q, cut at %d: got %d hits, want 1", name, secret, cut, s.Hits())
		}
	}
}

func TestScrubEveryEncoding(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for kind, secret := range secretsOfEveryKind(r) {
		secrets := hidden(secret)
		t.Run(kind, func(t *testing.T) {
			plain := plainCoders()
			for name, encode := range coders() {
				c := encode(secret)
				cuts := []int{0, len(c.text) / 2}
				if plain[name] != nil || strings.Contains(name, "broken at 10") && strings.Contains(name, "after 1") {
					for i := range len(c.text) + 20 {
						cuts = append(cuts, i)
					}
				}
				hides(t, secrets, name, secret, c, cuts)
			}
		})
	}
}
