package broker_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"mintmark/providers"
)

// canaries is a provider of credentials of one shape, which the issuer remembers:
// whatever is found of them where none may be is a leak.
type canaries struct {
	Shape  string `yaml:"shape"`
	issued *issuer
}

// Mint implements providers.Provider.
func (c canaries) Mint(context.Context, providers.Request) (providers.Credential, error) {
	secret := func(what string) providers.Secret { return providers.NewSecret(c.issued.issue(what)) }
	terms := providers.Terms{NotAfter: time.Now().Add(time.Hour)}
	switch c.Shape {
	case "token":
		return providers.Seal(providers.Token, providers.Material{Token: secret("1//tok+%41/Zm9v")}, terms), nil
	case "password":
		return providers.Seal(providers.Password, providers.Material{Username: "v-orders", Password: secret(`p&ss"<w>\rd`)}, terms), nil
	case "aws":
		return providers.Seal(providers.AWS, providers.Material{AccessKeyID: "AKIAEXAMPLE", SecretAccessKey: secret("aws/secret+key"), SessionToken: secret("FwoGZXIvYXdz//session+token")}, terms), nil
	}
	return providers.Credential{}, fmt.Errorf("expected a shape, got %q", c.Shape)
}

// shapes are the ways in which a credential is put on a request: what a hostile
// upstream gets by each.
func shapes() map[string]struct{ shape, injection string } {
	return map[string]struct{ shape, injection string }{
		"bearer":   {"token", "scheme: bearer"},
		"basic":    {"password", "scheme: basic"},
		"header":   {"token", `scheme: header, header: X-Api-Key, template: "key {token}"`},
		"password": {"password", `scheme: header, header: X-Login, template: "{username}/{password}"`},
		"query":    {"token", "scheme: query, parameter: api_key"},
		"cookie":   {"token", "scheme: cookie, cookie: sid"},
		"sigv4":    {"aws", "scheme: sigv4, region: eu-central-1, service: s3"},
	}
}

// hostile returns a world in which every shape has an MCP upstream and a plain one
// of its name, and "-http".
func hostile(t *testing.T) *world {
	t.Helper()
	w := open(t, func(s *setup) {
		s.Policy = `
permit (principal == Agent::"spiffe://example.org/agent/shop", action in [Action::"http", Action::"tools/call"], resource);`
	})
	var with, ups strings.Builder
	for name, s := range shapes() {
		fmt.Fprintf(&with, "  c-%s: {kind: canary, shape: %s}\n", name, s.shape)
		fmt.Fprintf(&ups, "  %s: {url: \"http://%s/mcp\", timeout: 5s, credentials: [{provider: c-%s, %s}]}\n", name, w.upstream.address, name, s.injection)
		fmt.Fprintf(&ups, "  %s-http: {kind: http, url: \"http://%s/v1\", timeout: 5s, credentials: [{provider: c-%s, %s}]}\n", name, w.upstream.address, name, s.injection)
	}
	w.rewriteOnly("mintmark.yaml", "\nproviders:\n", "\nproviders:\n"+with.String())
	if err := w.change("mintmark.yaml", "\nupstreams:\n", "\nupstreams:\n"+ups.String()); err != nil {
		t.Fatal(err)
	}
	return w
}

// stolen returns what a request carries that its sender's agent must not see.
func stolen(r *http.Request) (found []string) {
	add := func(s string) {
		if s != "" {
			found = append(found, s)
		}
	}
	add(bearerOf(r))
	if _, password, ok := r.BasicAuth(); ok {
		found = []string{strings.TrimPrefix(r.Header.Get("Authorization"), "Basic "), password}
	}
	if strings.HasPrefix(r.Header.Get("Authorization"), "AWS4") {
		found = nil // good for this request alone
	}
	add(strings.TrimPrefix(r.Header.Get("X-Api-Key"), "key "))
	add(strings.TrimPrefix(r.Header.Get("X-Login"), "v-orders/"))
	add(r.URL.Query().Get("api_key"))
	add(strings.TrimPrefix(r.Header.Get("Cookie"), "sid="))
	add(r.Header.Get("X-Amz-Security-Token"))
	return found
}

// writings are the ordinary ways in which a server writes a text.
func writings() map[string]func(string) string {
	m := map[string]func(string) string{
		"raw":     func(s string) string { return s },
		"hex":     func(s string) string { return fmt.Sprintf("%x", s) },
		"HEX":     func(s string) string { return strings.ToUpper(fmt.Sprintf("%x", s)) },
		"query":   url.QueryEscape,
		"path":    url.PathEscape,
		"html":    html.EscapeString,
		"JSON":    func(s string) string { b, _ := json.Marshal(s); return string(b[1 : len(b)-1]) },
		"all %":   func(s string) string { return eachByte(s, "%%%02x") },
		`all \u`:  func(s string) string { return eachByte(s, `\u%04x`) },
		"slashes": func(s string) string { return strings.ReplaceAll(s, "/", `\/`) },
	}
	for before := range 3 {
		m[fmt.Sprintf("base64 after %d", before)] = func(s string) string { return base64.StdEncoding.EncodeToString([]byte("xx"[:before] + s)) }
		m[fmt.Sprintf("base64url after %d", before)] = func(s string) string {
			return base64.RawURLEncoding.EncodeToString([]byte("xx"[:before] + s))
		}
	}
	return m
}

func eachByte(s, format string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		fmt.Fprintf(&b, format, c)
	}
	return b.String()
}

// loot is all that was stolen, in all writings, with nothing between that a header
// could not have.
func loot(r *http.Request) string {
	var b strings.Builder
	for _, s := range stolen(r) {
		for _, write := range writings() {
			b.WriteString(write(s) + " ")
		}
	}
	return strings.TrimSpace(b.String())
}

// sighting looks for secrets in a place where none may be, in each writing. What
// neighbours decide of base64 is left out. Of a secret in parts, sixteen characters
// are too many.
func sightings(content string, secrets []string) (found []string) {
	all, said := content+gunzipped(content), joined(content)
	all += said
	for _, secret := range secrets {
		for name, write := range writings() {
			text := write(secret)
			if strings.HasPrefix(name, "base64") {
				text = text[2 : len(text)-4]
			}
			if strings.Contains(all, text) {
				found = append(found, fmt.Sprintf("%.14s… in %s", secret, name))
			}
		}
		for i := 0; said != "" && i+16 <= len(secret); i++ {
			if strings.Contains(said, secret[i:i+16]) {
				found = append(found, fmt.Sprintf("a part of %.14s…", secret))
				break
			}
		}
	}
	return found
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

func zipped(text string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = io.WriteString(z, text)
	_ = z.Close()
	return b.String()
}

// wantNoSighting looks for the world's secrets in all that came out of the broker.
func (w *world) wantNoSighting(got answer) {
	w.t.Helper()
	metrics := httptest.NewRecorder()
	w.broker.Admin().ServeHTTP(metrics, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	w.wantUnseen(map[string]string{
		"the answer": fmt.Sprint(got.status, got.header, got.body, got.err), "what went over the wire": string(w.received.take()),
		"the log": string(w.logged.take()), "the standard log": string(printed.take()), "the metrics": metrics.Body.String(),
	})
}

func (w *world) wantUnseen(places map[string]string) {
	w.t.Helper()
	for where, content := range places {
		for _, seen := range sightings(content, w.issuer.secrets()) {
			w.t.Errorf("found in %s: %s", where, seen)
		}
	}
}

// take returns what was written since it was last taken.
func (b *lockedBuffer) take() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	news := bytes.Clone(b.buf.Bytes()[b.taken:])
	b.taken = b.buf.Len()
	return news
}
