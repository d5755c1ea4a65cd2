package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"mintmark/internal/trustdomain"
)

// A file of roots that can't be used is said where the configuration names it, by serve and by
// whatever else opens what is registered.
func TestRootsThatCannotBeReadAreSaidWhereTheyAreNamed(t *testing.T) {
	trusted, err := trustdomain.New("example.org", trustdomain.Options{}).MarshalBundle()
	if err != nil {
		t.Fatal(err)
	}
	frame := `trust_domain: example.org
trust: {bundles: [{trust_domain: example.org, file: bundle.json}]}
listeners: [{address: "127.0.0.1:0", plaintext: true}]
attestors: [{kind: jwt-svid, audience: mintmark}]
providers:
  token:
    kind: oauth
    token_url: "https://idp.example.org/token"
    client_id: a
    client_secret: "env:CLIENT_SECRET"
`
	upstreams := `upstreams:
  orders:
    url: "https://orders.example.org/mcp"
    credentials: [{provider: token, scheme: bearer}]
`
	serve, list := []string{"serve", "--dir"}, []string{"provider", "list", "--dir"}
	const missing = "expected a file of PEM certificates that the broker's user may read: open DIR/gone.pem: no such file or directory: put it there, or name another"
	for name, tt := range map[string]struct {
		config string
		args   []string
		want   string
	}{
		"a provider's":          {frame + "    ca: gone.pem\n" + upstreams, serve, "DIR/mintmark.yaml:11:9: providers.token.ca: read roots: " + missing},
		"a provider's, listed":  {frame + "    ca: gone.pem\n" + upstreams, list, "DIR/mintmark.yaml:11:9: providers.token.ca: read roots: " + missing},
		"a provider's, no PEM":  {frame + "    ca: none.pem\n" + upstreams, serve, "DIR/mintmark.yaml:11:9: providers.token.ca: read roots: expected PEM certificates in DIR/none.pem, got none"},
		"an upstream's":         {frame + upstreams + "    ca: gone.pem\n", serve, "DIR/mintmark.yaml:15:9: upstreams.orders.ca: read the upstream's roots: " + missing},
		"an upstream's, no PEM": {frame + upstreams + "    ca: none.pem\n", serve, "DIR/mintmark.yaml:15:9: upstreams.orders.ca: read the upstream's roots: expected PEM certificates in DIR/none.pem, got none"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for file, content := range map[string]string{"mintmark.yaml": tt.config, "bundle.json": string(trusted), "none.pem": "nothing\n", "p.cedar": "permit (principal, action, resource);\n"} {
				writeFile(t, filepath.Join(dir, file), content)
			}
			said, err := exec.CommandContext(t.Context(), "mintmark", append(tt.args, dir)...).CombinedOutput()
			if want := strings.ReplaceAll(tt.want, "DIR", dir); err == nil || !strings.Contains(string(said), want) {
				t.Errorf("got %v and\n%swant %s", err, said, want)
			}
		})
	}
}
