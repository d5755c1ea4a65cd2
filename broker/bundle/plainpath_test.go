package bundle_test

import (
	"net/url"
	"path"
	"strings"
	"testing"

	"mintmark/broker/bundle"
)

// escapedPaths are paths as they are sent, with what is said against them; ""
// for those that every server reads alike.
func escapedPaths() map[string]string {
	return map[string]string{
		"/":               "",
		"/v1/items":       "",
		"/v1/items/":      "",
		"/v1/.hidden":     "",
		"/a..b/..c":       "",
		"/a./b..":         "", // as documented: two paths to most, to some the same as /a/b
		"/a%20/%20b":      "",
		"/a%20b":          "",
		"/%41":            "",
		"/gr%C3%BCn":      "",
		"/a:b@c,d=e+f&g!": "",
		"/[a]":            "",
		"/%5Ba%5D":        "",

		"":   "a leading slash, got none",
		"v1": "a leading slash, got none",

		"/x%ff":            `UTF-8, got byte 0xff`,
		"/x%c0%ae%c0%ae/y": `UTF-8, got byte 0xc0`,
		"/x%ED%A0%80":      `UTF-8, got byte 0xed`,
		"/x%F4%90%80%80":   `UTF-8, got byte 0xf4`,
		"/x%0ay":           `no control characters, got U+000A`,
		"/x%00":            `no control characters, got U+0000`,
		"/x%1F":            `no control characters, got U+001F`,
		"/x%7f":            `no control characters, got U+007F`,
		"/x%C2%85":         `no control characters, got U+0085`,
		"/a%2fb":           `no escaped slash, backslash, percent or dot, got "%2f"`,
		"/a%2Fb":           `no escaped slash, backslash, percent or dot, got "%2F"`,
		"/a%5cb":           `no escaped slash, backslash, percent or dot, got "%5c"`,
		"/a%252fb":         `no escaped slash, backslash, percent or dot, got "%25"`,
		"/%2e%2e/b":        `no escaped slash, backslash, percent or dot, got "%2e"`,
		"/a%2Eb":           `no escaped slash, backslash, percent or dot, got "%2E"`,
		"/%20%2F":          `no escaped slash, backslash, percent or dot, got "%2F"`,
		`/a\b`:             `no backslash, got "\\"`,
		"/a;b":             `no semicolon, question mark or number sign, got ';'`,
		"/a%3bb":           `no semicolon, question mark or number sign, got ';'`,
		"/a%3Fb":           `no semicolon, question mark or number sign, got '?'`,
		"/a%23b":           `no semicolon, question mark or number sign, got '#'`,
		"/.":               `no dot segments, got "."`,
		"/a/./b":           `no dot segments, got "."`,
		"/..":              `no dot segments, got ".."`,
		"/../":             `no dot segments, got ".."`,
		"/a/../b":          `no dot segments, got ".."`,
		"/a/..":            `no dot segments, got ".."`,
		"/a/.":             `no dot segments, got "."`,
		"/a/./":            `no dot segments, got "."`,
		"/a/...":           `no dot segments, got "..."`,
		"/.../a":           `no dot segments, got "..."`,
		"/a/..%20/b":       `no dot segments, got ".. "`,
		"/a/.%20.":         `no dot segments, got ". ."`,
		"/a/%20":           `no dot segments, got " "`,
		"//":               `no empty segments, got "//"`,
		"//a":              `no empty segments, got "//"`,
		"/a//b":            `no empty segments, got "//"`,
		"/a//":             `no empty segments, got "//"`,
		"/a b":             `the escaped form of the same path, got another`,
		"/gr\u00fcn":       `the escaped form of the same path, got another`,
		"/a\"b":            `the escaped form of the same path, got another`,
	}
}

func TestPlainPath(t *testing.T) {
	for escaped, want := range escapedPaths() {
		decoded, err := url.PathUnescape(escaped)
		if err != nil {
			t.Fatalf("%q: %v", escaped, err)
		}
		got := bundle.PlainPath(decoded, escaped)
		switch {
		case want == "" && got != nil:
			t.Errorf("%q: got %q, want it accepted", escaped, got)
		case want != "" && (got == nil || got.Error() != "expected "+want):
			t.Errorf("%q: got %v, want %q", escaped, got, "expected "+want)
		}
	}
}

// TestPlainPathOfTwoPaths holds that what is judged is what is sent.
func TestPlainPathOfTwoPaths(t *testing.T) {
	for _, p := range [][2]string{{"/a", "/b"}, {"/a", ""}, {"/a", "/a?b"}, {"/a", "/a#b"}, {"/a", "/%6"}, {"/a", "/%zz"}, {"/", "//"}, {"/a", "/a/../a"}} {
		if err := bundle.PlainPath(p[0], p[1]); err == nil {
			t.Errorf("%q sent as %q: got no error", p[0], p[1])
		}
	}
}

// FuzzPlainPath holds that what is accepted can be read in one way only.
func FuzzPlainPath(f *testing.F) {
	for escaped := range escapedPaths() {
		f.Add(escaped)
	}
	f.Fuzz(func(t *testing.T, escaped string) {
		decoded, err := url.PathUnescape(escaped)
		if err != nil {
			decoded = escaped
		}
		if bundle.PlainPath(decoded, escaped) != nil {
			return
		}
		u, err := url.Parse(escaped)
		if err != nil || u.EscapedPath() != escaped || u.Path != decoded || u.Host != "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
			t.Errorf("%q is %#v, %v: want a path alone, and the same bytes again", escaped, u, err)
		}
		if bare := strings.TrimSuffix(decoded, "/"); bare != "" && path.Clean(decoded) != bare || bare == "" && decoded != "/" {
			t.Errorf("%q is cleaned to %q", decoded, path.Clean(decoded))
		}
		again, err := url.PathUnescape(decoded)
		if err != nil || again != decoded {
			t.Errorf("%q is %q (%v) to who decodes twice", decoded, again, err)
		}
	})
}
