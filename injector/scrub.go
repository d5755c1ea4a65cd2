package injector

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"mintmark/providers"
)

// mask replaces each byte of a secret: the length of an answer does not change
// and neither does the validity of its JSON.
const mask = '*'

// minSecret is the shortest secret that is looked for. A shorter one would be
// found in ordinary text everywhere, and is no secret.
const minSecret = 6

// Secrets is what must not come back in an answer: the parts of one credential
// in the forms an upstream may repeat them in. It never prints them.
type Secrets struct{ patterns func() [][]byte }

// secretsOf returns the forms of c's parts, made once for each lease.
func secretsOf(c providers.Opened) *Secrets {
	return c.Once(func() any { return newSecrets(c) }).(*Secrets)
}

func newSecrets(c providers.Opened) *Secrets {
	secrets := []string{c.Token(), c.Password(), c.SecretAccessKey(), c.SessionToken()}
	if c.Password() != "" {
		// What scheme basic sends is one more secret, with forms of its own.
		secrets = append(secrets, base64.StdEncoding.EncodeToString([]byte(c.Username()+":"+c.Password())))
	}
	var patterns [][]byte
	for _, s := range secrets {
		if len(s) >= minSecret {
			patterns = appendForms(patterns, s)
		}
	}
	return &Secrets{patterns: func() [][]byte { return patterns }}
}

// appendForms adds the forms of one secret that servers and libraries make of
// what they repeat: as it is, in base64 and base64url at each of the three
// alignments, in hex, in UTF-16, and with its special characters escaped for
// URLs, JSON, HTML or mail.
func appendForms(patterns [][]byte, secret string) [][]byte {
	add := func(s string) {
		if len(s) >= minSecret && !slices.ContainsFunc(patterns, func(p []byte) bool { return string(p) == s }) {
			patterns = append(patterns, []byte(s))
		}
	}
	add(secret)
	for offset := range 3 {
		add(base64At(base64.RawStdEncoding, secret, offset))
		add(base64At(base64.RawURLEncoding, secret, offset))
	}
	digits := hex.EncodeToString([]byte(secret))
	add(digits)
	add(strings.ToUpper(digits))
	add(url.QueryEscape(secret))
	add(url.PathEscape(secret))
	for _, quoted := range []string{quotedJSON(secret, true), quotedJSON(secret, false)} {
		add(quoted)
		add(strings.ReplaceAll(quoted, "/", `\/`)) // as PHP does
	}
	for _, escape := range escapes() {
		add(escaped(secret, escape))
	}
	add(utf16Of(secret))
	return patterns
}

// quotedJSON returns what stands between the quotes of secret in JSON, with or
// without the characters escaped that HTML reads.
func quotedJSON(secret string, html bool) string {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(html)
	if encoder.Encode(secret) != nil {
		return ""
	}
	quoted := strings.TrimSpace(b.String())
	return quoted[1 : len(quoted)-1]
}

// escapes are the ways to write one special character. Each is used for all
// special characters alike, as an encoder does.
func escapes() []func(byte) string {
	format := func(verb string) func(byte) string { return func(c byte) string { return fmt.Sprintf(verb, c) } }
	return []func(byte) string{
		format("%%%02X"), format("%%%02x"), // URLs
		format(`\u%04X`), format(`\u%04x`), // JSON
		format("&#%d;"), format("&#x%X;"), format("&#x%x;"), // HTML
		format("=%02X"), // mail
	}
}

// escaped returns secret with every character that some encoder escapes
// written by escape.
func escaped(secret string, escape func(byte) string) string {
	var b strings.Builder
	for i := range len(secret) {
		if c := secret[i]; isUnreserved(c) || c >= utf8.RuneSelf {
			b.WriteByte(c)
		} else {
			b.WriteString(escape(c))
		}
	}
	return b.String()
}

// isUnreserved reports whether c stands for itself in every encoding (RFC 3986,
// section 2.3).
func isUnreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '.' || c == '_' || c == '~'
}

// utf16Of returns secret in UTF-16, without the byte at either end that differs
// between the two byte orders.
func utf16Of(secret string) string {
	units := utf16.Encode([]rune(secret))
	b := make([]byte, 0, 2*len(units))
	for _, u := range units {
		b = append(b, byte(u>>8), byte(u&0xff))
	}
	return string(bytes.Trim(b, "\x00"))
}

// base64At returns the part of the encoding that is the same whatever stands
// before and after the secret, when it begins offset bytes into a group of
// three.
func base64At(enc *base64.Encoding, secret string, offset int) string {
	encoded := enc.EncodeToString(append(make([]byte, offset), secret...))
	first := [3]int{0, 2, 3}[offset]
	last := (offset + len(secret)) * 8 / 6
	if first >= last {
		return ""
	}
	return encoded[first:last]
}

// Scrubber masks secrets in a stream that comes in pieces. It holds back only
// what could be the beginning of a secret, so a finished event is never late.
// It belongs to one answer and is not safe for concurrent use.
type Scrubber struct {
	patterns [][]byte
	held     []byte // not yet given out, unmasked
	masked   int    // how many bytes of held are part of a secret already found
	hits     int
}

// NewScrubber returns a Scrubber for one answer; a nil s scrubs nothing.
func (s *Secrets) NewScrubber() *Scrubber {
	if s == nil {
		return &Scrubber{}
	}
	return &Scrubber{patterns: s.patterns()}
}

// Hits returns how many times a secret was masked.
func (s *Scrubber) Hits() int { return s.hits }

// String returns text with every secret masked; it is for headers.
func (s *Scrubber) String(text string) string {
	b := []byte(text)
	if s.maskAll(b, 0, len(b)) == 0 {
		return text
	}
	return string(b)
}

// Next takes a piece of the stream and returns what may be given out. The
// returned slice is good until the next call. At the end call Rest.
func (s *Scrubber) Next(piece []byte) []byte {
	if len(s.patterns) == 0 {
		return piece
	}
	if len(s.held) == 0 && !s.touches(piece) {
		return piece
	}
	buf := append(s.held, piece...)
	keep := s.tail(buf)
	return s.release(buf, len(buf)-keep)
}

// Rest returns what was held back.
func (s *Scrubber) Rest() []byte { return s.release(s.held, len(s.held)) }

// touches reports whether piece holds a secret or ends in the beginning of one.
func (s *Scrubber) touches(piece []byte) bool {
	for _, p := range s.patterns {
		if bytes.Contains(piece, p) {
			return true
		}
	}
	return s.tail(piece) > 0
}

// release masks buf, returns its first n bytes and holds the rest, unmasked, so
// that a secret which only ends in the next piece is still found.
func (s *Scrubber) release(buf []byte, n int) []byte {
	out := bytes.Clone(buf)
	end := s.maskAll(out, s.masked, n)
	s.held = append([]byte(nil), buf[n:]...)
	s.masked = max(0, end-n)
	return out[:n]
}

// maskAll masks every secret in b and its first already bytes, and returns the
// end of the last masked byte. Secrets may overlap, so all are found before any
// is masked. It counts those that begin before upto: the others are met again.
func (s *Scrubber) maskAll(b []byte, already, upto int) (end int) {
	type span struct{ from, to int }
	spans := []span{{0, already}}
	for _, p := range s.patterns {
		for from := 0; ; {
			i := bytes.Index(b[from:], p)
			if i < 0 {
				break
			}
			from += i
			spans = append(spans, span{from, from + len(p)})
			if from < upto {
				s.hits++
			}
			from++
		}
	}
	for _, sp := range spans {
		for i := sp.from; i < sp.to; i++ {
			b[i] = mask
		}
		end = max(end, sp.to)
	}
	return end
}

// tail returns the length of the longest end of b that is a proper beginning
// of a secret.
func (s *Scrubber) tail(b []byte) int {
	longest := 0
	for _, p := range s.patterns {
		for n := min(len(p)-1, len(b)); n > longest; n-- {
			if bytes.HasSuffix(b, p[:n]) {
				longest = n
				break
			}
		}
	}
	return longest
}
