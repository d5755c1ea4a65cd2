package trust_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mintmark/attest/trust"
	"mintmark/broker/bundle"
	"mintmark/internal/trustdomain"
)

func writeBundle(t *testing.T, d *trustdomain.Domain, path string) {
	t.Helper()
	content, err := d.MarshalBundle()
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, path, string(content))
}

// writeFile replaces path in one step, as a careful tool does.
func writeFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func fileTrust(d *trustdomain.Domain, path string) bundle.Trust {
	return bundle.Trust{Bundles: []bundle.TrustBundle{{TrustDomain: d.TrustDomain(), File: bundle.Path(path)}}}
}

func TestBundleFileIsFollowed(t *testing.T) {
	domain, path, log := trustdomain.New("example.org", trustdomain.Options{}), filepath.Join(t.TempDir(), "bundle.json"), new(journal)
	writeBundle(t, domain, path)
	tr := open(t, fileTrust(domain, path), domain.TrustDomain(), options(log))
	if !believes(t, tr, domain) {
		t.Error("does not believe the file")
	}
	before := tr.Generation()
	domain.Rotate(trustdomain.DropOld)
	writeBundle(t, domain, path)
	eventually(t, "the new keys", func() bool { return believes(t, tr, domain) })
	if got := tr.Generation(); got != before+1 {
		t.Errorf("generation: got %d, want %d", got, before+1)
	}
	writeFile(t, path, `{"keys": []}`)
	eventually(t, "the end of all trust", func() bool { return !believes(t, tr, domain) })
}

func TestBadBundleFileChangesNothing(t *testing.T) {
	domain, path, log := trustdomain.New("example.org", trustdomain.Options{}), filepath.Join(t.TempDir(), "bundle.json"), new(journal)
	writeBundle(t, domain, path)
	tr := open(t, fileTrust(domain, path), domain.TrustDomain(), options(log))
	before := tr.Generation()
	spoil := map[string]func(){
		"no bundle":          func() { writeFile(t, path, `{"keys": [`) },
		"gone":               func() { _ = os.Remove(path) },
		"writable by others": func() { _ = os.Chmod(path, 0o666) },
	}
	bad := 0
	for name, f := range spoil {
		f()
		bad++
		eventually(t, name+" in the log", func() bool { return log.count("trust bundle file is bad") == bad })
		if !believes(t, tr, domain) || tr.Generation() != before {
			t.Errorf("%s: believes %v in generation %d, want true in %d", name, believes(t, tr, domain), tr.Generation(), before)
		}
		writeBundle(t, domain, path)
		eventually(t, "the file's recovery in the log", func() bool { return log.count("good again") == bad })
	}
}

func TestTrustDomainWithAFileIsBelievedFromItAlone(t *testing.T) {
	domain, path := trustdomain.New("example.org", trustdomain.Options{}), filepath.Join(t.TempDir(), "partner.json")
	partner, impostor := trustdomain.New("partner.example", trustdomain.Options{}), trustdomain.New("partner.example", trustdomain.Options{})
	domain.Federate(impostor)
	writeBundle(t, partner, path)
	config := fileTrust(partner, path)
	config.WorkloadAPI = serve(t, domain).Addr()
	tr := open(t, config, domain.TrustDomain(), trust.Options{})
	if !believes(t, tr, domain) || !believes(t, tr, partner) {
		t.Error("does not believe the Workload API and the file")
	}
	if believes(t, tr, impostor) {
		t.Error("believes the Workload API about a domain that has a file")
	}
}

func TestOpenRefusesBadFiles(t *testing.T) {
	domain := trustdomain.New("example.org", trustdomain.Options{})
	for name, tt := range map[string]struct{ content, want string }{
		"no JSON":      {"hello", "got no SPIFFE bundle"},
		"no authority": {`{"keys": []}`, "got no authority of example.org"},
		"too large":    {strings.Repeat(" ", 1<<20+1), "want at most that"},
	} {
		path := filepath.Join(t.TempDir(), "bundle.json")
		writeFile(t, path, tt.content)
		if tr, err := trust.Open(t.Context(), fileTrust(domain, path), domain.TrustDomain(), trust.Options{}); err == nil || tr != nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, %v, want an error with %q", name, tr, err, tt.want)
		}
	}
	absent := fileTrust(domain, filepath.Join(t.TempDir(), "bundle.json"))
	if tr, err := trust.Open(t.Context(), absent, domain.TrustDomain(), trust.Options{}); err == nil || tr != nil || !strings.Contains(err.Error(), "expected the bundle of example.org") {
		t.Errorf("no file: got %v, %v, want an error that says what is expected there", tr, err)
	}
	if tr, err := trust.Open(t.Context(), bundle.Trust{}, domain.TrustDomain(), trust.Options{}); err == nil || tr != nil {
		t.Errorf("no source: got %v, %v, want an error", tr, err)
	}
}
