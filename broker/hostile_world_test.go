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
	"io"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"mintmark/internal/trustdomain"
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
	case "jwt": // one issuer's begin alike: with their header, and what their payload says first
		return providers.Seal(providers.Token, providers.Material{Token: secret(jwtBeginning + rand.Text()[:10] + "." + rand.Text())}, terms), nil
	case "link":
		return providers.Seal(providers.Token, providers.Material{Token: secret(linkBeginning + rand.Text())}, terms), nil
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

// How tokens of one issuer begin. The first is {"alg":"RS256","typ":"JWT"}.{"iss":"https://as.example.org","aud":"ord
const (
	jwtBeginning  = "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2FzLmV4YW1wbGUub3JnIiwiYXVkIjoib3Jk"
	linkBeginning = "https://hooks.example.org/services/"
)

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
		"jwt":      {"jwt", "scheme: bearer", ""},
		"link":     {"link", "scheme: bearer", ""},
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
	// What is tried takes minutes: answers that are full of a secret have a pace.
	w.agent = w.token(w.domain, "shop", trustdomain.JWTRequest{Lifetime: time.Hour})
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
