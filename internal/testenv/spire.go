package testenv

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// SPIREDomain is a running SPIRE server and one agent of it, which together
// issue the identities of a trust domain.
type SPIREDomain struct {
	TrustDomain string
	SocketPath  string // of the Workload API
	Addr        string // the same as "unix://PATH"

	bin, dir      string
	agentID       string
	server, agent *process
}

// SPIREOptions are optional.
type SPIREOptions struct {
	TrustDomain string        // "example.org" if empty
	X509TTL     time.Duration // life of an X.509-SVID, 1 h if zero
	JWTTTL      time.Duration // life of a JWT-SVID, 5 min if zero
	JWTIssuer   string        // the claim iss of JWT-SVIDs; they have none if empty
}

// SPIRE starts a server and an agent that attests workloads by their Unix
// process: the selectors are unix:uid, unix:path, unix:sha256 and the like.
func SPIRE(t testing.TB, options SPIREOptions) *SPIREDomain {
	t.Helper()
	dir := tempDir(t)
	s := &SPIREDomain{
		TrustDomain: defaulted(options.TrustDomain, "example.org"),
		SocketPath:  filepath.Join(dir, "api.sock"),
		Addr:        "unix://" + filepath.Join(dir, "api.sock"),
		bin:         programs(t, "spire"),
		dir:         dir,
	}
	s.startServer(t, options)
	s.startAgent(t)
	return s
}

const spireServerConfig = `
server {
	bind_address = "127.0.0.1"
	bind_port = %d
	socket_path = %q
	data_dir = %q
	trust_domain = %q
	default_x509_svid_ttl = %q
	default_jwt_svid_ttl = %q
	jwt_issuer = %q
	log_level = "INFO"
	experimental { cache_reload_interval = "200ms" }
}
plugins {
	DataStore "sql" { plugin_data { database_type = "sqlite3" connection_string = %q } }
	KeyManager "memory" { plugin_data {} }
	NodeAttestor "join_token" { plugin_data {} }
}
`

func (s *SPIREDomain) startServer(t testing.TB, options SPIREOptions) {
	t.Helper()
	config := s.path("server.conf")
	s.server = launch(t, server{
		name: "spire-server",
		command: func(port int) command {
			write(t, config, fmt.Sprintf(spireServerConfig, port, s.AdminSocketPath(), s.path("server"), s.TrustDomain,
				defaulted(options.X509TTL, time.Hour), defaulted(options.JWTTTL, 5*time.Minute), options.JWTIssuer, s.path("server.sqlite3")))
			return command{path: s.Program("spire-server"), args: []string{"run", "-config", config}, dir: s.dir}
		},
		ready: func(ctx context.Context, _ *process) error {
			return run(ctx, s.Program("spire-server"), "healthcheck", "-socketPath", s.AdminSocketPath())
		},
	})
}

const spireAgentConfig = `
agent {
	server_address = "127.0.0.1"
	server_port = %d
	socket_path = %q
	data_dir = %q
	trust_domain = %q
	trust_bundle_path = %q
	join_token = %q
	log_level = "DEBUG"
	log_format = "json"
	experimental { sync_interval = "250ms" }
}
plugins {
	KeyManager "memory" { plugin_data {} }
	NodeAttestor "join_token" { plugin_data {} }
	WorkloadAttestor "unix" { plugin_data { discover_workload_path = true } }
}
`

func (s *SPIREDomain) startAgent(t testing.TB) {
	t.Helper()
	token := s.joinToken(t)
	s.agentID = "spiffe://" + s.TrustDomain + "/spire/agent/join_token/" + token
	config, bundle := s.path("agent.conf"), s.path("bundle.pem")
	write(t, bundle, string(s.admin(t, "bundle", "show")))
	write(t, config, fmt.Sprintf(spireAgentConfig, s.server.port, s.SocketPath, s.path("agent"), s.TrustDomain, bundle, token))
	s.agent = start(t, "spire-agent", command{path: s.Program("spire-agent"), args: []string{"run", "-config", config}, dir: s.dir})
	err := s.agent.await(t.Context(), func(ctx context.Context) error {
		return run(ctx, s.Program("spire-agent"), "healthcheck", "-socketPath", s.SocketPath)
	})
	if err != nil {
		t.Fatalf("start spire-agent: %v; end of its log:\n%s", err, s.agent.tail())
	}
}

func (s *SPIREDomain) joinToken(t testing.TB) string {
	t.Helper()
	var token struct{ Value string }
	s.adminJSON(t, &token, "token", "generate")
	return token.Value
}

// Register makes spiffeID the identity of the processes that have all the
// selectors, and returns the entry's ID when the agent has its X.509-SVID.
// Without selectors, these are the ones of this process.
func (s *SPIREDomain) Register(t testing.TB, spiffeID string, selectors ...string) string {
	t.Helper()
	if len(selectors) == 0 {
		selectors = Selectors(t)
	}
	return s.register(t, spiffeID, selectors)
}

// RegisterDNS is Register of this process with a DNS name, which its X.509-SVID
// has as its common name too.
func (s *SPIREDomain) RegisterDNS(t testing.TB, spiffeID, name string) string {
	t.Helper()
	return s.register(t, spiffeID, Selectors(t), "-dns", name)
}

func (s *SPIREDomain) register(t testing.TB, spiffeID string, selectors []string, more ...string) string {
	t.Helper()
	id := s.create(t, spiffeID, selectors, more...)
	// The agent tells nobody but the workload itself which identities it has
	// ready: its log is the only place where a test can see another's.
	s.awaitLog(t, "SVID updated", id)
	return id
}

func (s *SPIREDomain) create(t testing.TB, spiffeID string, selectors []string, more ...string) string {
	t.Helper()
	args := append([]string{"entry", "create", "-spiffeID", spiffeID, "-parentID", s.agentID}, more...)
	for _, selector := range selectors {
		args = append(args, "-selector", selector)
	}
	var created struct {
		Results []struct {
			Entry  struct{ ID string }
			Status struct{ Message string }
		}
	}
	s.adminJSON(t, &created, args...)
	if len(created.Results) != 1 || created.Results[0].Entry.ID == "" {
		t.Fatalf("register %s: got %+v, want one entry", spiffeID, created.Results)
	}
	return created.Results[0].Entry.ID
}

// Deregister deletes an entry by the ID that Register returned, and returns
// when the agent no longer serves it.
func (s *SPIREDomain) Deregister(t testing.TB, id string) {
	t.Helper()
	s.admin(t, "entry", "delete", "-entryID", id)
	s.awaitLog(t, "Entry removed", id)
}

// awaitLog returns when the agent has logged message about an entry.
func (s *SPIREDomain) awaitLog(t testing.TB, message, entry string) {
	t.Helper()
	err := s.agent.await(t.Context(), func(context.Context) error {
		if !logged(s.agent.output(), message, entry) {
			return fmt.Errorf("read agent's log: no %q of entry %s yet", message, entry)
		}
		return nil
	})
	if err != nil {
		t.Fatalf("await spire-agent: %v; end of its log:\n%s", err, s.agent.tail())
	}
}

func logged(log, message, entry string) bool {
	for line := range strings.Lines(log) {
		var record struct{ Msg, Entry string }
		if json.Unmarshal([]byte(line), &record) == nil && record.Msg == message && record.Entry == entry {
			return true
		}
	}
	return false
}

// StopAgent ends the agent, so that the Workload API is gone.
func (s *SPIREDomain) StopAgent() {
	s.agent.stop()
}

// StopServer ends the server. The agent goes on serving what it has until it
// expires.
func (s *SPIREDomain) StopServer() {
	s.server.stop()
}

// Selectors returns the selectors of this test's process: its user and its
// program.
func Selectors(t testing.TB) []string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatalf("find test program: %v", err)
	}
	return append(ProgramSelectors(t, path), fmt.Sprintf("unix:uid:%d", os.Getuid()))
}

// ProgramSelectors returns the selectors of every process that runs the program
// at path: its path and its content.
func ProgramSelectors(t testing.TB, path string) []string {
	t.Helper()
	program, err := filepath.EvalSymlinks(path)
	if err != nil {
		t.Fatalf("find program: %v", err)
	}
	content, err := os.ReadFile(program)
	if err != nil {
		t.Fatalf("read program: %v", err)
	}
	digest := sha256.Sum256(content)
	return []string{"unix:path:" + program, "unix:sha256:" + hex.EncodeToString(digest[:])}
}

func (s *SPIREDomain) path(name string) string { return filepath.Join(s.dir, name) }

// Program returns the path of one of SPIRE's programs.
func (s *SPIREDomain) Program(name string) string { return filepath.Join(s.bin, name) }

// AdminSocketPath returns the socket by which spire-server is administered.
func (s *SPIREDomain) AdminSocketPath() string { return s.path("server.sock") }

// admin runs a subcommand of the server's command line.
func (s *SPIREDomain) admin(t testing.TB, args ...string) []byte {
	t.Helper()
	// Flags end at the first argument that is none, so the socket goes last.
	return output(t, s.Program("spire-server"), append(args, "-socketPath", s.AdminSocketPath())...)
}

func (s *SPIREDomain) adminJSON(t testing.TB, answer any, args ...string) {
	t.Helper()
	out := s.admin(t, append(args, "-output", "json")...)
	if err := json.Unmarshal(out, answer); err != nil {
		t.Fatalf("parse answer of spire-server %s: %v", args[0], errors.Join(err, errors.New(string(out))))
	}
}
