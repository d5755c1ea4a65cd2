package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A stop while serve still waits for the Workload API is a stop as any other: it ends then
// and not when the wait does, with status 0, and says what it was doing.
func TestAStopWhileItWaitsForTheWorkloadAPI(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(signal.String(), func(t *testing.T) {
			dir := t.TempDir()
			writeFile(t, filepath.Join(dir, "mintmark.yaml"), `
trust_domain: example.org
trust: {workload_api: "unix:///nowhere/agent.sock"}
limits: {shutdown_delay: 5m}
listeners: [{address: "127.0.0.1:0"}]
attestors: [{kind: x509-svid}]
upstreams: {orders: {url: "https://orders.example.org/mcp", unauthenticated: true}}
`)
			writeFile(t, filepath.Join(dir, "policies.cedar"), "permit (principal, action, resource);\n")
			var stderr screen
			cmd := exec.CommandContext(t.Context(), "mintmark", "serve", "--dir", dir)
			cmd.Stderr = &stderr
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			exited := make(chan error, 1)
			go func() { exited <- cmd.Wait() }()
			await(t, "serve to wait", time.Minute, func() bool {
				return len(exited) > 0 || strings.Contains(stderr.String(), `"msg":"waiting for the Workload API"`)
			})
			if err := cmd.Process.Signal(signal); err != nil {
				t.Errorf("it has ended already: %v", err)
			}
			if err := <-exited; err != nil {
				t.Errorf("got %v, want status 0\n%s", err, stderr.String())
			}
			lines := strings.Split(strings.TrimSpace(stderr.String()), "\n")
			var last struct{ Level, Msg, While string }
			if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil {
				t.Fatalf("last line: %v\n%s", err, stderr.String())
			}
			if last.Level != "INFO" || last.Msg != "stopped before it served" ||
				!strings.Contains(last.While, "stopped while waiting for the SPIFFE Workload API at unix:///nowhere/agent.sock") {
				t.Errorf("got the last line %+v, want that it stopped, and what it waited for", last)
			}
			if said := stderr.String(); strings.Contains(said, `"msg":"listening"`) || strings.Contains(said, `"level":"ERROR"`) {
				t.Errorf("got a listener or an error\n%s", said)
			}
		})
	}
}

func writeFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
