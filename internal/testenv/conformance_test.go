//go:build e2e

package testenv_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"mintmark/internal/testenv"
)

// Each starts with the fixture of the suite, in its own era.
func TestConformanceServers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		start   func(testing.TB) *testenv.ConformanceServer
		version string
		session bool
	}{
		"stateless": {testenv.ConformanceStateless, "2026-07-28", false},
		"stateful":  {testenv.ConformanceStateful, "2025-11-25", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			session := connect(t, c.start(t).URL)
			if got := session.InitializeResult().ProtocolVersion; got != c.version || (session.ID() != "") != c.session {
				t.Errorf("session: got revision %s and id %q, want revision %s and an id: %v", got, session.ID(), c.version, c.session)
			}
			result, err := session.CallTool(t.Context(), &mcp.CallToolParams{Name: "test_simple_text"})
			if err != nil || result.IsError {
				t.Errorf("call test_simple_text: got %+v, %v", result, err)
			}
		})
	}
}

func TestFilesystemReadsItsFolderOnly(t *testing.T) {
	t.Parallel()
	dir, outside := t.TempDir(), t.TempDir()
	for _, d := range []string{dir, outside} {
		if err := os.WriteFile(filepath.Join(d, "note.txt"), []byte("a note"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	session := connect(t, testenv.Filesystem(t, dir).URL)
	for path, refused := range map[string]bool{filepath.Join(dir, "note.txt"): false, filepath.Join(outside, "note.txt"): true} {
		result, err := session.CallTool(t.Context(), &mcp.CallToolParams{Name: "read_text_file", Arguments: map[string]any{"path": path}})
		if err != nil || result.IsError != refused {
			t.Errorf("read %s: got %+v, %v, want it refused: %v", path, result, err, refused)
		}
	}
}

func connect(t *testing.T, url string) *mcp.ClientSession {
	t.Helper()
	client := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, nil)
	session, err := client.Connect(t.Context(), &mcp.StreamableClientTransport{Endpoint: url, MaxRetries: -1}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = session.Close() })
	return session
}
