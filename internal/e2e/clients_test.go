//go:build e2e

package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mintmark/internal/testenv"
)

// Clients as people run them, which know nothing of Mintmark, call servers as
// people run them: only the shim before the broker says who calls.
func TestClients(t *testing.T) {
	w := newWorld(t)
	for name, test := range map[string]func(*testing.T, *world){
		"a tour by the TypeScript SDK":              testTour,
		"the inspector":                             testInspector,
		"a stdio server over a bridge":              testBridged,
		"its first generation on stateless servers": testSessionsClientOnStateless,
		"its second on servers with sessions":       testStatelessClientOnSessions,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, w)
		})
	}
}

// runNode runs a Node program to its end and returns what it prints. It gets a home
// of its own and nothing else of the environment.
func runNode(t *testing.T, node testenv.Node, program string, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), node.Program, append([]string{program}, args...)...)
	cmd.Env = []string{"MODULES=" + node.Modules, "HOME=" + t.TempDir(), "NO_COLOR=1"}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v:\n%s%s", filepath.Base(program), strings.Join(args, " "), err, out, &stderr)
	}
	return out
}

// Tools, resources, prompts and progress, in a session of the TypeScript SDK.
func testTour(t *testing.T, w *world) {
	m := w.everything(t)
	out := runNode(t, testenv.InstalledNode(t), filepath.Join("testdata", "tour.mjs"), m.shim(t, shopID)+"/mcp/everything")
	var got struct {
		Server, Echo, URI, Prompt string
		Tools, Prompts            []string
		Resource                  struct{ URI, Text, Blob string }
		Progress                  []float64
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("tour: got %q: %v", out, err)
	}
	if !slices.Contains(got.Tools, "echo") || got.Echo != "Echo: hello" {
		t.Errorf("tools: got %v and %q, want echo and its answer", got.Tools, got.Echo)
	}
	if got.URI == "" || got.Resource.URI != got.URI || got.Resource.Text+got.Resource.Blob == "" {
		t.Errorf("resources: got %q and %+v, want its content", got.URI, got.Resource)
	}
	if !slices.Contains(got.Prompts, "simple-prompt") || got.Prompt == "" {
		t.Errorf("prompts: got %v and %q, want a prompt and its text", got.Prompts, got.Prompt)
	}
	if !slices.Equal(got.Progress, []float64{1, 2, 3}) {
		t.Errorf("progress: got %v, want three steps", got.Progress)
	}
	m.wantMethods(t, "everything", "initialize", "tools/list", "tools/call", "resources/list", "resources/read", "prompts/list", "prompts/get", "end")
}

// wantMethods demands that the record has calls of each of the methods, by the
// agent that the shim speaks for.
func (m *mintmark) wantMethods(t *testing.T, upstream string, methods ...string) {
	t.Helper()
	seen := map[string]bool{}
	for _, r := range m.records(t, "--kind", "decision", "--upstream", upstream, "--outcome", "allow") {
		if r.Agent != shopID || r.Attestor != "jwt-svid" {
			t.Errorf("record: got %+v, want the agent by its JWT-SVID", r)
		}
		seen[r.Method] = true
	}
	for _, method := range methods {
		if !seen[method] {
			t.Errorf("records: got no %s, want one", method)
		}
	}
}

// inspect runs the inspector's command line and returns what it prints.
func inspect(t *testing.T, url string, args ...string) []byte {
	t.Helper()
	node := testenv.InstalledNode(t)
	launcher := filepath.Join(node.Modules, "@modelcontextprotocol", "inspector", "clients", "launcher", "build", "index.js")
	return runNode(t, node, launcher, append([]string{"--cli", url, "--transport", "http"}, args...)...)
}

type result struct {
	Tools   []struct{ Name string }
	Content []struct{ Type, Text string }
	IsError bool
}

func parsed(t *testing.T, out []byte) (r result) {
	t.Helper()
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatalf("inspector: got %q: %v", out, err)
	}
	return r
}

// The inspector, which has the second generation of the TypeScript SDK in it.
func testInspector(t *testing.T, w *world) {
	m := w.everything(t)
	url := m.shim(t, shopID) + "/mcp/everything"
	list := parsed(t, inspect(t, url, "--method", "tools/list"))
	if !slices.Contains(list.Tools, struct{ Name string }{"echo"}) {
		t.Errorf("tools/list: got %+v, want echo among them", list.Tools)
	}
	echo := parsed(t, inspect(t, url, "--method", "tools/call", "--tool-name", "echo", "--tool-arg", "message=hello"))
	if len(echo.Content) != 1 || echo.Content[0].Text != "Echo: hello" || echo.IsError {
		t.Errorf("tools/call: got %+v, want the echo", echo)
	}
	m.wantMethods(t, "everything", "initialize", "tools/list", "tools/call")
}

// A server without HTTP of its own, behind a bridge. What it refuses by itself
// comes back as its refusal.
func testBridged(t *testing.T, w *world) {
	dir := t.TempDir()
	note := filepath.Join(dir, "note.txt")
	if err := os.WriteFile(note, []byte("kept in a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	m := w.serve(t, site{policies: permitShop, config: fmt.Sprintf(`
upstreams:
  files: {url: %q, unauthenticated: true}
`, testenv.Filesystem(t, dir).URL)})

	session := m.agent(t, evidence{id: shopID, bearer: true}).connectIn(t, "2025-11-25", "files", nil)
	if got := call(t, session, "read_text_file", map[string]any{"path": note}); got != "kept in a file" {
		t.Errorf("read_text_file: got %q, want the file", got)
	}
	call(t, session, "write_file", map[string]any{"path": filepath.Join(dir, "new.txt"), "content": "written through"})
	if content, err := os.ReadFile(filepath.Join(dir, "new.txt")); err != nil || string(content) != "written through" {
		t.Errorf("write_file: got %q, %v, want the content", content, err)
	}
	out := parsed(t, inspect(t, m.shim(t, shopID)+"/mcp/files", "--method", "tools/call", "--tool-name", "list_directory", "--tool-arg", "path="+dir))
	if len(out.Content) != 1 || !strings.Contains(out.Content[0].Text, "note.txt") || !strings.Contains(out.Content[0].Text, "new.txt") {
		t.Errorf("list_directory: got %+v, want both files", out)
	}
	_ = session.Close()
	m.wantMethods(t, "files", "initialize", "notifications/initialized", "tools/call", "end")
}
