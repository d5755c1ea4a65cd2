//go:build e2e

package e2e_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"mintmark/internal/testenv"
)

// What docs/first-call.md says, as it says it, on a real SPIRE. Of its text only
// what belongs to the machine is another: where sockets and ports are, and that
// SPIRE tells the broker and the agent apart by their programs and not by users.
func TestFirstCall(t *testing.T) {
	content, err := os.ReadFile("../../docs/first-call.md")
	if err != nil {
		t.Fatal(err)
	}
	s := newFirstCall(t)
	text := s.here(string(content))
	for name, language := range map[string]string{"mintmark.yaml": "yaml", "policies.cedar": "cedar"} {
		s.write(t, filepath.Join("first", name), block(t, text, language))
	}
	s.run(t, block(t, text, "sh operator"))
	check, serve, _ := strings.Cut(strings.TrimSpace(block(t, text, "sh broker")), "\n")
	if out := s.run(t, check); !strings.Contains(out, ": ok: ") {
		t.Errorf("%s: got %q", check, out)
	}
	s.start(t, serve)
	call := block(t, text, "sh agent")
	var answer string
	await(t, "an answer", func() bool { // the broker's and the agent's identity come when SPIRE's agent has them
		answer = s.try(t, call)
		return strings.Contains(answer, "Echo: hello")
	})
	if got := s.run(t, strings.Replace(call, "-audience mintmark", "-audience elsewhere", 1)); strings.Contains(got, "Echo") || !strings.Contains(got, "mintmark: ") {
		t.Errorf("with a token for another audience: got %q, want a refusal", got)
	}
	record := s.run(t, block(t, text, "sh record"))
	if !regexp.MustCompile(`(?m)^\S+ +decision +allow +spiffe://example.org/agent/shop +everything +tools/call +echo `).MatchString(record) || !strings.Contains(record, `"ok":true`) {
		t.Errorf("the record: got %q", record)
	}
	for _, method := range []string{"server/discover", "initialize"} {
		if !strings.Contains(text, "`"+method+"`") || !strings.Contains(record, " "+method+" ") {
			t.Errorf("the record: got %q, want %s in it, as the page says", record, method)
		}
	}
}

// block returns the code block of a page in a language.
func block(t *testing.T, text, language string) string {
	t.Helper()
	found := regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```$").FindAllStringSubmatch(text, -1)
	if len(found) != 1 {
		t.Fatalf("got %d blocks of %s, want one", len(found), language)
	}
	return found[0][1]
}

// firstCall is a machine as the page has it.
type firstCall struct {
	dir  string   // where the reader is
	env  []string // with the programs on the PATH
	here func(page string) string
}

func newFirstCall(t *testing.T) *firstCall {
	t.Helper()
	spire, binary := testenv.SPIRE(t, testenv.SPIREOptions{}), build(t)
	s := &firstCall{dir: t.TempDir()}
	programs := filepath.Join(s.dir, "bin")
	s.write(t, "bin/spire-server", fmt.Sprintf("#!/bin/sh\nexec %s \"$@\" -socketPath %s\n", spire.Program("spire-server"), spire.AdminSocketPath()))
	for _, program := range []string{binary, spire.Program("spire-agent")} {
		content, err := os.ReadFile(program)
		if err != nil {
			t.Fatal(err)
		}
		s.write(t, filepath.Join("bin", filepath.Base(program)), string(content))
	}
	s.env = []string{"PATH=" + programs + ":" + os.Getenv("PATH"), "HOME=" + s.dir}
	port := fmt.Sprint(testenv.FreePort(t))
	s.here = strings.NewReplacer(
		"/run/spire/agent.sock", spire.SocketPath,
		"/tmp/bundle.pem", filepath.Join(s.dir, "bundle.pem"),
		"unix:user:mintmark", "unix:path:"+filepath.Join(programs, "mintmark"),
		"unix:user:shop", "unix:path:"+filepath.Join(programs, "spire-agent"),
		"http://127.0.0.1:3001/mcp", testenv.Everything(t).URL,
		":8443", ":"+port,
	).Replace
	return s
}

func (s *firstCall) write(t *testing.T, name, content string) {
	t.Helper()
	file := filepath.Join(s.dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o700); err != nil {
		t.Fatal(err)
	}
}

func (s *firstCall) shell(t *testing.T, commands string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", "-c", commands)
	cmd.Dir, cmd.Env = s.dir, s.env
	return cmd
}

// run returns what commands print, which must not fail.
func (s *firstCall) run(t *testing.T, commands string) string {
	t.Helper()
	out, err := s.shell(t, "set -euo pipefail\n"+commands).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v:\n%s", commands, err, out)
	}
	return string(out)
}

// try returns what commands print, as far as they come.
func (s *firstCall) try(t *testing.T, commands string) string {
	t.Helper()
	out, _ := s.shell(t, commands).CombinedOutput() // it is asked again
	return string(out)
}

// start runs a command until the test ends, and lets it end as it does by itself: a
// broker that is killed leaves its escrow.
func (s *firstCall) start(t *testing.T, command string) {
	t.Helper()
	cmd := s.shell(t, "exec "+command)
	cmd.SysProcAttr = attributes()
	var log buffer
	cmd.Stderr = &log
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // when the test's context ends, before its cleanup
	cmd.WaitDelay = time.Minute
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Wait() // its end by the signal
		if t.Failed() {
			t.Logf("the broker's log:\n%s", log.String())
		}
	})
}
