//go:build e2e

package e2e_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"mintmark/internal/testenv"
)

// Desktop clients, which start their server as a program: that program is
// "mintmark connect", and SPIRE knows who it is by its path.
func TestConnect(t *testing.T) {
	w := newWorld(t)
	desk := w.installConnect(t)
	for name, test := range map[string]func(*testing.T, *world, string){
		"carries sessions over TLS":                      testConnectSessions,
		"carries the stateless revision over a socket":   testConnectStateless,
		"serves the inspector":                           testConnectInspector,
		"ends with the session that the broker forgot":   testConnectForgotten,
		"says what is wrong with a program it knows not": testConnectStranger,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, w, desk)
		})
	}
}

// installConnect puts the program where the agent runs it, apart from where the
// broker does, and registers it as the agent.
func (w *world) installConnect(t *testing.T) string {
	t.Helper()
	content, err := os.ReadFile(w.binary)
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "mintmark")
	if err := os.WriteFile(program, content, 0o700); err != nil {
		t.Fatal(err)
	}
	w.spire.Register(t, shopID, append(testenv.ProgramSelectors(t, program), fmt.Sprintf("unix:uid:%d", os.Getuid()))...)
	return program
}

// kept registers everything, which asks for no credential, and an MCP server
// that wants a secret which people keep in OpenBao.
func (w *world) kept(t *testing.T) (site, *upstream) {
	t.Helper()
	bao, s, kept := testenv.OpenBao(t), &secrets{}, rand.Text()
	s.add("kept secret", kept)
	bao.PutKV(t, "app", map[string]any{"key": kept})
	address := w.trustBroker(t, bao, `path "secret/data/app" { capabilities = ["read"] }`, s)
	server := newServer()
	addTool(server, "progress", func(ctx context.Context, r *mcp.CallToolRequest, _ struct{}) (string, error) {
		for n := 1.0; n <= 3; n++ {
			if err := r.Session.NotifyProgress(ctx, &mcp.ProgressNotificationParams{ProgressToken: r.Params.GetProgressToken(), Progress: n}); err != nil {
				return "", err
			}
		}
		return "completed", nil
	})
	billing := newUpstream(t, stateless(server))
	dir, err := os.MkdirTemp("", "mm-") // t.TempDir's path is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return site{secrets: s, policies: permitShop, socket: filepath.Join(dir, "agents.sock"), config: fmt.Sprintf(`
providers:
  billing-key:
    kind: vault
    address: %s
    auth: {jwt: {role: mintmark, audience: vault}}
    kv2: {path: app, field: key}
upstreams:
  everything: {url: %q, unauthenticated: true}
  billing:
    url: %s
    credentials: [{provider: billing-key, scheme: header, header: X-Api-Key, template: "Key {token}"}]
limits: {shutdown: 1s}
`, address, testenv.Everything(t).URL, billing.url)}, billing
}

// desktop starts a client of a program, which gets two addresses and nothing
// else of the environment. All that the program writes counts as received by
// the agent.
func (m *mintmark) desktop(t *testing.T, program, broker, upstream string, o *mcp.ClientOptions) (*mcp.ClientSession, error) {
	t.Helper()
	cmd := exec.Command(program, "connect", upstream, "--log-level", "debug")
	cmd.Env = []string{"MINTMARK_BROKER=" + broker, "SPIFFE_ENDPOINT_SOCKET=" + m.world.spire.Addr, "HOME=" + t.TempDir()}
	cmd.Stderr, cmd.SysProcAttr = &m.received, attributes()
	client := mcp.NewClient(&mcp.Implementation{Name: "desktop", Version: "1"}, o)
	transport := &mcp.LoggingTransport{Transport: &mcp.CommandTransport{Command: cmd}, Writer: &m.received}
	var revision *mcp.ClientSessionOptions
	if upstream == "everything" { // through the bridge it would have no stream of the server's own
		revision = &mcp.ClientSessionOptions{ProtocolVersion: "2025-11-25"}
	}
	session, err := client.Connect(t.Context(), transport, revision)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { _ = session.Close() })
	return session, nil
}

func (m *mintmark) mustDesktop(t *testing.T, program, broker, upstream string, o *mcp.ClientOptions) *mcp.ClientSession {
	t.Helper()
	session, err := m.desktop(t, program, broker, upstream, o)
	if err != nil {
		t.Fatalf("connect: %v; all that was received:\n%s\nthe broker's log:\n%s", err, m.received.String(), m.stderr.String())
	}
	return session
}

// wantNoToken demands that the agent's own evidence is not in what its program
// wrote either.
func (m *mintmark) wantNoToken(t *testing.T) {
	t.Helper()
	for _, mark := range []string{"eyJ", "PRIVATE KEY", "BEGIN CERT"} {
		if strings.Contains(m.received.String(), mark) {
			t.Errorf("mintmark connect: %q is in what it wrote", mark)
		}
	}
}

// A server with sessions, as people run it: tools, progress, what the server
// asks its client, what it says by itself, and the end.
func testConnectSessions(t *testing.T, w *world, program string) {
	site, _ := w.kept(t)
	m := w.serve(t, site)
	progress, sampled, logged := make(chan float64, 16), make(chan string, 1), make(chan string, 16)
	session := m.mustDesktop(t, program, m.secure, "everything", listener(progress, sampled, logged))
	if v := session.InitializeResult().ProtocolVersion; v != "2025-11-25" {
		t.Errorf("session: got revision %s, want one with sessions", v)
	}
	tools, err := session.ListTools(t.Context(), nil)
	if err != nil || !slices.ContainsFunc(tools.Tools, func(tool *mcp.Tool) bool { return tool.Name == "echo" }) {
		t.Errorf("list tools: got %v, %v, want echo among them", tools, err)
	}
	if got := call(t, session, "echo", map[string]any{"message": "hello"}); got != "Echo: hello" {
		t.Errorf("echo: got %q", got)
	}
	wantProgress(t, session, progress)
	if got := call(t, session, "trigger-sampling-request", map[string]any{"prompt": "say"}); !strings.Contains(got, "from the agent") {
		t.Errorf("sampling: got %q, want the client's answer", got)
	}
	if got := recv(t, "the server's request", sampled); !strings.Contains(got, "say") {
		t.Errorf("sampling request: got %q", got)
	}
	call(t, session, "toggle-simulated-logging", map[string]any{})
	for !strings.Contains(recv(t, "the server's log", logged), "message - SessionId") {
	}
	if err := session.Close(); err != nil {
		t.Errorf("close: %v, want that the program ended with 0", err)
	}
	end := m.last(t, "--kind", "decision", "--upstream", "everything", "--outcome", "allow")
	if end.Method != "end" || m.outcome(t, end).Status != http.StatusOK || end.Attestor != "x509-svid" || end.Agent != shopID {
		t.Errorf("record: got %+v, want the end of the agent's session", end)
	}
	// The broker before a server that wants a credential.
	billing := m.mustDesktop(t, program, m.secure, "billing", nil)
	m.wantMasked(t, billing, "X-Api-Key")
	if err := billing.Close(); err != nil {
		t.Errorf("close: %v, want that the program ended with 0", err)
	}
	m.wantNoToken(t)
}

// A server without sessions, with the credential that nobody else may see, by
// a JWT-SVID.
func testConnectStateless(t *testing.T, w *world, program string) {
	site, billing := w.kept(t)
	m := w.serve(t, site)
	progress := make(chan float64, 16)
	session := m.mustDesktop(t, program, "unix://"+site.socket, "billing", &mcp.ClientOptions{
		ProgressNotificationHandler: func(_ context.Context, r *mcp.ProgressNotificationClientRequest) { progress <- r.Params.Progress }})
	if v := session.InitializeResult().ProtocolVersion; v != "2026-07-28" {
		t.Errorf("got revision %s, want the one without sessions", v)
	}
	params := &mcp.CallToolParams{Name: "progress", Arguments: map[string]any{}}
	params.SetProgressToken("p")
	if result, err := session.CallTool(t.Context(), params); err != nil || textOf(result) != "completed" {
		t.Errorf("progress: got %v, %v", result, err)
	}
	for want := 1.0; want <= 3; want++ {
		if got := recv(t, "progress", progress); got != want {
			t.Errorf("got progress %v, want %v", got, want)
		}
	}
	m.wantMasked(t, session, "X-Api-Key")
	billing.wantOnly(t, "X-Api-Key", http.Header{"Authorization": {"Bearer"}})
	if err := session.Close(); err != nil {
		t.Errorf("close: %v, want that the program ended with 0", err)
	}
	if last := m.last(t, "--kind", "decision", "--upstream", "billing", "--outcome", "allow"); last.Attestor != "jwt-svid" || last.Agent != shopID {
		t.Errorf("record: got %+v, want the agent by its JWT-SVID", last)
	}
	m.wantNoToken(t)
}

// The inspector starts the program as a desktop client of the TypeScript SDK
// does.
func testConnectInspector(t *testing.T, w *world, program string) {
	site, _ := w.kept(t)
	m := w.serve(t, site)
	node := testenv.InstalledNode(t)
	launcher := filepath.Join(node.Modules, "@modelcontextprotocol", "inspector", "clients", "launcher", "build", "index.js")
	inspect := func(upstream string, args ...string) []byte {
		all := []string{"--cli", "-e", "MINTMARK_BROKER=" + m.secure, "-e", "SPIFFE_ENDPOINT_SOCKET=" + w.spire.Addr, program, "connect", upstream}
		out := runNode(t, node, launcher, append(all, args...)...)
		_, _ = m.received.Write(out)
		return out
	}
	list := parsed(t, inspect("everything", "--method", "tools/list"))
	if !slices.Contains(list.Tools, struct{ Name string }{"echo"}) {
		t.Errorf("tools/list: got %+v, want echo among them", list.Tools)
	}
	echo := parsed(t, inspect("everything", "--method", "tools/call", "--tool-name", "echo", "--tool-arg", "message=hello"))
	if len(echo.Content) != 1 || echo.Content[0].Text != "Echo: hello" || echo.IsError {
		t.Errorf("tools/call: got %+v, want the echo", echo)
	}
	headers := parsed(t, inspect("billing", "--method", "tools/call", "--tool-name", "headers"))
	if len(headers.Content) != 1 || !strings.Contains(headers.Content[0].Text, "********") {
		t.Errorf("tools/call: got %+v, want the headers with the credential masked", headers)
	}
	for _, r := range m.records(t, "--kind", "decision", "--outcome", "allow") {
		if r.Agent != shopID || r.Attestor != "x509-svid" {
			t.Errorf("record: got %+v, want the agent by its X.509-SVID", r)
		}
	}
	m.wantNoToken(t)
}

// A broker that starts anew knows no session of before: the program says so and
// ends, and the next one works.
func testConnectForgotten(t *testing.T, w *world, program string) {
	site, _ := w.kept(t)
	m := w.serve(t, site)
	session := m.mustDesktop(t, program, "unix://"+site.socket, "everything", nil)
	call(t, session, "echo", map[string]any{"message": "hello"})
	m.stop(t)
	again := w.serve(t, site)
	// The stream of the server's is asked for again, and shows it.
	await(t, "the end of the session", func() bool {
		return strings.Contains(m.received.String(), "mintmark: the session has ended at the server")
	})
	over := make(chan error, 1)
	go func() { over <- session.Wait() }()
	_ = recv(t, "the end of the program", over)
	next := again.mustDesktop(t, program, "unix://"+site.socket, "everything", nil)
	if got := call(t, next, "echo", map[string]any{"message": "again"}); got != "Echo: again" {
		t.Errorf("echo: got %q", got)
	}
	if err := next.Close(); err != nil {
		t.Errorf("close: %v, want that the program ended with 0", err)
	}
}

// A program that SPIRE does not know gets no identity, and its client hears why.
func testConnectStranger(t *testing.T, w *world, program string) {
	content, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	stranger := filepath.Join(t.TempDir(), "mintmark")
	if err := os.WriteFile(stranger, content, 0o700); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, stranger, "connect", "everything", "--broker", "https://127.0.0.1:1", "--workload-api", w.spire.Addr)
	cmd.Env = []string{"HOME=" + t.TempDir()}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(in, `{"jsonrpc":"2.0","id":"first","method":"initialize","params":{"protocolVersion":"2025-11-25"}}`+"\n")
	var got struct {
		ID    string
		Error jsonrpc.Error
	}
	if err := json.NewDecoder(out).Decode(&got); err != nil {
		t.Fatal(err)
	}
	if got.ID != "first" || got.Error.Code != -31503 || !strings.Contains(got.Error.Message, "is this program registered as a workload?") {
		t.Errorf("got %+v, want that it has no identity, and why", got)
	}
	_ = in.Close()
	if err := cmd.Wait(); err != nil {
		t.Errorf("end: %v", err)
	}
}
