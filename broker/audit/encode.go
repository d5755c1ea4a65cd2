package audit

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Bounds on what a stranger can choose. With them the longest line is some
// 2.5 MiB, when every byte needs an escape; readers refuse more than maxLine.
const (
	maxField = 1 << 10 // bytes kept of one string
	maxList  = 64      // entries kept of one list
	maxLine  = 4 << 20
)

// appendBody appends the members of r from "kind" on, and the closing brace:
// all that does not depend on r's place in the log, so that the caller of
// Append encodes it and the writer does not. It is equal, read back, to what
// encoding/json makes of r with its strings and lists bounded.
func appendBody(b []byte, r *Record) []byte {
	b = append(b, `"kind":`...)
	b = appendString(b, string(r.Kind))
	b = appendText(b, `,"call":`, r.Call)
	b = appendText(b, `,"event":`, r.Event)
	b = appendText(b, `,"bundle":`, r.Bundle)
	b = appendAgent(b, r)
	b = appendCall(b, r)
	b = appendVerdict(b, r)
	b = appendCredential(b, r)
	b = appendOutcome(b, r)
	return append(b, '}')
}

func appendAgent(b []byte, r *Record) []byte {
	b = appendText(b, `,"agent":`, r.Agent)
	b = appendText(b, `,"attestor":`, r.Attestor)
	b = appendText(b, `,"evidence":`, r.Evidence)
	return appendPosture(b, r.Posture)
}

func appendCall(b []byte, r *Record) []byte {
	b = appendText(b, `,"upstream":`, r.Upstream)
	b = appendText(b, `,"method":`, r.Method)
	b = appendText(b, `,"tool":`, r.Tool)
	b = appendText(b, `,"arguments":`, r.Arguments)
	b = appendText(b, `,"body":`, r.Body)
	b = appendText(b, `,"query":`, r.Query)
	b = appendText(b, `,"session":`, r.Session)
	return appendText(b, `,"trace":`, r.Trace)
}

func appendVerdict(b []byte, r *Record) []byte {
	b = appendTrue(b, `,"allow":true`, r.Allow)
	b = appendList(b, `,"policies":`, r.Policies)
	b = appendText(b, `,"fault":`, r.Fault)
	b = appendText(b, `,"step":`, r.Step)
	b = appendText(b, `,"reason":`, r.Reason)
	return appendList(b, `,"stripped":`, r.Stripped)
}

func appendCredential(b []byte, r *Record) []byte {
	b = appendText(b, `,"credential":`, r.Credential)
	b = appendText(b, `,"provider":`, r.Provider)
	b = appendText(b, `,"scheme":`, r.Scheme)
	b = appendText(b, `,"fingerprint":`, r.Fingerprint)
	b = appendList(b, `,"scopes":`, r.Scopes)
	b = appendInstant(b, `,"not_after":"`, r.NotAfter)
	b = appendInstant(b, `,"system_end":"`, r.SystemEnd)
	b = appendTrue(b, `,"cached":true`, r.Cached)
	b = appendText(b, `,"lease":`, r.Lease)
	b = appendText(b, `,"issuer":`, r.Issuer)
	return appendTrue(b, `,"escrow":true`, r.Escrow)
}

func appendInstant(b []byte, member string, t time.Time) []byte {
	if t.IsZero() {
		return b
	}
	return append(appendTime(append(b, member...), t), '"')
}

func appendOutcome(b []byte, r *Record) []byte {
	b = appendInt(b, `,"status":`, int64(r.Status))
	b = appendInt(b, `,"bytes":`, r.Bytes)
	b = appendInt(b, `,"duration_ns":`, int64(r.Duration))
	b = appendInt(b, `,"scrub_hits":`, int64(r.ScrubHits))
	b = appendText(b, `,"subject":`, r.Subject)
	return appendInt(b, `,"count":`, r.Count)
}

func appendPosture(b []byte, facts []PostureFact) []byte {
	if len(facts) == 0 {
		return b
	}
	b = append(b, `,"posture":[`...)
	for i := range min(len(facts), maxList) {
		b = appendFact(b, i, &facts[i])
	}
	if lost := len(facts) - maxList; lost > 0 {
		b = appendFact(b, maxList, &PostureFact{Name: listMark(lost)})
	}
	return append(b, ']')
}

func appendFact(b []byte, i int, f *PostureFact) []byte {
	if i > 0 {
		b = append(b, ',')
	}
	b = appendString(append(b, `{"name":`...), f.Name)
	b = appendString(append(b, `,"value":`...), f.Value)
	b = strconv.AppendInt(append(b, `,"age_s":`...), f.AgeS, 10)
	b = appendString(append(b, `,"issuer":`...), f.Issuer)
	return append(b, '}')
}

func appendList(b []byte, name string, list []string) []byte {
	if len(list) == 0 {
		return b
	}
	b = append(append(b, name...), '[')
	for i := range min(len(list), maxList) {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, list[i])
	}
	if lost := len(list) - maxList; lost > 0 {
		b = appendString(append(b, ','), listMark(lost))
	}
	return append(b, ']')
}

func listMark(lost int) string {
	return "…[truncated " + strconv.Itoa(lost) + " entries]"
}

func appendText(b []byte, name, s string) []byte {
	if s == "" {
		return b
	}
	return appendString(append(b, name...), s)
}

func appendInt(b []byte, name string, n int64) []byte {
	if n == 0 {
		return b
	}
	return strconv.AppendInt(append(b, name...), n, 10)
}

func appendTrue(b []byte, member string, v bool) []byte {
	if !v {
		return b
	}
	return append(b, member...)
}

// appendTime appends t in UTC as RFC 3339 with nanoseconds. What that format
// cannot hold becomes its last second: an issuing system's "never" must not
// make the record of its use fail.
func appendTime(b []byte, t time.Time) []byte {
	t = t.UTC()
	if year := t.Year(); year < 0 || year > 9999 {
		t = time.Date(9999, time.December, 31, 23, 59, 59, 0, time.UTC)
	}
	return t.AppendFormat(b, time.RFC3339Nano)
}

// appendString appends s as a JSON string. Of more than maxField bytes it
// keeps as many as end at a rune border and says how many it dropped, with the hex SHA-256 of all, so that nobody can hide a name by its length; invalid
// UTF-8 becomes U+FFFD; what does not print is escaped, so that a line cannot
// drive the terminal or reorder the text of whoever reads it.
func appendString(b []byte, s string) []byte {
	kept := cut(s)
	b = appendEscaped(append(b, '"'), kept)
	if lost := len(s) - len(kept); lost > 0 {
		b = append(b, "…[truncated "...)
		b = strconv.AppendInt(b, int64(lost), 10)
		sum := sha256.Sum256([]byte(s))
		b = append(b, " bytes, sha256 "...)
		b = hex.AppendEncode(b, sum[:])
		b = append(b, ']')
	}
	return append(b, '"')
}

// Fits reports whether a record has s as it is: of what is longer it has the beginning
// alone, and what is no UTF-8 it has as other text.
func Fits(s string) bool { return len(s) <= maxField && utf8.ValidString(s) }

// cut returns the longest start of s of at most maxField bytes that does not
// split a rune.
func cut(s string) string {
	if len(s) <= maxField {
		return s
	}
	n := maxField
	for n > maxField-utf8.UTFMax && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

func appendEscaped(b []byte, s string) []byte {
	for len(s) > 0 {
		n := plain(s)
		b, s = append(b, s[:n]...), s[n:]
		if s == "" {
			break
		}
		r, size := utf8.DecodeRuneInString(s)
		b, s = appendRune(b, r), s[size:]
	}
	return b
}

// plain returns how many leading bytes of s stand for themselves in JSON.
func plain(s string) int {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c > '~' {
			return i
		}
	}
	return len(s)
}

func appendRune(b []byte, r rune) []byte {
	switch {
	case r == '"' || r == '\\':
		return append(b, '\\', byte(r))
	case unicode.IsPrint(r):
		return utf8.AppendRune(b, r)
	case r > 0xffff:
		high, low := utf16.EncodeRune(r)
		return appendUnit(appendUnit(b, high), low)
	}
	return appendUnit(b, r)
}

func appendUnit(b []byte, u rune) []byte {
	const hex = "0123456789abcdef"
	return append(b, '\\', 'u', hex[u>>12&15], hex[u>>8&15], hex[u>>4&15], hex[u&15])
}
