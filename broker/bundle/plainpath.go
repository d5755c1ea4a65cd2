package bundle

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// PlainPath returns nil for a path that every server reads alike, so that what
// a policy judges, what is sent and what is served are one path. It takes both
// forms of the path: decoded is what policies match, escaped is what is sent.
// One trailing slash is fine. What a server reads as one in a way of its own is not
// known here: letters in either case, or a name with dots at its end. The error names what was expected and the part
// that came instead, which is short and safe to show to whoever sent it.
func PlainPath(decoded, escaped string) error {
	for _, rule := range []func(decoded, escaped string) refusal{plainText, plainEscapes, plainSegments, samePath} {
		if r := rule(decoded, escaped); r.want != "" {
			return r
		}
	}
	return nil
}

// plainText refuses what ends a path or a line for some server, and bytes that
// are no text: a lenient decoder takes the overlong %c0%ae for a dot.
func plainText(decoded, _ string) (r refusal) {
	for rest := decoded; rest != ""; {
		c, n := utf8.DecodeRuneInString(rest)
		switch {
		case c == utf8.RuneError && n == 1:
			return refusal{want: "UTF-8", got: fmt.Sprintf("byte %#x", rest[0])}
		case unicode.IsControl(c):
			return refusal{want: "no control characters", got: fmt.Sprintf("%U", c)}
		case strings.ContainsRune(`;?#`, c):
			return refusal{want: "no semicolon, question mark or number sign", got: strconv.QuoteRune(c)}
		}
		rest = rest[n:]
	}
	return r
}

// plainEscapes refuses what has a meaning for some servers when it is escaped,
// and for others when it is not.
func plainEscapes(decoded, escaped string) (r refusal) {
	for rest := escaped; rest != ""; rest = rest[1:] {
		if len(rest) >= 3 && rest[0] == '%' {
			switch strings.ToLower(rest[:3]) {
			case "%2f", "%5c", "%25", "%2e":
				return refusal{want: "no escaped slash, backslash, percent or dot", got: strconv.Quote(rest[:3])}
			}
		}
	}
	if strings.ContainsRune(decoded, '\\') {
		return refusal{want: "no backslash", got: strconv.Quote(`\`)}
	}
	return r
}

// plainSegments refuses what is resolved away on the way. More dots than two, and spaces
// after them, are that where a name loses those at its end, as on Windows.
func plainSegments(decoded, _ string) (r refusal) {
	if !strings.HasPrefix(decoded, "/") {
		return refusal{want: "a leading slash", got: "none"}
	}
	if strings.Contains(decoded, "//") {
		return refusal{want: "no empty segments", got: strconv.Quote("//")}
	}
	for segment := range strings.SplitSeq(decoded, "/") {
		if segment != "" && strings.Trim(segment, ". ") == "" {
			return refusal{want: "no dot segments", got: strconv.Quote(segment)}
		}
	}
	return r
}

// samePath refuses two forms that are not of one path.
func samePath(decoded, escaped string) (r refusal) {
	if (&url.URL{Path: decoded, RawPath: escaped}).EscapedPath() != escaped {
		return refusal{want: "the escaped form of the same path", got: "another"}
	}
	return r
}
