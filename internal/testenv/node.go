package testenv

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
)

// EverythingServer is a running MCP example server with tools, resources and
// prompts of every kind. It keeps sessions.
type EverythingServer struct {
	URL string // its streamable HTTP endpoint

	proc *process
}

// Everything starts the MCP example server of the TypeScript SDK.
func Everything(t testing.TB) *EverythingServer {
	t.Helper()
	proc := launch(t, everything(t))
	return &EverythingServer{URL: "http://" + address(proc.port) + "/mcp", proc: proc}
}

func everything(t testing.TB) server {
	t.Helper()
	modules := nodeModules(t)
	loopback := filepath.Join(servers(t), "node", "loopback.cjs")
	script := filepath.Join(modules, "@modelcontextprotocol", "server-everything", "dist", "index.js")
	return server{
		name: "everything",
		command: func(port int) command {
			return command{
				path: nodePath(t, modules),
				args: []string{"--require", loopback, script, "streamableHttp"},
				dir:  filepath.Dir(script),
				env:  []string{"PORT=" + strconv.Itoa(port)},
			}
		},
		ready: listening,
	}
}

// Stop ends the server, so that connections to it are refused.
func (s *EverythingServer) Stop() {
	s.proc.stop()
}

func nodeModules(t testing.TB) string {
	t.Helper()
	return filepath.Join(programs(t, "node"), "node_modules")
}

// nodePath returns the Node that the servers' packages bring for this kind of
// machine, or else the one on the PATH.
func nodePath(t testing.TB, modules string) string {
	t.Helper()
	arch := map[string]string{"amd64": "x64"}[runtime.GOARCH]
	brought := filepath.Join(modules, "node-"+runtime.GOOS+"-"+defaulted(arch, runtime.GOARCH), "bin", "node")
	if _, err := os.Stat(brought); err == nil {
		return brought
	}
	path, err := exec.LookPath("node")
	if err != nil {
		t.Fatalf("find node: %v", err)
	}
	return path
}
