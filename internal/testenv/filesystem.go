package testenv

import (
	"path/filepath"
	"strconv"
	"testing"
)

// FilesystemServer is a running MCP server of the files in one folder. It speaks
// over its standard input and output, and a bridge serves it over HTTP.
type FilesystemServer struct {
	URL string // the bridge's streamable HTTP endpoint

	proc *process
}

// Filesystem starts the MCP filesystem server, with a process for each session,
// on the files in dir.
func Filesystem(t testing.TB, dir string) *FilesystemServer {
	t.Helper()
	modules, bridge := nodeModules(t), filepath.Join(servers(t), "bridge", "server.mjs")
	node := nodePath(t, modules)
	proc := launch(t, server{
		name: "filesystem",
		command: func(port int) command {
			return command{
				path: node,
				args: []string{bridge, node, filepath.Join(modules, "@modelcontextprotocol", "server-filesystem", "dist", "index.js"), dir},
				dir:  filepath.Dir(bridge),
				env:  []string{"PORT=" + strconv.Itoa(port), "MODULES=" + modules},
			}
		},
		ready: printedReady,
	})
	return &FilesystemServer{URL: "http://" + address(proc.port) + "/mcp", proc: proc}
}

// Stop ends the server, so that connections to it are refused.
func (s *FilesystemServer) Stop() {
	s.proc.stop()
}
