package audit_test

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mintmark/broker/audit"
)

// testKey is the same in every run, so that logs are too.
func testKey() ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed([]byte(strings.Repeat("audit log tests ", 2)))
}

func testPublic() ed25519.PublicKey { return testKey().Public().(ed25519.PublicKey) }

func otherKey() ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed([]byte(strings.Repeat("some other logs ", 2)))
}

func mustOpen(t testing.TB, o audit.Options) *audit.Log {
	t.Helper()
	if o.SigningKey == nil {
		o.SigningKey = testKey()
	}
	l, err := audit.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func mustAppend(t testing.TB, l *audit.Log, rec *audit.Record) audit.Receipt {
	t.Helper()
	receipt, err := l.Append(context.Background(), rec)
	if err != nil {
		t.Fatal(err)
	}
	return receipt
}

func mustClose(t testing.TB, l *audit.Log) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func mustVerify(t testing.TB, dir string) audit.Report {
	t.Helper()
	report, err := audit.Verify(dir, testPublic())
	if err != nil {
		t.Fatal(err)
	}
	if !report.OK {
		t.Fatalf("got log not ok: %v", report.FirstBad)
	}
	return report
}

// wantBad checks that the log does not verify, for a reason that holds why.
func wantBad(t testing.TB, dir, why string) {
	t.Helper()
	report, err := audit.Verify(dir, testPublic())
	if err != nil {
		t.Fatal(err)
	}
	if report.OK || report.FirstBad == nil {
		t.Fatalf("got log ok, want it bad: %s", why)
	}
	if !strings.Contains(report.FirstBad.Error(), why) {
		t.Fatalf("got %q, want a reason with %q", report.FirstBad, why)
	}
}

func decision(i int) *audit.Record {
	return &audit.Record{
		Kind: audit.Decision, Call: fmt.Sprintf("%032x", i), Bundle: strings.Repeat("b", 64),
		Agent: "spiffe://example.org/agent/billing", Attestor: "jwt-svid", Evidence: strings.Repeat("e", 64),
		Posture:  []audit.PostureFact{{Name: "disk_encrypted", Value: "true", AgeS: 4, Issuer: "mdm"}},
		Upstream: "github", Method: "tools/call", Tool: "create_issue", Arguments: strings.Repeat("a", 64),
		Allow: true, Policies: []string{"billing.cedar:policy0"}, Stripped: []string{"Authorization"},
		Credential: fmt.Sprintf("cred-%d", i), Provider: "github-app", Scheme: "bearer", Fingerprint: "f00d",
		Scopes: []string{"issues:write"}, NotAfter: time.Date(2026, 12, 1, 10, 0, 0, 0, time.UTC), Cached: true,
	}
}

// smallLog writes a closed log of n records in segments of the given size.
func smallLog(t testing.TB, n int, segmentSize int64) string {
	t.Helper()
	dir := t.TempDir()
	l := mustOpen(t, audit.Options{Directory: dir, SegmentSize: segmentSize})
	for i := range n {
		mustAppend(t, l, &audit.Record{Kind: audit.Decision, Tool: fmt.Sprint("tool", i)})
	}
	mustClose(t, l)
	return dir
}

func segmentPath(dir string, n int) string { return filepath.Join(dir, fmt.Sprintf("%08d.log", n)) }

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func writeFile(t testing.TB, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

func copyLog(t testing.TB, from string) string {
	t.Helper()
	dir := t.TempDir()
	for _, path := range segments(t, from) {
		writeFile(t, filepath.Join(dir, filepath.Base(path)), readFile(t, path))
	}
	return dir
}

func segments(t testing.TB, dir string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "????????.log"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("got no segments in %s: %v", dir, err)
	}
	slices.Sort(paths)
	return paths
}

// records returns all records of the log, which must all be readable.
func records(t testing.TB, dir string, f audit.Filter) []audit.Record {
	t.Helper()
	var all []audit.Record
	for rec, err := range audit.Query(dir, f) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, rec)
	}
	return all
}
