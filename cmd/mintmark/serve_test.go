package main

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mintmark/internal/trustdomain"
)

func TestAnAddressThatIsTakenSaysSo(t *testing.T) {
	another, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer another.Close()
	known, err := trustdomain.New("example.org", trustdomain.Options{}).MarshalBundle()
	if err != nil {
		t.Fatal(err)
	}
	taken := another.Addr().String()
	for where, addresses := range map[string]string{
		"listeners[0]": `listeners: [{address: "` + taken + `", plaintext: true}]`,
		"metrics":      "listeners: [{address: \"127.0.0.1:0\", plaintext: true}]\nmetrics: " + taken,
	} {
		dir := t.TempDir()
		for name, content := range map[string]string{
			"bundle.json": string(known),
			"mintmark.yaml": addresses + `
trust_domain: example.org
trust: {bundles: [{trust_domain: example.org, file: bundle.json}]}
attestors: [{kind: jwt-svid, audience: mintmark}]
upstreams: {orders: {url: "http://127.0.0.1:1/mcp", unauthenticated: true}}
`,
		} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		var out, failed bytes.Buffer
		status := run(t.Context(), []string{"serve", "--dir", dir}, &out, &failed)
		if want := "address already in use: another process listens there"; status != 1 || !strings.Contains(failed.String(), where) || !strings.Contains(failed.String(), want) {
			t.Errorf("%s: got status %d, %s, want %q", where, status, failed.String(), want)
		}
	}
}
