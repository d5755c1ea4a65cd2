package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMain lets the test binary be the program that a run starts its own
// servers with.
func TestMain(m *testing.M) {
	if _, ok := servers()[first(os.Args[1:])]; ok {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
		stop()
		os.Exit(code)
	}
	os.Exit(m.Run())
}

// short are the flags of a run that is over soon.
func short(more ...string) []string {
	return append([]string{"-rounds", "2", "-duration", "50ms", "-c", "2", "-decide=false"}, more...)
}

func TestRunWithoutMintmark(t *testing.T) {
	dir := t.TempDir()
	var out, progress bytes.Buffer
	if code := run(t.Context(), short("-only", "direct,reverseproxy,reverseproxy-kept", "-json", "-dir", dir), &out, &progress); code != 0 {
		t.Fatalf("got exit status %d:\n%s", code, &progress)
	}
	var got map[string]any
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatalf("standard output is not one JSON object: %v\n%s", err, &out)
	}
	for _, key := range []string{"direct_rps", "reverseproxy_rps", "reverseproxy_tls_rps", "reverseproxy_mtls_rps",
		"reverseproxy_kept_rps", "reverseproxy_kept_tls_rps", "reverseproxy_kept_mtls_rps",
		"direct_p50_us", "reverseproxy_p50_us", "reverseproxy_kept_p50_us", "memory_ns"} {
		if n, ok := got[key].(float64); !ok || n <= 0 {
			t.Errorf("%s: got %v, want a figure", key, got[key])
		}
	}
	for _, key := range []string{"nginx_rps", "mintmark_rps", "mintmark_tls_rps", "mintmark_mtls_rps", "nginx_tls_rps", "nginx_mtls_rps",
		"nginx_kept_rps", "nginx_kept_tls_rps", "nginx_kept_mtls_rps", "nginx_p50_us", "nginx_kept_p50_us", "mintmark_p50_us", "added_p99_us_1krps", "decide_ns_10", "decide_ns_10000", "allocs_per_call", "sse_1000_rss_mb", "sse_stream_rss_kb", "mints_for_1000_callers", "records_missing",
		"cold_p50_us", "cold_max_us", "provider_rtt_p50_us", "cold_added_us"} {
		if v, present := got[key]; !present || v != nil {
			t.Errorf("%s: got %v, present %v, want null: it was not measured", key, v, present)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestTable(t *testing.T) {
	var out, progress bytes.Buffer
	if code := run(t.Context(), short("-only", "direct"), &out, &progress); code != 0 {
		t.Fatalf("got exit status %d:\n%s", code, &progress)
	}
	for _, want := range []string{"direct", "calls/s", "medians of 2 rounds", shared} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("got\n%s\nwant %q in it", &out, want)
		}
	}
}

func TestWrongAnswersFailTheRun(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"jsonrpc":"2.0","id":1,"error":{"code":-31403,"message":"denied by somebody"}}`)
	}))
	defer server.Close()
	var out, progress bytes.Buffer
	code := run(t.Context(), short("-only", "direct", "-target", "theirs="+server.URL+"/mcp"), &out, &progress)
	if code != 1 || out.Len() > 0 {
		t.Errorf("got exit status %d and %q, want 1 and no figures", code, &out)
	}
	for _, want := range []string{"theirs", "answers were wrong", "denied by somebody"} {
		if !strings.Contains(progress.String(), want) {
			t.Errorf("got\n%s\nwant %q in it", &progress, want)
		}
	}
}

func TestOtherGateway(t *testing.T) {
	theirs := startUpstream(t)
	var out, progress bytes.Buffer
	code := run(t.Context(), short("-only", "direct", "-json", "-target", "theirs=http://"+theirs.upstream+"/mcp",
		"-target-header", "Authorization: Bearer "+theirs.bearer), &out, &progress)
	var got report
	if err := json.Unmarshal(out.Bytes(), &got); code != 0 || err != nil || got.Targets["theirs"][closedLoop].RPS <= 0 {
		t.Errorf("got exit status %d, %v, %+v:\n%s", code, err, got.Targets, &progress)
	}
}

func TestMissingMintmark(t *testing.T) {
	var out, progress bytes.Buffer
	code := run(t.Context(), short("-mintmark", filepath.Join(t.TempDir(), "none")), &out, &progress)
	if code != 1 || !strings.Contains(progress.String(), "make build") {
		t.Errorf("got exit status %d:\n%s\nwant 1 and the next step", code, &progress)
	}
}

// TestInterrupted cancels a run as soon as it says that it is under way, and
// looks for what it could have left.
func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	dir := t.TempDir()
	progress := &onWrite{do: func(line string) {
		if strings.Contains(line, "warming up") {
			cancel()
		}
	}}
	var out bytes.Buffer
	if code := run(ctx, short("-only", "direct,reverseproxy", "-duration", "1h", "-dir", dir), &out, progress); code != 1 {
		t.Errorf("got exit status %d, want 1", code)
	}
	if !strings.Contains(progress.String(), "interrupted") || out.Len() > 0 {
		t.Errorf("got %q and %q, want to read that it was interrupted", &out, progress.String())
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// onWrite is a buffer that tells what is written to it.
type onWrite struct {
	bytes.Buffer
	do func(string)
}

func (w *onWrite) Write(p []byte) (int, error) {
	w.do(string(p))
	return w.Buffer.Write(p)
}

func TestNoProcessOutlivesTheWorld(t *testing.T) {
	w, err := openWorld(t.Context(), options{agents: 1, directory: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	pid := w.children.all[0].pid
	if err := syscall.Kill(pid, 0); err != nil {
		t.Fatalf("upstream %d: %v", pid, err)
	}
	if err := w.close(); err != nil {
		t.Error(err)
	}
	if err := syscall.Kill(pid, 0); err == nil {
		t.Errorf("upstream %d still runs", pid)
	}
}

func TestProcessThatIgnoresBeingAskedIsKilled(t *testing.T) {
	c := children{dir: t.TempDir()}
	p, err := c.start("stubborn", nil, "/bin/sh", "-c", "trap '' TERM; echo trapped; while :; do sleep 60; done")
	if err != nil {
		t.Fatal(err)
	}
	deadline := time.After(startLimit)
	for tick := time.Tick(pollEvery); p.tail() != "trapped"; {
		select {
		case <-tick:
		case <-p.done:
			t.Fatalf("it ended before it was asked: %v, %s", p.err, p.tail())
		case <-deadline:
			c.kill()
			t.Fatalf("not ready within %v: %s", startLimit, p.tail())
		}
	}
	go c.kill()
	select {
	case <-p.done:
	case <-time.After(startLimit):
		t.Error("it still runs")
	}
}

func TestProcessThatEndsIsNotReady(t *testing.T) {
	c := children{dir: t.TempDir()}
	p, err := c.start("doomed", nil, "/bin/sh", "-c", "echo no luck; exit 3")
	if err != nil {
		t.Fatal(err)
	}
	address, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	err = p.ready(t.Context(), address)
	if err == nil || !strings.Contains(err.Error(), "no luck") || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("got %v, want the status and the log", err)
	}
}

func TestFlags(t *testing.T) {
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"-rounds", "0"}, "-rounds: got 0"},
		{[]string{"-policies", "1"}, "-policies: got 1"},
		{[]string{"-rate", "0"}, "-rate"},
		{[]string{"-only", "direct,apache"}, `got "apache"`},
		{[]string{"-target", "x"}, "want name=http://host:port/path"},
		{[]string{"-target", "x=ftp://localhost:1/"}, "want name=http://host:port/path"},
		{[]string{"-target-header", "A: b\r\nC: d"}, "Name: value"},
		{[]string{"what"}, "flags only"},
	} {
		var out, said bytes.Buffer
		if code := run(t.Context(), c.args, &out, &said); code != 2 || !strings.Contains(said.String(), c.says) {
			t.Errorf("%q: got exit status %d, %.200q, want 2 and %q", c.args, code, &said, c.says)
		}
	}
}

func TestHelp(t *testing.T) {
	var out, said bytes.Buffer
	if code := run(t.Context(), []string{"--help"}, &out, &said); code != 0 {
		t.Errorf("got exit status %d", code)
	}
	for _, want := range []string{"mintbench -quick", "share this machine's processors", "-policies", "the token request in it by itself", "reverseproxy       as it comes", "nginx-kept         keeps"} {
		if !strings.Contains(said.String(), want) {
			t.Errorf("help lacks %q", want)
		}
	}
}

func TestQuickKeepsWhatWasSet(t *testing.T) {
	var said bytes.Buffer
	o, err := parseOptions([]string{"-quick", "-rounds", "7"}, &said)
	if err != nil || o.rounds != 7 || o.duration >= 3e9 {
		t.Errorf("got %d rounds of %v, %v, want 7 and short ones", o.rounds, o.duration, err)
	}
}

// TestQuickLeavesOutLittle: a quick run measures every target, of those that keep
// connections the least.
func TestQuickLeavesOutLittle(t *testing.T) {
	w, err := openWorld(t.Context(), options{agents: 1, directory: t.TempDir(), quick: true, tls: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := w.close(); err != nil {
			t.Error(err)
		}
	}()
	for name, want := range map[string]int{reverseProxy: 3, nginx: 3, mintmark: 3, reverseProxyKept: 1, nginxKept: 1} {
		if all, err := w.endpoints(name, "/mcp", listeners{}); err != nil || len(all) != want {
			t.Errorf("%s: got %d endpoints, %v, want %d", name, len(all), err, want)
		}
	}
}

func TestResidentMemory(t *testing.T) {
	if _, err := os.Stat("/proc/" + strconv.Itoa(os.Getpid()) + "/status"); err != nil {
		if _, ok := residentMiB(os.Getpid()); ok {
			t.Error("got a figure, want none: this system does not tell")
		}
		return
	}
	if mib, ok := residentMiB(os.Getpid()); !ok || mib < 1 || mib > 10_000 {
		t.Errorf("got %.1f MiB, %v", mib, ok)
	}
}

func TestAllocations(t *testing.T) {
	text := "# HELP x y\ngo_memstats_mallocs_total 1.5e+06\n"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, text) }))
	defer server.Close()
	address := strings.TrimPrefix(server.URL, "http://")
	if n, ok := allocations(t.Context(), address); !ok || n != 1.5e6 {
		t.Errorf("got %v, %v, want 1500000", n, ok)
	}
	text = "mintmark_calls_total 5\n"
	if n, ok := allocations(t.Context(), address); ok {
		t.Errorf("got %v, want none: the process does not tell", n)
	}
}
