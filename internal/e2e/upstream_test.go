//go:build e2e

package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// upstream is an HTTP server that keeps the head of every request.
type upstream struct {
	url string

	mu   sync.Mutex
	seen []*http.Request
}

// newUpstream serves h until the test ends.
func newUpstream(t *testing.T, h http.Handler) *upstream {
	t.Helper()
	u := &upstream{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u.mu.Lock()
		u.seen = append(u.seen, r.Clone(context.Background()))
		u.mu.Unlock()
		h.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	u.url = server.URL
	return u
}

func (u *upstream) requests() []*http.Request {
	u.mu.Lock()
	defer u.mu.Unlock()
	return append([]*http.Request(nil), u.seen...)
}

// wantOnly demands that requests came, that each brought exactly one value of
// the header that holds the broker's credential, and nothing that an agent made
// up.
func (u *upstream) wantOnly(t *testing.T, header string, notThese ...http.Header) {
	t.Helper()
	requests := u.requests()
	if len(requests) == 0 {
		t.Error("upstream: got no request")
	}
	for _, r := range requests {
		if n := len(r.Header[header]); n != 1 {
			t.Errorf("%s %s: got %d times %s, want it once", r.Method, r.URL.Path, n, header)
		}
		for _, headers := range notThese {
			wantNone(t, r, headers)
		}
	}
}

// wantNone demands that a request has neither a header that the agent made up
// nor its value anywhere.
func wantNone(t *testing.T, r *http.Request, headers http.Header) {
	t.Helper()
	var head bytes.Buffer
	_ = r.Header.Write(&head)
	for name, values := range headers {
		for _, value := range values {
			if strings.Contains(head.String()+r.URL.String(), value) {
				t.Errorf("%s %s: got %s as the agent made it up", r.Method, r.URL.Path, name)
			}
		}
	}
}

// newServer returns an MCP server with the tool headers, which repeats what it
// was sent: what a careless server does.
func newServer() *mcp.Server {
	server := mcp.NewServer(&mcp.Implementation{Name: "test", Version: "1"}, nil)
	addTool(server, "headers", func(_ context.Context, r *mcp.CallToolRequest, _ struct{}) (string, error) {
		out, err := json.Marshal(r.Extra.Header)
		return string(out), err
	})
	return server
}

// addTool adds a tool that answers with a text.
func addTool[In any](server *mcp.Server, name string, do func(context.Context, *mcp.CallToolRequest, In) (string, error)) {
	mcp.AddTool(server, &mcp.Tool{Name: name, Description: name}, func(ctx context.Context, r *mcp.CallToolRequest, in In) (*mcp.CallToolResult, any, error) {
		text, err := do(ctx, r, in)
		return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: text}}}, nil, err
	})
}

// stateless serves an MCP server of revision 2026-07-28.
func stateless(server *mcp.Server) http.Handler {
	return mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, &mcp.StreamableHTTPOptions{Stateless: true})
}

// wantMasked has the upstream repeat its headers, and demands that the agent
// gets them with the credential in header masked, and that this is on record.
func (m *mintmark) wantMasked(t *testing.T, s *mcp.ClientSession, header string) {
	t.Helper()
	var headers http.Header
	if text := call(t, s, "headers", nil); json.Unmarshal([]byte(text), &headers) != nil {
		t.Fatalf("headers: got %q, want JSON", text)
	}
	if value := headers.Get(header); !strings.Contains(value, "********") {
		t.Errorf("headers: got %s %q, want it masked", header, value)
	}
	decision := m.last(t, "--kind", "decision", "--tool", "headers")
	if out := m.outcome(t, decision); out.ScrubHits == 0 {
		t.Errorf("record: got %+v, want its scrub hits", out)
	}
	if _, metrics := m.admin("/metrics"); !strings.Contains(metrics, `mintmark_scrubbed_total{upstream="`+decision.Upstream+`"}`) {
		t.Errorf("metrics: got no scrubbed secrets of %s", decision.Upstream)
	}
}

// newTap returns the URL of a way to the server at target on which all secrets
// are learnt: the ones that the broker shows and the ones that it gets.
func newTap(t *testing.T, target string, s *secrets) string {
	t.Helper()
	to, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.Out.Host = r.In.Host // it is signed
			if r.In.Header.Get("Accept-Encoding") == "gzip" {
				r.Out.Header.Del("Accept-Encoding") // then the answer is unpacked on the way
			}
			s.add("Vault token", r.In.Header.Get("X-Vault-Token"))
			r.Out.Body = learn(r.In.Body, s)
		},
		ModifyResponse: func(r *http.Response) error {
			r.Body = learn(r.Body, s)
			return nil
		},
	})
	t.Cleanup(proxy.Close)
	return proxy.URL
}

// learn reads a body, takes the secrets from it, and returns it anew.
func learn(body io.ReadCloser, s *secrets) io.ReadCloser {
	content, _ := io.ReadAll(body)
	_ = body.Close()
	for _, form := range []string{
		`"(jwt|client_token|password|access_token)":\s*"([^"]+)"`,
		`<(SecretAccessKey|SessionToken)>([^<]+)<`,
		`\b(WebIdentityToken)=([^&]+)`,
	} {
		for _, found := range regexp.MustCompile(form).FindAllStringSubmatch(string(content), -1) {
			s.add(found[1], found[2])
		}
	}
	return io.NopCloser(bytes.NewReader(content))
}
