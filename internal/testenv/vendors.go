package testenv

import (
	"bytes"
	"context"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"testing"
)

// VendorClient runs a vendor's own client library, by its name in
// testdata/servers/vendors/client.mjs and with input as JSON, until it has what it asks
// for, and reads its result into result. It connects to the TLS server at address alone, whose
// certificate, for example.com, is in the file certificate; without them, to none.
func VendorClient(t testing.TB, name, address, certificate string, input, result any) {
	t.Helper()
	in, err := json.Marshal(input)
	if err != nil {
		t.Fatalf("run vendor's client %s: %v", name, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), startLimit)
	defer cancel()
	c := exec.CommandContext(ctx, nodePath(t, nodeModules(t)), filepath.Join(servers(t), "vendors", "client.mjs"), name)
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
