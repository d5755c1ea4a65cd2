//go:build e2e

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"mintmark/broker/audit"
)

// buildMintmark builds the binary as make does.
func buildMintmark(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "mintmark")
	if out, err := exec.Command("go", "build", "-buildvcs=false", "-o", path, "mintmark/cmd/mintmark").CombinedOutput(); err != nil {
		t.Fatalf("build mintmark: %v\n%s", err, out)
	}
	return path
}

func TestRunWithMintmark(t *testing.T) {
	dir, mintmarkPath := t.TempDir(), buildMintmark(t)
	var out, progress bytes.Buffer
	code := run(t.Context(), short("-only", "direct,mintmark", "-mintmark", mintmarkPath, "-dir", dir, "-keep", "-json", "-cold", "-policies", "100"), &out, &progress)
	if code != 0 {
		t.Fatalf("got exit status %d:\n%s", code, &progress)
	}
	var got report
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	for name, v := range map[string]*float64{
		"mintmark_rps": got.MintmarkRPS, "mintmark_tls_rps": got.MintmarkTLSRPS, "mintmark_mtls_rps": got.MintmarkMTLSRPS,
		"mintmark_p50_us": got.MintmarkP50Us, "cold_p50_us": got.ColdP50Us,
		"provider_rtt_p50_us": got.ProviderRTTP50Us, "cold_added_us": got.ColdAddedUs,
	} {
		if v == nil || *v <= 0 {
			t.Errorf("%s: got none, want a figure", name)
		}
	}
	if got.ColdMintUs == nil || *got.ColdMintUs >= *got.ColdAddedUs {
		t.Errorf("cold_mint_us: got %v, want less than the %v that the call is in", got.ColdMintUs, *got.ColdAddedUs)
	}
	if got.Targets["cold"][single].P50Us <= 0 || got.Targets["cached"][single].P50Us <= 0 {
		t.Errorf("got %v, want the first calls, and those in turn with them", got.Targets)
	}
	if got.RecordsMissing == nil || *got.RecordsMissing != 0 {
		t.Errorf("records_missing: got %v, want 0", got.RecordsMissing)
	}
	if got.MintsFor1000Callers == nil || *got.MintsFor1000Callers != 1 {
		t.Errorf("mints_for_1000_callers: got %v, want 1", got.MintsFor1000Callers)
	}
	everythingOn(t, dir)
}

// TestRunWithNginx: as it comes nginx speaks HTTP/1.0 to the upstream, and an
// answer that streams then ends with its connection.
func TestRunWithNginx(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a directory")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, more := range []string{"-sse=false", "-sse"} {
		var out, progress bytes.Buffer
		if code := run(t.Context(), short("-only", "direct,nginx,nginx-kept", "-json", more, "-dir", dir), &out, &progress); code != 0 {
			t.Fatalf("%s: got exit status %d:\n%s", more, code, &progress)
		}
		var got report
		if err := json.Unmarshal(out.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		for name, v := range map[string]*float64{
			"nginx_rps": got.NginxRPS, "nginx_tls_rps": got.NginxTLSRPS, "nginx_mtls_rps": got.NginxMTLSRPS, "nginx_p50_us": got.NginxP50Us,
			"nginx_kept_rps": got.NginxKeptRPS, "nginx_kept_tls_rps": got.NginxKeptTLSRPS, "nginx_kept_mtls_rps": got.NginxKeptMTLSRPS,
		} {
			if v == nil || *v <= 0 {
				t.Errorf("%s: %s: got none, want a figure", more, name)
			}
		}
	}
}

// everythingOn looks into the record for each thing that a broker could leave
// out to be faster.
func everythingOn(t *testing.T, dir string) {
	t.Helper()
	logs, err := filepath.Glob(filepath.Join(dir, "*", mintmark, "audit"))
	if err != nil || len(logs) != 1 {
		t.Fatal(err, logs)
	}
	attestors, calls, outcomes := map[string]int{}, 0, 0
	for r, err := range audit.Query(logs[0], audit.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		if r.Kind == audit.Outcome && r.Status == 200 {
			outcomes++
		}
		if r.Kind != audit.Decision {
			continue
		}
		calls++
		attestors[r.Attestor]++
		if !r.Allow || len(r.Posture) != 1 || len(r.Policies) == 0 || r.Credential == "" || r.Scheme != "bearer" {
			t.Fatalf("got %+v, want a permit by policies that saw posture, with a credential", r)
		}
		if r.Attestor == "jwt-svid" && !strings.Contains(strings.Join(r.Stripped, ","), "Authorization") {
			t.Fatalf("got %+v, want the agent's own token stripped", r)
		}
	}
	if outcomes != calls {
		t.Errorf("got %d outcomes of %d calls, want one each", outcomes, calls)
	}
	if calls == 0 || attestors["jwt-svid"] == 0 || attestors["x509-svid"] == 0 {
		t.Errorf("got %d calls attested by %v, want some of both kinds", calls, attestors)
	}
}
