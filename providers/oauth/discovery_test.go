package oauth_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"mintmark/broker/bundle"
	"mintmark/internal/fault"
	"mintmark/providers"
	"mintmark/providers/internal/providertest"
	"mintmark/providers/oauth"
)

// host serves documents by their path, and tokens, and notes what it was asked.
type host struct {
	*httptest.Server
	mu        sync.Mutex
	documents map[string]string // {} stands for the host's own URL
	challenge string            // of what is at /mcp
	asked     []string
}

func newHost(t *testing.T, documents map[string]string) *host {
	t.Helper()
	h := &host{documents: documents}
	h.Server = httptest.NewServer(h)
	t.Cleanup(h.Close)
	return h
}

// ServeHTTP answers.
func (h *host) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asked = append(h.asked, r.URL.Path)
	document, found := h.documents[r.URL.Path]
	switch {
	case found:
		ok(strings.ReplaceAll(document, "{}", h.URL))(w, r)
	case r.URL.Path == "/token":
		ok(bearer)(w, r)
	case r.URL.Path == "/mcp" && h.challenge != "":
		w.Header().Set("WWW-Authenticate", strings.ReplaceAll(h.challenge, "{}", h.URL))
		w.WriteHeader(http.StatusUnauthorized)
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

func (h *host) config(t *testing.T, issuer string) oauth.Config {
	return oauth.Config{Issuer: providertest.URL(t, h.URL+issuer), ClientID: "mintmark", ClientSecret: providertest.Ref(t, canary)}
}

const (
	rfc8414 = "/.well-known/oauth-authorization-server"
	oidc    = "/.well-known/openid-configuration"
	rfc9728 = "/.well-known/oauth-protected-resource"
	good    = `{"issuer":"{}","token_endpoint":"{}/token"}`
)

func TestMetadataIsFoundWhereStandardsPutIt(t *testing.T) {
	for name, tt := range map[string]struct {
		issuer string
		at     string
		want   []string
	}{
		"RFC 8414":              {"", rfc8414, []string{rfc8414}},
		"OpenID Connect":        {"", oidc, []string{rfc8414, oidc}},
		"RFC 8414, tenant":      {"/t1", rfc8414 + "/t1", []string{rfc8414 + "/t1"}},
		"OpenID, tenant, RFC":   {"/t1", oidc + "/t1", []string{rfc8414 + "/t1", oidc + "/t1"}},
		"OpenID, tenant, below": {"/t1", "/t1" + oidc, []string{rfc8414 + "/t1", oidc + "/t1", "/t1" + oidc}},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, map[string]string{tt.at: fmt.Sprintf(`{"issuer":"{}%s","token_endpoint":"{}/token"}`, tt.issuer)})
			p := open(t, h.config(t, tt.issuer), providers.Env{})
			for range 2 { // the second time it is known
				if _, err := p.Mint(t.Context(), providers.Request{}); err != nil {
					t.Fatal(err)
				}
			}
			if want := append(tt.want, "/token", "/token"); !slices.Equal(h.asked, want) {
				t.Errorf("asked: got %v, want %v", h.asked, want)
			}
		})
	}
}

func TestMetadataIsReadAgain(t *testing.T) {
	now := time.Now()
	h := newHost(t, map[string]string{rfc8414: good})
	p := open(t, h.config(t, ""), providers.Env{Clock: func() time.Time { return now }})
	for range 2 {
		if _, err := p.Mint(t.Context(), providers.Request{}); err != nil {
			t.Fatal(err)
		}
		now = now.Add(time.Hour)
	}
	h.documents[rfc8414] = strings.Replace(good, `"{}"`, `"https://evil.example.org"`, 1)
	if _, err := p.Mint(t.Context(), providers.Request{}); fault.KindOf(err) != fault.Internal {
		t.Errorf("changed metadata: got %v, want it refused", err)
	}
}

func TestMetadataThatIsRefused(t *testing.T) {
	const unusable = "the metadata of the authorization server cannot be used"
	for name, tt := range map[string]struct {
		document string
		hint     string
	}{
		"another issuer":        {`{"issuer":"https://evil.example.org","token_endpoint":"{}/token"}`, unusable},
		"issuer with a slash":   {`{"issuer":"{}/","token_endpoint":"{}/token"}`, unusable},
		"no issuer":             {`{"token_endpoint":"{}/token"}`, unusable},
		"no token endpoint":     {`{"issuer":"{}"}`, unusable},
		"plaintext endpoint":    {`{"issuer":"{}","token_endpoint":"http://as.example.org/token"}`, unusable},
		"file":                  {`{"issuer":"{}","token_endpoint":"file:///etc/passwd"}`, unusable},
		"user info":             {`{"issuer":"{}","token_endpoint":"https://a:` + canary + `@as.example.org/token"}`, unusable},
		"plaintext revocation":  {`{"issuer":"{}","token_endpoint":"{}/token","revocation_endpoint":"http://as.example.org/r"}`, unusable},
		"another type":          {`{"issuer":["{}"]}`, "the metadata of the authorization server is not JSON"},
		"no JSON":               {canary, "the metadata of the authorization server is not JSON"},
		"proofs by others only": {`{"issuer":"{}","token_endpoint":"{}/token","dpop_signing_alg_values_supported":["RS256"]}`, unusable},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, map[string]string{rfc8414: tt.document, oidc: good})
			c := h.config(t, "")
			c.DPoP = name == "proofs by others only"
			r := providertest.One(t, open(t, c, providers.Env{}), canary)
			defer r.Stop(t)
			_, _, err := r.Lease(t.Context(), "db", providers.Request{})
			if fault.HintOf(err) != tt.hint || strings.Contains(err.Error(), canary) || strings.Contains(err.Error(), "evil") {
				t.Errorf("got %v, want %q and nothing of the document", err, tt.hint)
			}
			if slices.Contains(h.asked, "/token") || slices.Contains(h.asked, oidc) {
				t.Errorf("asked: got %v, want nothing after the first document", h.asked)
			}
		})
	}
}

func TestIssuerIsFoundByTheResource(t *testing.T) {
	const named = `{"resource":"{}/mcp","authorization_servers":["{}"]}`
	for name, tt := range map[string]struct {
		documents map[string]string
		challenge string
		want      []string
	}{
		"below well-known":   {map[string]string{rfc9728 + "/mcp": named}, "", []string{rfc9728 + "/mcp"}},
		"where a 401 says":   {map[string]string{"/elsewhere": named}, `Bearer error="x", resource_metadata="{}/elsewhere"`, []string{rfc9728 + "/mcp", "/mcp", "/elsewhere"}},
		"at the host's root": {map[string]string{rfc9728: named}, "", []string{rfc9728 + "/mcp", "/mcp", "/mcp", rfc9728}},
		"not on other hosts": {map[string]string{rfc9728: named}, `Bearer resource_metadata="http://127.0.0.1:1/elsewhere"`, []string{rfc9728 + "/mcp", "/mcp", rfc9728}},
		"by no other scheme": {map[string]string{rfc9728: named}, `Bearer resource_metadata="https://{host}/elsewhere"`, []string{rfc9728 + "/mcp", "/mcp", rfc9728}},
	} {
		t.Run(name, func(t *testing.T) {
			tt.documents[rfc8414] = good
			h := newHost(t, tt.documents)
			h.challenge = strings.Replace(tt.challenge, "{host}", strings.TrimPrefix(h.URL, "http://"), 1)
			c := oauth.Config{Discover: true, Resource: h.URL + "/mcp", ClientID: "mintmark", AuthStyle: "private_key_jwt", Key: newKey(t).ref}
			if _, err := open(t, c, providers.Env{}).Mint(t.Context(), providers.Request{}); err != nil {
				t.Fatal(err)
			}
			if want := append(tt.want, rfc8414, "/token"); !slices.Equal(h.asked, want) {
				t.Errorf("asked: got %v, want %v", h.asked, want)
			}
		})
	}
}

func TestResourceThatIsRefused(t *testing.T) {
	for name, tt := range map[string]struct{ document, issuer string }{
		"another resource":          {`{"resource":"https://evil.example.org/mcp","authorization_servers":["{}"]}`, ""},
		"the host for the resource": {`{"resource":"{}","authorization_servers":["{}"]}`, ""},
		"no resource":               {`{"authorization_servers":["{}"]}`, ""},
		"no server":                 {`{"resource":"{}/mcp"}`, ""},
		"two servers":               {`{"resource":"{}/mcp","authorization_servers":["{}","https://as.example.org"]}`, ""},
		"a plaintext server":        {`{"resource":"{}/mcp","authorization_servers":["http://as.example.org"]}`, ""},
		"not the registered issuer": {`{"resource":"{}/mcp","authorization_servers":["{}"]}`, "https://as.example.org"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, map[string]string{rfc9728 + "/mcp": tt.document, rfc8414: good})
			c := oauth.Config{Discover: true, Resource: h.URL + "/mcp", ClientID: "mintmark", AuthStyle: "private_key_jwt", Key: newKey(t).ref}
			if tt.issuer != "" {
				c.Issuer = providertest.URL(t, tt.issuer)
			}
			_, err := open(t, c, providers.Env{}).Mint(t.Context(), providers.Request{})
			if fault.HintOf(err) != "the metadata of the protected resource cannot be used" || strings.Contains(err.Error(), "evil") {
				t.Errorf("got %v, want the metadata refused and not quoted", err)
			}
			if !slices.Equal(h.asked, []string{rfc9728 + "/mcp"}) {
				t.Errorf("asked: got %v, want the resource alone", h.asked)
			}
		})
	}
}

func TestMetadataOutages(t *testing.T) {
	for name, tt := range map[string]struct {
		handler http.HandlerFunc
		kind    fault.Kind
		hint    string
	}{
		"broken":   {answer(500, "text/html", canary), fault.Unavailable, "the metadata of the authorization server could not be read"},
		"limited":  {answer(429, "text/html", canary), fault.Unavailable, "the metadata of the authorization server could not be read"},
		"none":     {answer(404, "text/html", canary), fault.Internal, "the metadata of the authorization server cannot be used"},
		"html":     {answer(200, "text/html", canary), fault.Unavailable, "the metadata of the authorization server is not JSON"},
		"too long": {ok(`"` + strings.Repeat(canary, 1<<17) + `"`), fault.Unavailable, "the authorization server answered with more than 1048576 bytes"},
		"redirect": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "http://127.0.0.1:1/"+canary, 307) }, fault.Unavailable, "the authorization server answered with a redirect, which is not followed"},
	} {
		t.Run(name, func(t *testing.T) {
			c := serve(t, tt.handler)
			c.Issuer = providertest.URL(t, strings.TrimSuffix(c.TokenURL.String(), "/token"))
			c.TokenURL = bundle.URL{}
			r := providertest.One(t, open(t, c, providers.Env{}), canary)
			defer r.Stop(t)
			if hint := r.Refused(t, providers.Request{}, tt.kind); hint != tt.hint {
				t.Errorf("hint: got %q, want %q", hint, tt.hint)
			}
		})
	}
}
