//go:build e2e

package e2e_test

import (
	"crypto/rand"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"mintmark/internal/conformance"
	"mintmark/internal/testenv"
)

// tableVariable names the environment variable with the file that gets the
// table of TestConformance: see "make conformance".
const tableVariable = "MINTMARK_CONFORMANCE_TABLE"

// era is a protocol revision and the server that speaks it.
type era struct {
	revision, upstream, url string
}

// The official conformance suite finds through Mintmark what it finds on the
// server itself, scenario by scenario, with all of Mintmark in between: evidence,
// posture, policy, a leased credential, the record, and the search of each
// answer for the credential.
func TestConformance(t *testing.T) {
	w := newWorld(t)
	eras := []era{
		{"2026-07-28", "stateless", testenv.ConformanceStateless(t).URL},
		{"2025-11-25", "stateful", testenv.ConformanceStateful(t).URL},
	}
	m := w.conformant(t, eras)
	shim, suite := m.shim(t, shopID), installedSuite(t)
	var table conformance.Table
	compared := 0
	for _, e := range eras { // one after another: two suites at once disturb each other
		t.Run(e.revision, func(t *testing.T) {
			compare(t, suite, e, shim+"/mcp/"+e.upstream, &table)
			compared++
			m.wantUsed(t, e)
		})
	}
	m.wantRebindingRefused(t, len(eras))
	t.Run("progress 20 times", func(t *testing.T) {
		for range 20 {
			wantConforming(t, suite, shim+"/mcp/stateful", "2025-11-25", "tools-call-with-progress")
		}
	})
	if compared == len(eras) { // half a table could be taken for a whole one
		writeTable(t, &table)
	}
}

func installedSuite(t *testing.T) conformance.Suite {
	t.Helper()
	node := testenv.InstalledNode(t)
	return conformance.Suite{Node: node.Program, Modules: node.Modules}
}

// conformant starts a broker with everything on before the servers of all eras.
func (w *world) conformant(t *testing.T, eras []era) *mintmark {
	t.Helper()
	bao, s, kept := testenv.OpenBao(t), &secrets{}, rand.Text()
	s.add("kept secret", kept)
	bao.PutKV(t, "app", map[string]any{"key": kept})
	address := w.trustBroker(t, bao, `path "secret/data/app" { capabilities = ["read"] }`, s)
	config := fmt.Sprintf(`
posture:
  scan: {kind: trivy, folder: scans, max_age: 24h}
providers:
  app-key:
    kind: vault
    address: %s
    auth: {jwt: {role: mintmark, audience: vault}}
    kv2: {path: app, field: key}
upstreams:
`, address)
	for _, e := range eras {
		config += fmt.Sprintf(`
  %s:
    url: %s
    credentials: [{provider: app-key, scheme: header, header: X-Api-Key, template: "Key {token}"}]
`, e.upstream, e.url)
	}
	return w.serve(t, site{config: config, policies: scanned, secrets: s, scans: map[string]string{"agent/shop": report(time.Hour, "LOW")}})
}

// compare runs what a revision requires on the server and through Mintmark.
func compare(t *testing.T, suite conformance.Suite, e era, through string, table *conformance.Table) {
	t.Helper()
	direct, err := suite.Requirements(t.Context(), e.url, e.revision)
	if err != nil {
		t.Fatalf("direct: %v", err)
	}
	if !direct.Conforms {
		t.Error("direct: the server does not conform, so it can't show whether Mintmark does")
	}
	via, err := suite.Requirements(t.Context(), through, e.revision)
	if err != nil {
		t.Fatalf("via Mintmark: %v", err)
	}
	if !via.Conforms {
		t.Error("via Mintmark: got scenarios that count and fail, want none")
	}
	_, before := table.Count()
	table.Add(e.revision, direct, via)
	if _, after := table.Count(); after != before {
		t.Errorf("got %d of %d scenarios that differ, want none: see the table", after-before, len(direct.Scenarios))
	}
}

// wantConforming runs one scenario once.
func wantConforming(t *testing.T, suite conformance.Suite, url, revision, scenario string) {
	t.Helper()
	run, err := suite.Scenario(t.Context(), url, revision, scenario)
	if err != nil || !run.Conforms {
		t.Errorf("%s: got %+v, %v, want it to pass", scenario, run, err)
	}
}

// wantUsed demands that the record holds the calls of an era, made by the agent
// with the leased credential: the suite was at the broker and nowhere else.
func (m *mintmark) wantUsed(t *testing.T, e era) {
	t.Helper()
	calls := m.records(t, "--kind", "decision", "--upstream", e.upstream, "--outcome", "allow")
	if len(calls) == 0 {
		t.Errorf("%s: got no call on record", e.revision)
	}
	for _, r := range calls {
		if r.Agent != shopID || r.Attestor != "jwt-svid" || r.Provider != "app-key" || r.Fingerprint == "" {
			t.Errorf("%s: got record %+v, want the agent by its JWT-SVID and the credential", e.revision, r)
		}
	}
}

// wantRebindingRefused demands that it was the broker that refused the foreign
// Host header of the scenario dns-rebinding-protection, once in each run.
func (m *mintmark) wantRebindingRefused(t *testing.T, runs int) {
	t.Helper()
	refused := 0
	for _, r := range m.records(t, "--kind", "decision", "--outcome", "deny") {
		if strings.Contains(r.Reason, "Host header names another server") {
			refused++
		}
	}
	if refused != runs {
		t.Errorf("records: got %d refusals of a foreign Host, want %d", refused, runs)
	}
}

// writeTable writes the table where the environment says, or else to the log.
func writeTable(t *testing.T, table *conformance.Table) {
	t.Helper()
	var text strings.Builder
	if err := table.Write(&text); err != nil {
		t.Fatal(err)
	}
	path := os.Getenv(tableVariable)
	if path == "" {
		t.Log("\n" + text.String())
		return
	}
	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
		t.Error(err)
	}
}
