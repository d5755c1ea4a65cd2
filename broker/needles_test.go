package broker_test

import (
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/url"
	"strings"
	"sync"
)

// writings are the ordinary ways in which a server writes a text.
func writings() map[string]func(string) string {
	m := map[string]func(string) string{
		"raw":     func(s string) string { return s },
		"hex":     func(s string) string { return fmt.Sprintf("%x", s) },
		"HEX":     func(s string) string { return strings.ToUpper(fmt.Sprintf("%x", s)) },
		"query":   url.QueryEscape,
		"path":    url.PathEscape,
		"html":    html.EscapeString,
		"HTML 5":  asNamed().Replace,
		"JSON":    func(s string) string { b, _ := json.Marshal(s); return string(b[1 : len(b)-1]) },
		"all %":   func(s string) string { return eachByte(s, "%%%02x") },
		`all \u`:  func(s string) string { return eachByte(s, `\u%04x`) },
		"slashes": func(s string) string { return strings.ReplaceAll(s, "/", `\/`) },
	}
	for _, two := range [][2]string{{"query", "query"}, {"html", "html"}, {"JSON", "JSON"}, {"html", "JSON"}, {"all %", "query"}, {`all \u`, "JSON"}} {
		inner, outer := m[two[0]], m[two[1]]
		m[two[0]+" in "+two[1]] = func(s string) string { return outer(inner(s)) }
	}
	for before := range 3 {
		m[fmt.Sprintf("base64 after %d", before)] = func(s string) string { return base64.StdEncoding.EncodeToString([]byte("xx"[:before] + s)) }
		m[fmt.Sprintf("base64url after %d", before)] = func(s string) string {
			return base64.RawURLEncoding.EncodeToString([]byte("xx"[:before] + s))
		}
	}
	return m
}

// asNamed writes by its name in HTML 5 what has one, as PHP's htmlentities does.
func asNamed() *strings.Replacer {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "+", "&plus;", "%", "&percnt;", ".", "&period;", "/", "&sol;", `\`, "&bsol;", "_", "&lowbar;")
}

func eachByte(s, format string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		fmt.Fprintf(&b, format, c)
	}
	return b.String()
}

// needle is a writing of a secret that is looked for.
type needle struct{ text, of string }

// needles are the writings of secrets. What neighbours decide of base64 is left out.
type needles struct {
	mu   sync.Mutex
	made map[string][]needle
}

func (n *needles) of(secret string) []needle {
	n.mu.Lock()
	defer n.mu.Unlock()
	if found, ok := n.made[secret]; ok {
		return found
	}
	if n.made == nil {
		n.made = make(map[string][]needle)
	}
	seen := map[string]bool{}
	for name, write := range writings() {
		text := write(secret)
		if strings.HasPrefix(name, "base64") {
			text = text[2 : len(text)-4]
		}
		if !seen[text] {
			n.made[secret] = append(n.made[secret], needle{text, fmt.Sprintf("%.14q… in %s", secret, name)})
		}
		seen[text] = true
	}
	return n.made[secret]
}

// sightings looks for secrets in a place where none may be, in each writing. Of a
// secret in parts, sixteen characters are too many.
func (n *needles) sightings(content string, secrets []string) (found []string) {
	said := joined(content)
	all := content + gunzipped(content) + said
	for _, secret := range secrets {
		for _, one := range n.of(secret) {
			if strings.Contains(all, one.text) {
				found = append(found, one.of)
			}
		}
		for i := alike(secret); said != "" && i+16 <= len(secret); i++ {
			if strings.Contains(said, secret[i:i+16]) {
				found = append(found, fmt.Sprintf("a part of %.14q…", secret))
				break
			}
		}
	}
	return found
}

// alike returns how much of a secret is how all of its kind begin.
func alike(secret string) int {
	for _, kind := range []string{jwtBeginning, linkBeginning, "FwoGZXIvYXdz//"} {
		if strings.HasPrefix(secret, kind) {
			return len(kind)
		}
	}
	return 0
}

// joined is what a client makes of a stream: its events' strings, one after another.
func joined(content string) string {
	var b strings.Builder
	for line := range strings.SplitSeq(content, "\n") {
		if _, text, ok := strings.Cut(line, `"delta":"`); ok {
			text, _, _ = strings.Cut(text, `"`)
			b.WriteString(text)
		}
	}
	return b.String()
}

func gunzipped(content string) string {
	i := strings.Index(content, "\x1f\x8b\x08")
	if i < 0 {
		return ""
	}
	z, err := gzip.NewReader(strings.NewReader(content[i:]))
	if err != nil {
		return ""
	}
	text, _ := io.ReadAll(z)
	return string(text)
}
