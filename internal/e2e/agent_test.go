//go:build e2e

package e2e_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
)

// evidence is how an agent proves who it is. SPIRE gives it both kinds.
type evidence struct {
	id     string
	bearer bool        // by a JWT-SVID, and not by an X.509-SVID
	plain  bool        // without TLS; then only a JWT-SVID proves anything
	madeUp http.Header // what the agent sends besides; madeUp() if nil
}

// agent is a workload that calls a broker.
type agent struct {
	broker *mintmark
	base   string
	http   *http.Client
}

// agent returns an agent of this trust domain, which holds no secret.
func (m *mintmark) agent(t *testing.T, e evidence) *agent {
	t.Helper()
	headers := e.madeUp.Clone()
	if headers == nil {
		headers = madeUp()
	}
	for _, values := range headers {
		for _, value := range values {
			m.secrets.add("made-up header", value[strings.LastIndexAny(value, " =")+1:])
		}
	}
	if e.bearer {
		headers.Set("Authorization", "Bearer "+m.token(t, e.id))
	}
	transport := &http.Transport{DisableCompression: true, ForceAttemptHTTP2: !e.bearer}
	a := &agent{broker: m, base: m.plain}
	if !e.plain {
		a.base = m.secure
		m.secureTransport(t, transport, e)
	}
	t.Cleanup(transport.CloseIdleConnections)
	a.http = &http.Client{Transport: &recorder{base: transport, headers: headers, received: &m.received}, CheckRedirect: asIs}
	return a
}

// asIs makes a redirect an answer like any other.
func asIs(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// secureTransport makes t talk to the broker alone, and shows it the agent's
// certificate where that is its evidence.
func (m *mintmark) secureTransport(t *testing.T, transport *http.Transport, e evidence) {
	t.Helper()
	bundles, err := m.world.workload.FetchX509Bundles(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	isBroker := tlsconfig.AuthorizeID(spiffeid.RequireFromString(brokerID))
	if e.bearer {
		transport.TLSClientConfig = tlsconfig.TLSClientConfig(bundles, isBroker)
		return
	}
	transport.TLSClientConfig = tlsconfig.MTLSClientConfig(m.world.svid(t, e.id), bundles, isBroker)
}

// svid returns the agent's X.509-SVID.
func (w *world) svid(t *testing.T, id string) *x509svid.SVID {
	t.Helper()
	list, err := w.workload.FetchX509SVIDs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, svid := range list {
		if svid.ID.String() == id {
			return svid
		}
	}
	t.Fatalf("fetch X.509-SVID: got none of %s", id)
	return nil
}

// token returns a JWT-SVID of the agent for the broker.
func (m *mintmark) token(t *testing.T, id string) string {
	t.Helper()
	svid, err := m.world.workload.FetchJWTSVID(t.Context(), jwtsvid.Params{Audience: "mintmark", Subject: spiffeid.RequireFromString(id)})
	if err != nil {
		t.Fatal(err)
	}
	m.secrets.add("JWT-SVID of an agent", svid.Marshal())
	return svid.Marshal()
}

// madeUp returns headers by which an agent could try to prove something else.
// Authorization is left to it where it is not the agent's evidence.
func madeUp() http.Header {
	return http.Header{"X-Api-Key": {rand.Text()}, "Cookie": {"session=" + rand.Text()}, "X-Amz-Security-Token": {rand.Text()}}
}

// recorder adds an agent's headers and keeps all that comes back.
type recorder struct {
	base     http.RoundTripper
	headers  http.Header
	received io.Writer
}

// RoundTrip does one exchange.
func (r *recorder) RoundTrip(out *http.Request) (*http.Response, error) {
	out = out.Clone(out.Context())
	for name, values := range r.headers {
		out.Header[name] = values
	}
	resp, err := r.base.RoundTrip(out)
	if err != nil {
		return nil, err
	}
	fmt.Fprintln(r.received, resp.Proto, resp.Status)
	_ = resp.Header.Write(r.received)
	resp.Body = &recordedBody{Reader: io.TeeReader(resp.Body, r.received), resp: resp, body: resp.Body, received: r.received}
	return resp, nil
}

type recordedBody struct {
	io.Reader
	resp     *http.Response
	body     io.Closer
	received io.Writer
}

func (b *recordedBody) Close() error {
	_ = b.resp.Trailer.Write(b.received)
	return b.body.Close()
}

// connect begins to talk MCP with an upstream.
func (a *agent) connect(t *testing.T, upstream string, o *mcp.ClientOptions) *mcp.ClientSession {
	t.Helper()
	return a.connectIn(t, "", upstream, o)
}

// connectIn connects by a revision of the protocol; "" is the newest that the
// client and the broker speak.
func (a *agent) connectIn(t *testing.T, revision, upstream string, o *mcp.ClientOptions) *mcp.ClientSession {
	t.Helper()
	session, err := a.tryConnect(t.Context(), revision, upstream, o)
	if err != nil {
		t.Fatalf("connect to %s: %v; the broker's log:\n%s", upstream, err, a.broker.stderr.String())
	}
	t.Cleanup(func() { _ = session.Close() })
	return session
}

func (a *agent) tryConnect(ctx context.Context, revision, upstream string, o *mcp.ClientOptions) (*mcp.ClientSession, error) {
	client := mcp.NewClient(&mcp.Implementation{Name: "shop", Version: "1"}, o)
	return client.Connect(ctx, &mcp.StreamableClientTransport{Endpoint: a.base + "/mcp/" + upstream, HTTPClient: a.http, MaxRetries: -1}, &mcp.ClientSessionOptions{ProtocolVersion: revision})
}

// call calls a tool and returns its text.
func call(t *testing.T, s *mcp.ClientSession, tool string, args map[string]any) string {
	t.Helper()
	result, err := s.CallTool(t.Context(), &mcp.CallToolParams{Name: tool, Arguments: args})
	if err != nil {
		t.Fatalf("call %s: %v", tool, err)
	}
	text := textOf(result)
	if result.IsError {
		t.Fatalf("call %s: the tool failed: %s", tool, text)
	}
	return text
}

func textOf(result *mcp.CallToolResult) string {
	var text strings.Builder
	for _, c := range result.Content {
		if part, ok := c.(*mcp.TextContent); ok {
			text.WriteString(part.Text)
		}
	}
	return text.String()
}

// refused calls a tool and returns the reason of the broker's refusal.
func refused(t *testing.T, s *mcp.ClientSession, tool string, args map[string]any) string {
	t.Helper()
	result, err := s.CallTool(t.Context(), &mcp.CallToolParams{Name: tool, Arguments: args})
	if err == nil {
		t.Fatalf("call %s: got %q, want a refusal", tool, textOf(result))
	}
	refusal, ok := errors.AsType[*jsonrpc.Error](err)
	if !ok || !strings.HasPrefix(refusal.Message, "mintmark: ") {
		t.Fatalf("call %s: got %v, want a refusal by the broker", tool, err)
	}
	return refusal.Message
}

// answer is a whole HTTP answer.
type answer struct {
	status int
	header http.Header
	body   string
}

// do makes one HTTP request, path and all as it is given.
func (a *agent) do(t *testing.T, method, path, body string, headers http.Header) answer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, a.base+path, bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range headers {
		r.Header[name] = values
	}
	resp, err := a.http.Do(r)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: read answer: %v", method, path, err)
	}
	return answer{resp.StatusCode, resp.Header, string(content)}
}
