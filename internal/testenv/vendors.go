package testenv

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"testing"
)

// VendorClient runs a vendor's own client library, by its name in
// testdata/servers/vendors/client.mjs and with input as JSON, until it has what it asks
// for, and reads its result into result. Every connection of it goes to the TLS server at
// address, whose certificate is in the file certificate and for example.com; without one
// it has none to go to.
func VendorClient(t testing.TB, name string, address, certificate string, input, result any) {
	t.Helper()
	in, err := json.Marshal(input)
	if err != nil {
		t.Fatalf("run vendor's client %s: %v", name, err)
	}
	c := exec.CommandContext(t.Context(), nodePath(t, nodeModules(t)), filepath.Join(servers(t), "vendors", "client.mjs"), name)
	c.Env = []string{
		"MODULES=" + filepath.Join(programs(t, "vendors"), "node_modules"),
		"CAPTURE=" + address, "NODE_EXTRA_CA_CERTS=" + certificate, "HOME=" + t.TempDir(),
	}
	c.Stdin = bytes.NewReader(in)
	out, err := c.Output()
	if err != nil {
		t.Fatalf("run vendor's client %s: %v", name, explain(err))
	}
	if err := json.Unmarshal(out, result); err != nil {
		t.Fatalf("run vendor's client %s: %v in %q", name, err, out)
	}
}
