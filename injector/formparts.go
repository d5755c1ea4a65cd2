package injector

import (
	"bytes"
	"mime"
	"regexp"
	"strings"
)

// Servers differ in where the parts of a form begin and in what they are called:
// some go on after the end, some take the first of two names, some the last. So a
// form of parts is held to the way in which clients write it (RFC 7578), and what
// is written in another is refused.

// partField looks at a form of parts.
func partField(kind string, body []byte, sought func(name string) bool) (string, error) {
	boundary := boundaryOf(kind)
	if boundary == "" {
		return "", errForm
	}
	parts := bytes.Split(body, []byte("--"+boundary))
	last := len(parts) - 1
	if last > mostFields {
		return "", errFields
	}
	if last == 0 || len(bytes.Trim(parts[0], "\r\n")) > 0 {
		return "", errForm
	}
	if end, ok := bytes.CutPrefix(parts[last], []byte("--")); !ok || len(bytes.Trim(end, "\r\n")) > 0 {
		return "", errForm
	}
	parameter := regexp.MustCompile(`^[ \t]*([A-Za-z]+\*?)=("[^"\\]*"|[^"'\\;, \t]*|[^"\\;, \t]*)[ \t]*(;|$)`)
	for _, part := range parts[1:last] {
		if name, ok := partName(part, parameter); !ok {
			return "", errForm
		} else if sought(name) || sought(unescaped([]byte(name))) {
			return name, nil
		}
	}
	return "", nil
}

// boundaryOf returns what parts the body, or "" where servers may differ: PHP takes
// what follows the first "boundary" wherever that stands, others the parameter, also
// in the extended form of RFC 8187.
func boundaryOf(kind string) string {
	_, parameters, err := mime.ParseMediaType(kind)
	boundary := parameters["boundary"]
	if err != nil || strings.Contains(kind, "*") || !isBoundary(boundary) {
		return ""
	}
	_, rest, _ := strings.Cut(strings.ToLower(kind), "boundary")
	value := strings.TrimPrefix(strings.TrimPrefix(rest, "="), `"`)
	if rest == "" || rest[0] != '=' || !strings.HasPrefix(value, strings.ToLower(boundary)) {
		return ""
	}
	return boundary
}

// isBoundary leaves out the characters of RFC 2046 at which some servers end a
// boundary.
func isBoundary(s string) bool {
	return s != "" && len(s) <= 70 && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-_.+/:=?()", r)
	})
}

// partName returns the name of a part, which may be none, and false where it can't
// be read in one way. The text begins and ends with the line breaks of its
// delimiters.
func partName(text []byte, parameter *regexp.Regexp) (name string, ok bool) {
	head, _, ok := bytes.Cut(text, []byte("\r\n\r\n"))
	if !ok || !bytes.HasPrefix(text, []byte("\r\n")) || !bytes.HasSuffix(text, []byte("\r\n")) {
		return "", false
	}
	said := false
	for line := range bytes.SplitSeq(bytes.TrimPrefix(head, []byte("\r\n")), []byte("\r\n")) {
		switch header, value, ok := partHeader(line); {
		case !ok:
			return "", false
		case header != "content-disposition" && header != "content-id": // by which Rack names a part without the other
		case said:
			return "", false
		case header == "content-id":
			name, said = strings.Trim(value, "<>"), true
		default:
			if name, said = disposed(value, parameter); !said {
				return "", false
			}
		}
	}
	return name, true
}

// partHeader reads one line of a part's head: one that goes on from the line before
// is none.
func partHeader(line []byte) (name, value string, ok bool) {
	if len(line) == 0 {
		return "", "", true // a part without a head
	}
	before, after, ok := bytes.Cut(line, []byte(":"))
	if !ok || bytes.ContainsFunc(before, func(r rune) bool { return r <= ' ' || r > '~' }) ||
		bytes.ContainsFunc(after, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
		return "", "", false
	}
	return strings.ToLower(string(before)), strings.Trim(string(after), " \t"), true
}

// disposed returns the name in a Content-Disposition: plain, given once, and in no
// encoding (RFC 2047, RFC 8187).
func disposed(value string, parameter *regexp.Regexp) (name string, ok bool) {
	named := false
	kind, rest, _ := strings.Cut(value, ";")
	if strings.ContainsAny(kind, `"'=\`) {
		return "", false
	}
	for rest != "" {
		found := parameter.FindStringSubmatch(rest)
		if found == nil {
			return "", false
		}
		switch rest = rest[len(found[0]):]; strings.ToLower(found[1]) {
		case "filename", "filename*":
		case "name":
			name = strings.Trim(found[2], `"`)
			if named || strings.ContainsAny(found[2], "'\\") || strings.Contains(name, "=?") {
				return "", false
			}
			named = true
		default:
			return "", false
		}
	}
	return strings.TrimSpace(name), true
}
