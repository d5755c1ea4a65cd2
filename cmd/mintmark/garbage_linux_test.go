package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"mintmark/internal/trustdomain"
)

// serve asks for huge pages once it serves: what is asked for is marked (hg) in the flags of the
// process's memory, where the system has any, and takes no memory until it is used. Beside a
// Workload API of the same user its memory may be looked at by that user, as a test's has to be.
func TestServeGrowsInHugePages(t *testing.T) {
	domain, dir := trustdomain.New("example.org", trustdomain.Options{}), t.TempDir()
	socket := filepath.Join(dir, "agent.sock")
	workloads, err := domain.ServeWorkloadAPI(t.Context(), socket, domain.ID("mintmark"))
	if err != nil {
		t.Fatal(err)
	}
	defer workloads.Close()
	writeFile(t, filepath.Join(dir, "mintmark.yaml"), `
trust_domain: example.org
trust: {workload_api: "`+workloads.Addr()+`"}
listeners: [{address: "127.0.0.1:0"}]
attestors: [{kind: x509-svid}]
upstreams: {orders: {url: "https://orders.example.org/mcp", unauthenticated: true}}
`)
	writeFile(t, filepath.Join(dir, "policies.cedar"), "permit (principal, action, resource);\n")
	var stderr screen
	cmd := exec.CommandContext(t.Context(), "mintmark", "serve", "--dir", dir)
	cmd.Stderr = &stderr
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "GOGC=") && !strings.HasPrefix(variable, "GOMEMLIMIT=") {
			cmd.Env = append(cmd.Env, variable)
		}
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Wait() }()
	defer func() { _ = cmd.Process.Signal(os.Interrupt) }()
	await(t, "serve to serve", time.Minute, func() bool { return strings.Contains(stderr.String(), `"msg":"serving"`) })
	want, size, used := hugePages(), 0, 0
	await(t, fmt.Sprintf("memory that is marked: %t", want), time.Minute, func() (found bool) {
		size, used, found = inHugePages(t, strconv.Itoa(cmd.Process.Pid))
		return found == want
	})
	if want && (size < spare>>10 || used > size/2) {
		t.Errorf("got %d kB marked, %d of them used, want %d unused", size, used, spare>>10)
	}
}

func hugePages() bool {
	_, err := os.Stat("/sys/kernel/mm/transparent_hugepage")
	return err == nil
}

// inHugePages returns the size of the first part of a process's memory that is marked, and
// what of it is used, in kB.
func inHugePages(t *testing.T, process string) (size, used int, found bool) {
	t.Helper()
	maps, err := os.ReadFile("/proc/" + process + "/smaps")
	if err != nil {
		t.Fatal(err)
	}
	marked := regexp.MustCompile(`(?m)^Size: +(\d+) kB\n(?:\w+: .*\n)*?Rss: +(\d+) kB\n(?:\w+: .*\n)*?VmFlags:.* hg`)
	sizes := marked.FindStringSubmatch(string(maps))
	if sizes == nil {
		return 0, 0, false
	}
	size, _ = strconv.Atoi(sizes[1])
	used, _ = strconv.Atoi(sizes[2])
	return size, used, true
}
