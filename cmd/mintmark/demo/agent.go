package demo

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"

	"mintmark/internal/trustdomain"
)

// agent is an MCP client that holds no secret: it presents what its platform
// gave it, and checks that it talks to the broker.
type agent struct {
	session   *mcp.ClientSession
	transport *agentTransport
}

// evidence is what an agent's platform gives it: a token, a certificate, or
// both.
type evidence struct {
	bearer string
	svid   *x509svid.SVID
}

// connect makes an agent's session with the broker.
func (w *world) connect(ctx context.Context, e evidence) (*agent, error) {
	base := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: tlsconfig.TLSClientConfig(w.domain.Bundle(), tlsconfig.AuthorizeID(w.domain.ID("mintmark")))}
	base.TLSClientConfig.MinVersion = tls.VersionTLS13
	if e.svid != nil {
		base.TLSClientConfig.Certificates = []tls.Certificate{trustdomain.TLSCertificate(e.svid)}
	}
	t := &agentTransport{base: base, bearer: e.bearer, received: &w.received}
	client := mcp.NewClient(&mcp.Implementation{Name: "shop-agent", Version: "1.0.0"}, nil)
	session, err := client.Connect(ctx, &mcp.StreamableClientTransport{
		Endpoint: w.secure + "/mcp/orders", HTTPClient: &http.Client{Transport: t}, MaxRetries: -1, DisableStandaloneSSE: true}, nil)
	if err != nil {
		base.CloseIdleConnections()
		if words := t.refused.Load(); words != nil {
			return nil, *words
		}
		return nil, err
	}
	return &agent{session: session, transport: t}, nil
}

func (a *agent) close() {
	_ = a.session.Close()
	a.transport.base.CloseIdleConnections()
}

// call calls a tool and returns its text, or the reason of the refusal.
func (a *agent) call(ctx context.Context, tool string, args map[string]any) (answer string, refused error) {
	result, err := a.session.CallTool(ctx, &mcp.CallToolParams{Name: tool, Arguments: args})
	if err != nil {
		return "", reasonOf(err)
	}
	for _, c := range result.Content {
		if t, ok := c.(*mcp.TextContent); ok {
			answer += t.Text
		}
	}
	if result.IsError {
		return "", fmt.Errorf("the tool failed: %s", answer)
	}
	return answer, nil
}

// refusal is what the broker says when it refuses a call.
type refusal string

// Error returns the broker's words.
func (r refusal) Error() string { return string(r) }

// reasonOf returns err as a refusal when it is one, and else as it came: an
// upstream's error, or none of anybody who answered.
func reasonOf(err error) error {
	if e, ok := errors.AsType[*jsonrpc.Error](err); ok && strings.HasPrefix(e.Message, "mintmark: ") {
		return refusal(e.Message)
	}
	return err
}

// agentTransport adds the bearer token that the agent presents and keeps what
// came back.
type agentTransport struct {
	base     *http.Transport
	bearer   string
	received *lockedBuffer
	// refused is the last refusal under an error status, whose words the client
	// library may drop; nil: none came.
	refused atomic.Pointer[refusal]
}

// RoundTrip sends r with the token, if there is one.
func (t *agentTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if t.bearer != "" {
		r = r.Clone(r.Context())
		r.Header.Set("Authorization", "Bearer "+t.bearer)
	}
	resp, err := t.base.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	_ = resp.Header.Write(t.received)
	resp.Body = &teeBody{Reader: io.TeeReader(resp.Body, t.received), Closer: resp.Body}
	if resp.StatusCode < http.StatusBadRequest {
		return resp, nil
	}
	if err := t.keep(resp); err != nil {
		return nil, err
	}
	return resp, nil
}

// keep keeps what the broker says in an answer with an error status.
func (t *agentTransport) keep(resp *http.Response) error {
	content, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return errors.Join(err, resp.Body.Close())
	}
	var said struct{ Error *jsonrpc.Error }
	if json.Unmarshal(content, &said) == nil && said.Error != nil { // else it is not the broker's
		if words, ok := errors.AsType[refusal](reasonOf(said.Error)); ok {
			t.refused.Store(&words)
		}
	}
	resp.Body = &teeBody{Reader: bytes.NewReader(content), Closer: resp.Body}
	return nil
}

type teeBody struct {
	io.Reader
	io.Closer
}

// lockedBuffer is a bytes.Buffer for several writers.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write appends p.
func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

// Bytes returns a copy of what was written.
func (b *lockedBuffer) Bytes() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return bytes.Clone(b.buf.Bytes())
}
