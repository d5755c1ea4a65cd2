//go:build e2e

package e2e_test

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// The client of the TypeScript SDK, beside its broker as a sidecar's agent is,
// talks through it to a server of the same SDK.
func testTypeScript(t *testing.T, w *world) {
	m := w.everything(t)
	input, err := json.Marshal(map[string]string{"url": m.plain + "/mcp/everything", "token": m.token(t, shopID)})
	if err != nil {
		t.Fatal(err)
	}
	modules, node := nodeModules(t)
	cmd := exec.CommandContext(t.Context(), node, filepath.Join("testdata", "client.mjs"))
	cmd.Env = []string{"MODULES=" + modules}
	cmd.Stdin = bytes.NewReader(input)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("client: %v:\n%s\nthe broker's log:\n%s", err, stderr.String(), m.stderr.String())
	}
	var got struct {
		Tools    []string
		Echo     string
		Progress []float64
		Session  string
		Received string // all that came back
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("client: got %q: %v", out, err)
	}
	_, _ = m.received.Write([]byte(got.Received))
	if !slices.Contains(got.Tools, "echo") || got.Echo != "Echo: hello" || !slices.Equal(got.Progress, []float64{1, 2, 3}) || got.Session == "" {
		t.Errorf("client: got %+v, want the tools, the echo, three steps and a session", got)
	}
	if end := m.last(t, "--kind", "decision", "--outcome", "allow"); end.Method != "end" || end.Attestor != "jwt-svid" || end.Agent != shopID {
		t.Errorf("record: got %+v, want the end of the agent's session", end)
	}
}

// nodeModules returns the folder of the installed packages, and the Node that
// they bring, or else the one on the PATH.
func nodeModules(t *testing.T) (modules, node string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), filepath.Join("..", "..", "testdata", "servers", "install"), "--dir", "node").Output()
	if err != nil {
		t.Fatalf("find node: %v; run: make servers", err)
	}
	modules = filepath.Join(strings.TrimSpace(string(out)), "node_modules")
	arch := map[string]string{"amd64": "x64"}[runtime.GOARCH]
	if arch == "" {
		arch = runtime.GOARCH
	}
	for _, name := range []string{filepath.Join(modules, "node-"+runtime.GOOS+"-"+arch, "bin", "node"), "node"} {
		if node, err = exec.LookPath(name); err == nil {
			return modules, node
		}
	}
	t.Fatalf("find node: %v", err)
	return "", ""
}
