package testenv

import (
	"path/filepath"
	"strconv"
	"testing"
)

// ConformanceServer is a running MCP server with all that the MCP conformance
// suite calls: the everything-server of the Go SDK.
type ConformanceServer struct {
	URL string // its streamable HTTP endpoint

	proc *process
}

// ConformanceStateless starts it for the revision without sessions, 2026-07-28.
func ConformanceStateless(t testing.TB) *ConformanceServer {
	t.Helper()
	return conformanceServer(t, true)
}

// ConformanceStateful starts it for the revisions with sessions.
func ConformanceStateful(t testing.TB) *ConformanceServer {
	t.Helper()
	return conformanceServer(t, false)
}

func conformanceServer(t testing.TB, stateless bool) *ConformanceServer {
	t.Helper()
	path, dir := filepath.Join(programs(t, "everything-server"), "everything-server"), tempDir(t)
	proc := launch(t, server{
		name: "everything-server",
		command: func(port int) command {
			return command{
				path: path,
				args: []string{"-http", address(port), "-stateless=" + strconv.FormatBool(stateless)},
				dir:  dir,
			}
		},
		ready: listening,
	})
	return &ConformanceServer{URL: "http://" + address(proc.port) + "/", proc: proc}
}

// Stop ends the server, so that connections to it are refused.
func (s *ConformanceServer) Stop() {
	s.proc.stop()
}

// Node is where the installed Node programs are.
type Node struct {
	Program string // Node itself, 22 or newer where the packages bring it
	Modules string // the node_modules folder with every package
}

// InstalledNode returns where the installed Node programs are.
func InstalledNode(t testing.TB) Node {
	t.Helper()
	modules := nodeModules(t)
	return Node{Program: nodePath(t, modules), Modules: modules}
}
