//go:build e2e

package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"mintmark/internal/testenv"
)

// site is what an operator writes: mintmark.yaml from "providers" on, and the
// policies.
type site struct {
	config   string
	policies string
	scans    map[string]string // reports, by the agent's path
	secrets  *secrets          // what must not leak; may grow
	socket   string            // listened at besides, without TLS; "" for none
}

// listener is the entry of the socket.
func (s site) listener() string {
	if s.socket == "" {
		return ""
	}
	return fmt.Sprintf("  - {address: %q, plaintext: true}\n", "unix://"+s.socket)
}

// head is the part of mintmark.yaml that all tests share.
const head = `
trust_domain: example.org
trust:
  workload_api: %s
listeners:
  - address: 127.0.0.1:0
  - address: 127.0.0.1:0
    plaintext: true
%sattestors:
  - kind: x509-svid
  - kind: jwt-svid
    audience: mintmark
metrics: 127.0.0.1:%d
`

// permitShop lets the agent shop do everything everywhere.
const permitShop = `
@id("shop")
permit (principal == Agent::"` + shopID + `", action, resource);
`

// mintmark is a running "mintmark serve".
type mintmark struct {
	world   *world
	dir     string
	config  string // the whole of mintmark.yaml
	secrets *secrets

	secure, plain, metrics string // addresses

	stderr   buffer
	received buffer // whatever agents got from it
	process  *os.Process
	ended    chan struct{} // closed when it has
	state    *os.ProcessState
	told     bool // to stop
	stopped  bool
}

// serve starts a broker for a site and returns when it takes calls. It ends
// with the test, and is then held to what every broker is: see stop.
func (w *world) serve(t *testing.T, s site) *mintmark {
	t.Helper()
	m := &mintmark{world: w, dir: t.TempDir(), secrets: s.secrets, ended: make(chan struct{})}
	if m.secrets == nil {
		m.secrets = &secrets{}
	}
	port := testenv.FreePort(t)
	m.metrics = fmt.Sprintf("http://127.0.0.1:%d", port)
	m.config = fmt.Sprintf(head, w.spire.Addr, s.listener(), port) + s.config
	m.write(t, "mintmark.yaml", m.config)
	m.write(t, "policies.cedar", s.policies)
	for agent, report := range s.scans {
		m.scan(t, agent, report)
	}
	m.start(t)
	t.Cleanup(func() { m.stop(t) })
	await(t, "the broker to be ready", func() bool { return m.over() || m.ready() })
	if m.over() {
		t.Fatalf("start mintmark: it ended; its log:\n%s", m.stderr.String())
	}
	return m
}

// write puts a file into the broker's directory. Who reads it finds the old
// content or the new, whole.
func (m *mintmark) write(t *testing.T, name, content string) {
	t.Helper()
	target := filepath.Join(m.dir, name)
	part := filepath.Join(filepath.Dir(target), "."+filepath.Base(target)+".part")
	if err := errors.Join(
		os.MkdirAll(filepath.Dir(target), 0o700),
		os.WriteFile(part, []byte(content), 0o600),
		os.Rename(part, target),
	); err != nil {
		t.Fatal(err)
	}
}

// start starts the process. The thread that does must live as long as the
// process: the kernel takes its end for the parent's.
func (m *mintmark) start(t *testing.T) {
	t.Helper()
	cmd := exec.Command(m.world.binary, "serve", "--dir", m.dir, "--log-level", "debug")
	cmd.Env = []string{"HOME=" + m.dir}
	cmd.Stderr = &m.stderr
	cmd.SysProcAttr = attributes()
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // state says how it ended
			m.state = cmd.ProcessState
			close(m.ended)
		}
	}()
	if err := <-started; err != nil {
		t.Fatalf("start mintmark: %v", err)
	}
	m.process = cmd.Process
}

func (m *mintmark) over() bool {
	select {
	case <-m.ended:
		return true
	default:
		return false
	}
}

// ready takes the addresses from the log and asks whether calls are served.
func (m *mintmark) ready() bool {
	for _, line := range m.log("listening") {
		switch address := line["address"].(string); {
		case strings.HasPrefix(address, "/"): // the test knows where
		case line["tls"] == true:
			m.secure = "https://" + address
		default:
			m.plain = "http://" + address
		}
	}
	status, _ := m.admin("/readyz")
	return m.secure != "" && m.plain != "" && status == http.StatusOK
}

// admin asks the operator's listener.
func (m *mintmark) admin(path string) (status int, body string) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, m.metrics+path, nil)
	if err != nil {
		return 0, err.Error()
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(content)
}

// log returns the lines of the log with a message.
func (m *mintmark) log(message string) (lines []map[string]any) {
	for line := range strings.Lines(m.stderr.String()) {
		var fields map[string]any
		if json.Unmarshal([]byte(line), &fields) == nil && fields["msg"] == message {
			lines = append(lines, fields)
		}
	}
	return lines
}

// terminate asks the broker to stop, once, and does not wait for it.
func (m *mintmark) terminate(t *testing.T) {
	t.Helper()
	if m.told {
		return
	}
	m.told = true
	if err := m.process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("stop mintmark: %v", err)
	}
}

// stop ends the broker by SIGTERM and holds it to what every broker is held to:
// it exits with 0, its log verifies and tells of its end, and no secret is in
// what it gave out or wrote.
func (m *mintmark) stop(t *testing.T) {
	t.Helper()
	if m.stopped {
		return
	}
	m.stopped = true
	_, metrics := m.admin("/metrics")
	m.terminate(t)
	select {
	case <-m.ended:
	case <-time.After(time.Minute):
		_ = m.process.Kill()
		<-m.ended
		t.Errorf("stop mintmark: it did not end; its log:\n%s", m.stderr.String())
	}
	if code := m.state.ExitCode(); code != 0 {
		t.Errorf("mintmark: got exit %d, want 0; its log:\n%s", code, m.stderr.String())
	}
	m.wantVerified(t)
	m.wantNoSecrets(t, metrics)
	if t.Failed() {
		t.Logf("log of mintmark:\n%s", m.stderr.String())
	}
}

// wantVerified has the log verified, by the program and with the public key.
func (m *mintmark) wantVerified(t *testing.T) {
	t.Helper()
	var report struct {
		OK           bool
		Records      int
		UnsignedTail int    `json:"unsigned_tail"`
		KeyFrom      string `json:"key_from"`
	}
	out := m.run(t, "audit", "verify", "--log", m.logDir(), "--key", filepath.Join(m.logDir(), "log.pub"))
	if err := json.Unmarshal(out, &report); err != nil {
		t.Errorf("audit verify: got %q: %v", out, err)
	}
	if !report.OK || report.UnsignedTail != 0 || report.KeyFrom != "given" {
		t.Errorf("audit verify: got %s, want it all signed by the given key", out)
	}
	events := m.records(t, "--kind", "admin")
	if report.Records < 2 || len(events) < 2 || events[0].Event != "start" || events[len(events)-1].Event != "stop" {
		t.Errorf("audit: got %d records and events %v, want them from start to stop", report.Records, events)
	}
}

// wantNoSecrets looks for the secrets in everything that left the broker.
func (m *mintmark) wantNoSecrets(t *testing.T, metrics string) {
	t.Helper()
	places := map[string]string{
		"what agents received": m.received.String(),
		"the log output":       m.stderr.String(),
		"/metrics":             metrics,
		"audit query":          string(m.run(t, "audit", "query", "--log", m.logDir())),
		"audit query --json":   string(m.run(t, "audit", "query", "--log", m.logDir(), "--json")),
	}
	kept := os.DirFS(m.logDir()) // the record, and what the broker remembers beside it
	err := fs.WalkDir(kept, ".", func(name string, file fs.DirEntry, err error) error {
		if err != nil || file.IsDir() {
			return err
		}
		content, err := fs.ReadFile(kept, name)
		places["audit/"+name] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for where, text := range places {
		if text == "" && filepath.Ext(where) != ".lock" && where != "audit/lock" {
			t.Errorf("%s: got nothing to look for secrets in", where)
		}
		for _, what := range m.secrets.in([]byte(text)) {
			t.Errorf("%s: it holds a secret: %s", where, what)
		}
	}
	if len(m.secrets.snapshot()) == 0 {
		t.Error("secrets: got none to look for")
	}
}

func (m *mintmark) logDir() string { return filepath.Join(m.dir, "audit") }

// run runs another command of the program and returns what it prints.
func (m *mintmark) run(t *testing.T, args ...string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, m.world.binary, args...).Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		t.Fatalf("mintmark %s: %v: %s%s", strings.Join(args, " "), err, out, exit.Stderr)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// record is what tests read of a record, in the words of its JSON.
type record struct {
	Kind, Event, Call, Agent, Attestor, Upstream, Method, Tool string
	Step, Fault, Reason, Provider, Scheme, Fingerprint, Bundle string
	Allow, Cached                                              bool
	Status                                                     int
	Policies, Stripped                                         []string
	ScrubHits                                                  int       `json:"scrub_hits"`
	NotAfter                                                   time.Time `json:"not_after"`
	Posture                                                    []struct {
		Name, Value, Issuer string
		Age                 int `json:"age_s"`
	}
}

// records returns the records that the flags of "audit query" select.
func (m *mintmark) records(t *testing.T, flags ...string) (list []record) {
	t.Helper()
	out := m.run(t, append([]string{"audit", "query", "--json", "--log", m.logDir()}, flags...)...)
	for d := json.NewDecoder(bytes.NewReader(out)); d.More(); {
		var r record
		if err := d.Decode(&r); err != nil {
			t.Fatalf("audit query: %v", err)
		}
		list = append(list, r)
	}
	return list
}

// last returns the newest record that the flags select, when there is one.
func (m *mintmark) last(t *testing.T, flags ...string) record {
	t.Helper()
	var list []record
	await(t, "a record "+strings.Join(flags, " "), func() bool {
		list = m.records(t, flags...)
		return len(list) > 0
	})
	return list[len(list)-1]
}

// outcome returns how the call of a decision ended.
func (m *mintmark) outcome(t *testing.T, decision record) record {
	t.Helper()
	return m.last(t, "--kind", "outcome", "--call", decision.Call)
}

// buffer is a bytes.Buffer for several writers. The zero one is empty.
type buffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
