package broker_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"path"
	"strings"
	"testing"
	"time"

	"mintmark/internal/trustdomain"
	"mintmark/providers"
)

// samePassword is a provider that gives each agent a user of its own, and all of them
// one password.
type samePassword struct{}

// Mint implements providers.Provider.
func (samePassword) Mint(_ context.Context, req providers.Request) (providers.Credential, error) {
	return providers.Seal(providers.Password, providers.Material{Username: path.Base(req.Agent.Subject()), Password: providers.NewSecret("password-canary-of-all")},
		providers.Terms{NotAfter: time.Now().Add(time.Hour)}), nil
}

// What scheme basic sends of two users with one password differs, and each is taken out
// of the answers of its own.
func TestTwoUsersWithOnePassword(t *testing.T) {
	t.Parallel()
	w := open(t, func(s *setup) { s.Minted = map[string]providers.Provider{"same": samePassword{}} })
	w.rewriteOnly("mintmark.yaml", "\nproviders:\n", "\nproviders:\n  users: {kind: same, per_agent: true}\n")
	w.rewriteOnly("mintmark.yaml", "\nupstreams:\n", fmt.Sprintf("\nupstreams:\n  users: {url: %q, credentials: [{provider: users, scheme: basic}]}\n", "http://"+w.upstream.address+"/mcp"))
	if err := w.change("policies.cedar", "@id(\"shop-connects\")", `@id("clerk-connects")
permit (principal == Agent::"spiffe://example.org/agent/clerk", action in [Action::"connect", Action::"list"], resource);

@id("shop-connects")`); err != nil {
		t.Fatal(err)
	}
	w.upstream.does(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", "application/json")
		sent := strings.TrimPrefix(r.Header.Get("Authorization"), "Basic ")
		_, _ = io.WriteString(rw, `{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"got `+fmt.Sprintf("%x", sent)+`"}]}}`)
	})
	ping := body(`{"jsonrpc":"2.0","id":1,"method":"ping"}`)
	for _, agent := range []string{"shop", "clerk"} {
		got := w.wantOK(w.call(to("/mcp/users"), ping, with("Authorization", "Bearer "+w.token(w.domain, agent, trustdomain.JWTRequest{}))), "result")
		if !strings.Contains(got.body, `"got ****`) || !strings.Contains(got.body, `****"`) {
			t.Errorf("%s: got %s, want what it sent masked", agent, got.body)
		}
	}
}
