//go:build e2e

package e2e_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/workloadapi"

	"mintmark/internal/testenv"
)

// The identities of the trust domain. The test's own process is entitled to
// both agents, and says which it is.
const (
	brokerID = "spiffe://example.org/mintmark"
	shopID   = "spiffe://example.org/agent/shop"
	rivalID  = "spiffe://example.org/agent/rival"
)

// world is what all tests share: the program and the trust domain.
type world struct {
	binary   string
	spire    *testenv.SPIREDomain
	workload *workloadapi.Client
}

func TestMintmark(t *testing.T) {
	w := &world{binary: build(t), spire: testenv.SPIRE(t, testenv.SPIREOptions{})}
	w.spire.Register(t, brokerID, testenv.ProgramSelectors(t, w.binary)...)
	w.spire.Register(t, shopID)
	w.spire.Register(t, rivalID)
	w.workload = workloadClient(t, w.spire.Addr)
	for name, test := range map[string]func(*testing.T, *world){
		"leases a database user":                   testDatabase,
		"injects a kept secret by a template":      testKeptSecret,
		"injects an OAuth token":                   testOAuth,
		"shows its own identity for a token":       testFederation,
		"signs for S3":                             testS3,
		"puts a secret where it is registered":     testPlaces,
		"proves that it holds a token's key":       testDPoP,
		"shows its certificate to an upstream":     testClientCertificate,
		"sends a token with its certificate":       testCertificateBound,
		"carries sessions":                         testSessions,
		"bridges a stateless agent to sessions":    testStatelessOnSessions,
		"keeps a session to its agent":             testSessionOfAnother,
		"carries the stateless revision":           testStateless,
		"tells OAuth clients of their server":      testMetadata,
		"serves the TypeScript client":             testTypeScript,
		"denies by posture":                        testPosture,
		"cuts a stream when posture turns bad":     testPostureCutsStream,
		"denies by local time":                     testLocalTime,
		"applies and refuses bundles":              testReload,
		"lets a call end before it stops":          testStopWaits,
		"cuts a call that outlives the time limit": testStopCuts,
		"refuses strangers":                        testStrangers,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, w)
		})
	}
}

// build builds the program as it is shipped.
func build(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "mintmark")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-buildvcs=false", "-o", binary, "mintmark/cmd/mintmark")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build mintmark: %v:\n%s", err, out)
	}
	return binary
}

func workloadClient(t *testing.T, addr string) *workloadapi.Client {
	t.Helper()
	client, err := workloadapi.New(t.Context(), workloadapi.WithAddr(addr))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// await asks until the answer is yes.
func await(t *testing.T, what string, yes func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !yes() {
		select {
		case <-ctx.Done():
			t.Fatalf("await %s: it did not come", what)
		case <-tick.C:
		}
	}
}

// recv returns what comes out of c.
func recv[T any](t *testing.T, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(time.Minute):
		t.Fatalf("await %s: it did not come", what)
		panic("not reached")
	}
}
