package demo

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// upstream is an MCP server that answers no call without a token of its
// issuer.
type upstream struct {
	handler http.Handler

	mu       sync.Mutex
	received []string // every Authorization header that reached it
}

type orderArgs struct {
	Order string `json:"order" jsonschema:"number of the order"`
}

func newUpstream(i *issuer) *upstream {
	u := &upstream{}
	server := mcp.NewServer(&mcp.Implementation{Name: "orders", Version: "1.0.0"}, nil)
	mcp.AddTool(server, &mcp.Tool{Name: "lookup_order", Description: "Look up an order"}, func(_ context.Context, _ *mcp.CallToolRequest, in orderArgs) (*mcp.CallToolResult, any, error) {
		return text("order %s: 2 items, shipped", in.Order), nil, nil
	})
	mcp.AddTool(server, &mcp.Tool{Name: "refund_order", Description: "Refund an order"}, func(_ context.Context, _ *mcp.CallToolRequest, in orderArgs) (*mcp.CallToolResult, any, error) {
		return text("order %s: refunded", in.Order), nil, nil
	})
	mcp.AddTool(server, &mcp.Tool{Name: "repeat_headers", Description: "Repeat the request's headers: what a careless server does"}, func(_ context.Context, r *mcp.CallToolRequest, _ struct{}) (*mcp.CallToolResult, any, error) {
		return text("Authorization: %s", r.Extra.Header.Get("Authorization")), nil, nil
	})
	mcpHandler := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, &mcp.StreamableHTTPOptions{Stateless: true})
	u.handler = u.remember(auth.RequireBearerToken(i.verify, nil)(mcpHandler))
	return u
}

func text(format string, args ...any) *mcp.CallToolResult {
	return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: fmt.Sprintf(format, args...)}}}
}

func (u *upstream) remember(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u.mu.Lock()
		u.received = append(u.received, strings.Join(r.Header["Authorization"], "\n"))
		u.mu.Unlock()
		next.ServeHTTP(w, r)
	})
}

// saw reports whether any call brought s in its Authorization header.
func (u *upstream) saw(s string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.ContainsFunc(u.received, func(got string) bool { return strings.Contains(got, s) })
}
