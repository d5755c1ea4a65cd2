package broker_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
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
	key := c.issued.key // nobody but the broker has it
	switch c.Shape {
	case "bound":
		return providers.Seal(providers.Token, providers.Material{Token: secret("1//bound+%41/Zm9v"), Key: providers.NewPrivateKey(key)}, terms), nil
	case "certificate":
		of := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "orders"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: terms.NotAfter}
		der, err := x509.CreateCertificate(rand.Reader, of, of, key.Public(), key)
		if err != nil {
			return providers.Credential{}, err
		}
		return providers.Seal(providers.X509, providers.Material{Chain: [][]byte{der}, Key: providers.NewPrivateKey(key)}, terms), nil
	}
	return providers.Credential{}, fmt.Errorf("expected a shape, got %q", c.Shape)
}

// shape is a credential and the way in which it is put on a request.
type shape struct {
	of, injection string
	only          string // "api": of a plain upstream; "https": over TLS
}

// shapes are the ways in which a credential is put on a request: what a hostile
// upstream gets by each.
func shapes() map[string]shape {
	return map[string]shape{
		"bearer":   {"token", "scheme: bearer", ""},
		"basic":    {"password", "scheme: basic", ""},
		"header":   {"token", `scheme: header, header: X-Api-Key, template: "key {token}"`, ""},
		"password": {"password", `scheme: header, header: X-Login, template: "{username}/{password}"`, ""},
		"query":    {"token", "scheme: query, parameter: api_key", ""},
		"cookie":   {"token", "scheme: cookie, cookie: sid", ""},
		"body":     {"token", "scheme: body, field: code", "api"},
		"sigv4":    {"aws", "scheme: sigv4, region: eu-central-1, service: s3", ""},
		"sigv4a":   {"aws", `scheme: sigv4a, region: "*", service: s3`, ""},
		"dpop":     {"bound", "scheme: dpop", ""},
		"mtls":     {"certificate", "scheme: mtls", "https"},
	}
}

// hostile returns a world in which every shape that can go over http has an MCP
// upstream and a plain one of its name, and "-http".
func hostile(t testing.TB) *world {
	t.Helper()
	return hostileOver(t, "http", slices.Collect(maps.Keys(shapes()))...)
}

// hostileOver returns a world with upstreams of some shapes that are called in one way.
func hostileOver(t testing.TB, way string, names ...string) *world {
	t.Helper()
	w := open(t, func(s *setup) {
		s.Policy = `
permit (principal == Agent::"spiffe://example.org/agent/shop", action in [Action::"http", Action::"tools/call"], resource);`
	})
	url, also := "http://"+w.upstream.address, ""
	if way != "http" {
		url, also = w.serveOver(way, w.upstream)
	}
	w.registerShapes(url, also, names...)
	return w
}

// registerShapes registers upstreams of some shapes at a URL.
func (w *world) registerShapes(url, also string, names ...string) {
	w.t.Helper()
	w.issuer.key = newKey(w.t)
	scalar, err := w.issuer.key.Bytes()
	if err != nil {
		w.t.Fatal(err)
	}
	w.issuer.keys = append(w.issuer.keys, string(scalar), w.issuer.key.D.String()) //nolint:staticcheck // as a leak may have it
	var with, ups strings.Builder
	for _, name := range names {
		s := shapes()[name]
		if s.only == "https" && also == "" {
			continue
		}
		fmt.Fprintf(&with, "  c-%s: {kind: canary, shape: %s}\n", name, s.of)
		if s.only != "api" {
			fmt.Fprintf(&ups, "  %s: {url: \"%s/mcp\", %stimeout: 5s, credentials: [{provider: c-%s, %s}]}\n", name, url, also, name, s.injection)
		}
		fmt.Fprintf(&ups, "  %s-http: {kind: http, url: \"%s/v1\", %stimeout: 5s, credentials: [{provider: c-%s, %s}]}\n", name, url, also, name, s.injection)
	}
	w.rewriteOnly("mintmark.yaml", "\nproviders:\n", "\nproviders:\n"+with.String())
	if err := w.change("mintmark.yaml", "\nupstreams:\n", "\nupstreams:\n"+ups.String()); err != nil {
		w.t.Fatal(err)
	}
}

// stolen returns what a request carries that its sender's agent must not see.
func stolen(r *http.Request) (found []string) {
	add := func(s string) {
		if s != "" {
			found = append(found, s)
		}
	}
	switch kind, text, _ := strings.Cut(r.Header.Get("Authorization"), " "); {
	case kind == "Basic":
		_, password, _ := r.BasicAuth()
		add(text)
		add(password)
	case !strings.HasPrefix(kind, "AWS4"): // which is good for this request alone
		add(text)
	}
	add(strings.TrimPrefix(r.Header.Get("X-Api-Key"), "key "))
	add(strings.TrimPrefix(r.Header.Get("X-Login"), "v-orders/"))
	add(r.URL.Query().Get("api_key"))
	add(strings.TrimPrefix(r.Header.Get("Cookie"), "sid="))
	add(r.Header.Get("X-Amz-Security-Token"))
	var member struct{ Code string }
	if json.Unmarshal([]byte(bodyOf(r)), &member) == nil {
		add(member.Code)
	}
	return found
}

// bodyOf returns the body of a request, which can be read again.
func bodyOf(r *http.Request) string {
	text, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(text))
	return string(text)
}

// proof is what is no secret and shows that the credential came: the client's
// certificate, or nothing.
func proof(r *http.Request) string {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return ""
	}
	return base64.StdEncoding.EncodeToString(r.TLS.PeerCertificates[0].Raw)
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
	return strings.TrimSpace(b.String() + proof(r))
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
		for i := 0; said != "" && i+16 <= len(secret); i++ {
			if strings.Contains(said, secret[i:i+16]) {
				found = append(found, fmt.Sprintf("a part of %.14q…", secret))
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
// The metrics and the standard log are looked at by wantNoTrace.
func (w *world) wantNoSighting(got answer) {
	w.t.Helper()
	w.wantUnseen(map[string]string{
		"the answer": fmt.Sprint(got.status, got.header, got.body, got.err), "what went over the wire": string(w.received.take()),
		"the log": string(w.logged.take()),
	})
	if key := w.needles.sightings(w.upstream.got(), w.issuer.keys); len(key) > 0 {
		w.t.Errorf("the upstream got a private key: %v", key)
	}
}

// wantNoTrace looks for them where what many calls leave is one text.
func (w *world) wantNoTrace() {
	w.t.Helper()
	metrics := httptest.NewRecorder()
	w.broker.Admin().ServeHTTP(metrics, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	w.wantUnseen(map[string]string{"the metrics": metrics.Body.String(), "the standard log": string(printed.bytes())})
}

func (w *world) wantUnseen(places map[string]string) {
	w.t.Helper()
	secrets := w.issuer.secrets()
	for where, content := range places {
		for _, seen := range w.needles.sightings(content, secrets) {
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
