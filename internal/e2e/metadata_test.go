//go:build e2e

package e2e_test

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"reflect"
	"testing"
)

// The client of the TypeScript SDK finds out where to get a token, for an
// upstream that there is as for one that there is not.
func testMetadata(t *testing.T, w *world) {
	m := w.serve(t, site{policies: permitShop, config: `
authorization_servers: ["https://issuer.example"]
upstreams:
  orders: {url: "http://127.0.0.1:9/mcp", unauthenticated: true}
`})
	m.secrets.add("token that the client made up", "made-up-token-of-the-client")
	modules, node := nodeModules(t)
	for _, name := range []string{"orders", "nobody"} {
		resource := m.plain + "/mcp/" + name
		cmd := exec.CommandContext(t.Context(), node, filepath.Join("testdata", "discover.mjs"), resource)
		cmd.Env = []string{"MODULES=" + modules}
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("client: %v:\n%s\nthe broker's log:\n%s", err, stderr.String(), m.stderr.String())
		}
		_, _ = m.received.Write(out)
		type document struct {
			Resource             string
			AuthorizationServers []string `json:"authorization_servers"`
		}
		var got struct {
			Status       int
			Error, At    string
			Named, Found document
		}
		if err := json.Unmarshal(out, &got); err != nil {
			t.Fatalf("client: got %q: %v", out, err)
		}
		want := document{resource, []string{"https://issuer.example"}}
		if got.Status != 401 || got.Error != "invalid_token" || got.At != m.plain+"/.well-known/oauth-protected-resource/mcp/"+name ||
			!reflect.DeepEqual(got.Named, want) || !reflect.DeepEqual(got.Found, want) {
			t.Errorf("%s: got %s", name, out)
		}
	}
}
