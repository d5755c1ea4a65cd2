//go:build e2e

package e2e_test

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"mintmark/internal/conformance"
	"mintmark/internal/testenv"
)

// The official conformance suite finds that Mintmark obtains an upstream's token as
// an MCP client has to: its client scenarios of authorization, with Mintmark as the
// client and an agent without any secret behind it.
func TestClientAuthorization(t *testing.T) {
	wantEveryScenario(t)
	w := newWorld(t)
	for _, s := range authScenarios() {
		t.Run(s.name, func(t *testing.T) {
			run := w.authorize(t, s.name, func(t *testing.T, job authJob) error { return w.callThrough(t, s.setUp(t, job, &operator{job: job})) })
			if !run.Conforms {
				t.Error("got a scenario that fails, want it to pass")
			}
			for _, check := range run.Scenarios[0].Checks {
				if check.Status == "FAILURE" || check.Status == "WARNING" {
					t.Errorf("%s: got %s %s", check.ID, check.Status, check.Message)
				}
			}
		})
	}
}

// authScenario is one that passes, and what an operator does before.
type authScenario struct {
	name  string
	setUp func(*testing.T, authJob, *operator) authSite
}

func authScenarios() []authScenario {
	return []authScenario{
		{"auth/client-credentials-jwt", clientKey},
		{"auth/client-credentials-basic", clientSecret},
		{"auth/enterprise-managed-authorization", enterpriseManaged},
		{"auth/wif-jwt-bearer", federated},
		{"auth/dpop", bound},
		{"auth/dpop-nonce", bound},
		{"auth/pre-registration", preRegistered},
		{"auth/resource-mismatch", clientKeyOfNobody},
		{"auth/metadata-issuer-mismatch", clientKeyOfNobody},
		{"auth/metadata-default", registered("none")},
		{"auth/metadata-var1", registered("none")},
		{"auth/metadata-var2", registered("none")},
		{"auth/metadata-var3", registered("none")},
		{"auth/token-endpoint-auth-basic", registered("basic")},
		{"auth/token-endpoint-auth-post", registered("post")},
		{"auth/token-endpoint-auth-none", registered("none")},
	}
}

// notABrokers returns the scenarios that are about what a person sees and a browser
// brings back: docs/providers.md says of each why it is not Mintmark's.
func notABrokers() []string {
	return []string{
		"auth/iss-supported", "auth/iss-not-advertised", "auth/iss-supported-missing", "auth/iss-wrong-issuer", "auth/iss-unexpected", "auth/iss-normalized",
		"auth/scope-from-www-authenticate", "auth/scope-from-scopes-supported", "auth/scope-omitted-when-undefined", "auth/offline-access-scope", "auth/offline-access-not-supported",
		"auth/scope-step-up", "auth/scope-retry-limit",
		"auth/basic-cimd",
		"auth/authorization-server-migration",
		"auth/2025-03-26-oauth-metadata-backcompat", "auth/2025-03-26-oauth-endpoint-fallback",
	}
}

// wantEveryScenario demands that each scenario of the suite is in one of the lists.
func wantEveryScenario(t *testing.T) {
	t.Helper()
	names, err := installedSuite(t).Scenarios(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	known := notABrokers()
	for _, s := range authScenarios() {
		known = append(known, s.name)
	}
	names = slices.DeleteFunc(names, func(name string) bool { return !strings.HasPrefix(name, "auth/") })
	slices.Sort(known)
	slices.Sort(names)
	if !slices.Equal(names, known) {
		t.Errorf("scenarios: got %v of the suite, want those that are known here: %v", names, known)
	}
}

// authJob is what the suite tells its client.
type authJob struct {
	Scenario string            `json:"scenario"`
	Server   string            `json:"server"`
	Context  map[string]string `json:"context"`
}

// authSite is what an operator registers for a scenario's server.
type authSite struct {
	provider string // the settings of the provider, as lines of YAML
	scheme   string
	server   string
	resource string // what it calls itself; the server's URL if ""
	secrets  map[string]string
	refused  bool // no call is to get through
}

// authorize runs a scenario, and serve as its client.
func (w *world) authorize(t *testing.T, name string, serve func(*testing.T, authJob) error) conformance.Run {
	t.Helper()
	jobs, answers, over := make(chan authJob), make(chan error), make(chan struct{})
	control := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var job authJob
		if err := json.NewDecoder(r.Body).Decode(&job); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		select {
		case jobs <- job:
		case <-over:
			return
		}
		select {
		case err := <-answers:
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadGateway)
			}
		case <-over:
		}
	}))
	t.Cleanup(func() {
		close(over)
		control.Close()
	})
	node := testenv.InstalledNode(t)
	script, err := filepath.Abs(filepath.Join("testdata", "authclient.mjs"))
	if err != nil {
		t.Fatal(err)
	}
	command := strings.Join([]string{node.Program, script, control.URL}, " ")
	type result struct {
		run conformance.Run
		err error
	}
	done := make(chan result, 1)
	go func() {
		run, err := installedSuite(t).Client(t.Context(), command, name, 2*time.Minute)
		done <- result{run, err}
	}()
	for served := 0; ; {
		select {
		case job := <-jobs:
			if job.Scenario != name {
				t.Errorf("got scenario %q, want %q", job.Scenario, name)
			}
			served++
			answers <- serve(t, job)
		case r := <-done:
			if r.err != nil {
				t.Fatal(r.err)
			}
			if served != 1 {
				t.Errorf("the suite ran its client %d times, want once", served)
			}
			return r.run
		}
	}
}

// callThrough lets an agent list and call the tools of the scenario's server by way
// of a broker.
func (w *world) callThrough(t *testing.T, s authSite) error {
	t.Helper()
	hidden := &secrets{}
	for kind, value := range s.secrets {
		hidden.add(kind, value)
	}
	m := w.serve(t, site{secrets: hidden, policies: permitShop, config: fmt.Sprintf(`
providers:
  token:
    kind: oauth
    discover: true
    resource: %s
%s
upstreams:
  server:
    url: %s
    credentials: [{provider: token, scheme: %s}]
`, cmp.Or(s.resource, s.server), s.provider, s.server, s.scheme)})
	session, err := m.agent(t, evidence{id: shopID}).tryConnect(t.Context(), "2025-11-25", "server", nil)
	if err != nil {
		if !s.refused {
			t.Errorf("connect: %v; the broker's log:\n%s", err, m.stderr.String())
		}
		return err
	}
	defer session.Close()
	if s.refused {
		t.Error("connect: got through, want the server's token not to be asked for")
	}
	tools, err := session.ListTools(t.Context(), nil)
	if err != nil || len(tools.Tools) != 1 {
		return fmt.Errorf("list tools: got %+v, %w", tools, err)
	}
	result, err := session.CallTool(t.Context(), &mcp.CallToolParams{Name: tools.Tools[0].Name})
	if err != nil || result.IsError {
		return errors.Join(errors.New("call the tool"), err)
	}
	if r := m.last(t, "--kind", "decision", "--tool", "test-tool"); r.Agent != shopID || r.Provider != "token" || r.Fingerprint == "" {
		t.Errorf("record: got %+v, want the agent and the credential", r)
	}
	return nil
}
