package trivy_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"mintmark/attest/posture"
	"mintmark/attest/posture/trivy"
	"mintmark/broker/bundle"
)

const (
	agent  = "spiffe://acme.example/agents/release"
	image  = "sha256:05455a08881ea9cf0e752bc48e61bbd71a34c029bb13df01e40e3e70e0d007bd"
	binary = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
)

// desk is a folder of reports with a tracker that watches it.
type desk struct {
	t       *testing.T
	folder  string
	tracker *posture.Tracker
	log     *lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// open starts watching a folder that prepare has filled.
func open(t *testing.T, prepare func(d *desk)) *desk {
	t.Helper()
	d := &desk{t: t, folder: t.TempDir(), log: &lockedBuffer{}}
	if prepare != nil {
		prepare(d)
	}
	source, err := trivy.Open(trivy.Config{
		Folder: bundle.Path(d.folder),
		Workloads: []trivy.Workload{
			{SPIFFEID: spiffeid.RequireFromString(agent), Digest: image},
			{SPIFFEID: spiffeid.RequireFromString("spiffe://acme.example/two"), Digest: image},
			{SPIFFEID: spiffeid.RequireFromString("spiffe://acme.example/two"), Digest: binary},
		},
	}, "scan")
	if err != nil {
		t.Fatal(err)
	}
	d.tracker = posture.NewTracker(map[string]posture.Source{"scan": source}, posture.TrackerOptions{
		Logger: slog.New(slog.NewTextHandler(d.log, nil)),
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := d.tracker.Run(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("run: got %v, want cancelled", err)
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	waiting, stop := context.WithTimeout(ctx, 10*time.Second)
	defer stop()
	if err := d.tracker.Wait(waiting); err != nil {
		t.Fatalf("wait: %v", err)
	}
	return d
}

func (d *desk) path(name string) string { return filepath.Join(d.folder, filepath.FromSlash(name)) }

func (d *desk) write(name, content string) {
	d.t.Helper()
	if err := os.MkdirAll(filepath.Dir(d.path(name)), 0o750); err != nil {
		d.t.Fatal(err)
	}
	if err := os.WriteFile(d.path(name), []byte(content), 0o600); err != nil {
		d.t.Fatal(err)
	}
}

func (d *desk) remove(name string) {
	d.t.Helper()
	if err := os.RemoveAll(d.path(name)); err != nil {
		d.t.Fatal(err)
	}
}

func (d *desk) scan(id string) string {
	for _, f := range d.tracker.Facts(time.Now(), append([]string{id}, d.tracker.Subjects(id)...)...) {
		if f.Name == "scan" {
			return f.Value
		}
	}
	return "unknown"
}

// until waits for what is known about id to become want.
func (d *desk) until(id, want string) {
	d.t.Helper()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for d.scan(id) != want {
		select {
		case <-tick.C:
		case <-deadline:
			d.t.Fatalf("%s: got %s, want %s\n%s", id, d.scan(id), want, d.log)
		}
	}
}

// made is a report of the given age and severity about an image, or "".
func made(age time.Duration, severity, imageID string) string {
	return fmt.Sprintf(`{"SchemaVersion":2,"CreatedAt":%q,"ArtifactName":"x","ArtifactType":"container_image",
"Metadata":{"ImageID":%q},"Results":[{"Target":"x","Class":"os-pkgs","Vulnerabilities":[{"VulnerabilityID":"CVE-1","Severity":%q}]}]}`,
		time.Now().Add(-age).UTC().Format(time.RFC3339Nano), imageID, severity)
}

func TestFolderIsRead(t *testing.T) {
	d := open(t, func(d *desk) {
		d.write("image.json", made(time.Hour, "LOW", image))
		d.write("spiffe/acme.example/agents/other.json", made(time.Hour, "CRITICAL", ""))
		d.write("sha256/"+strings.TrimPrefix(binary, "sha256:")+".json", made(time.Hour, "HIGH", ""))
		d.write("notes.txt", "not a report")
		d.write(".hidden/x.json", made(time.Minute, "CRITICAL", image))
		d.write(".x.json", made(time.Minute, "CRITICAL", image))
	})
	for id, want := range map[string]string{
		agent: "pass", "spiffe://acme.example/agents/other": "fail", "spiffe://acme.example/nobody": "unknown",
		binary: "fail", "spiffe://acme.example/two": "fail", // one of its two images fails
	} {
		if got := d.scan(id); got != want {
			t.Errorf("%s: got %s, want %s", id, got, want)
		}
	}
	facts := d.tracker.Facts(time.Now(), image)
	if len(facts) != 1 || facts[0].Issuer != "scan/trivy" || facts[0].MaxAge != 24*time.Hour || facts[0].Subject != image {
		t.Errorf("got %+v, want one fact of scan/trivy about the image, good for 24h", facts)
	}
}

func TestReportsComeAndGo(t *testing.T) {
	d := open(t, nil)
	if got := d.scan(agent); got != "unknown" {
		t.Fatalf("an empty folder: got %s", got)
	}
	d.write("a.json", made(2*time.Hour, "LOW", image))
	d.until(agent, "pass")
	d.write("b.json", made(time.Hour, "HIGH", image)) // newer
	d.until(agent, "fail")
	d.write("c.json", made(3*time.Hour, "LOW", image)) // older than both
	d.write("spiffe/acme.example/new/folder/x.json", made(time.Hour, "LOW", ""))
	d.until("spiffe://acme.example/new/folder/x", "pass")
	if got := d.scan(agent); got != "fail" {
		t.Errorf("an older report: got %s, want the newest to count", got)
	}
	d.remove("b.json")
	d.until(agent, "pass")
	d.remove("a.json")
	d.remove("c.json")
	d.until(agent, "unknown")
	d.remove("spiffe")
	d.until("spiffe://acme.example/new/folder/x", "unknown")
}

// TestUnreadableReportSaysNothing holds that whatever makes a report
// unreadable takes back what it said, and what others said of the same
// subject, until a good one replaces it.
func TestUnreadableReportSaysNothing(t *testing.T) {
	good := made(time.Hour, "LOW", image)
	for name, bad := range map[string]string{
		"half written":  good[:len(good)/2],
		"empty":         "",
		"not json":      "scan ok",
		"schema 1":      strings.Replace(good, `"SchemaVersion":2`, `"SchemaVersion":1`, 1),
		"no time":       strings.Replace(good, `"CreatedAt"`, `"Created"`, 1),
		"of the future": made(-2*time.Minute, "LOW", image),
		"of nobody":     made(time.Hour, "LOW", ""),
		"name twice":    strings.Replace(good, `"SchemaVersion":2`, `"SchemaVersion":2,"SchemaVersion":2`, 1),
	} {
		t.Run(name, func(t *testing.T) {
			d := open(t, func(d *desk) {
				d.write("a.json", good)
				d.write("older.json", made(2*time.Hour, "LOW", image))
			})
			if got := d.scan(agent); got != "pass" {
				t.Fatalf("before: got %s", got)
			}
			d.write("a.json", bad)
			d.until(agent, "unknown")
			if !strings.Contains(d.log.String(), "file=a.json") {
				t.Errorf("log lacks the file:\n%s", d.log)
			}
			d.write("a.json", made(0, "LOW", image))
			d.until(agent, "pass")
		})
	}
}

func TestLittleSkewIsAllowed(t *testing.T) {
	d := open(t, func(d *desk) { d.write("a.json", made(-30*time.Second, "LOW", image)) })
	if got := d.scan(agent); got != "pass" {
		t.Errorf("half a minute ahead: got %s, want pass", got)
	}
}

func TestTooLargeReportSaysNothing(t *testing.T) {
	d := open(t, func(d *desk) { d.write("a.json", made(time.Hour, "LOW", image)) })
	if err := os.Truncate(d.path("a.json"), 64<<20+1); err != nil {
		t.Fatal(err)
	}
	d.until(agent, "unknown")
	if !strings.Contains(d.log.String(), "want at most 67108864") {
		t.Errorf("log: %s", d.log)
	}
}

// A directory that the folder has by another name is said to be one.
func TestALinkToADirectoryIsNoReport(t *testing.T) {
	d := open(t, func(d *desk) {
		d.write("older/in.json", made(time.Hour, "LOW", image))
		if err := os.Symlink("older", d.path("a.json")); err != nil {
			t.Fatal(err)
		}
	})
	if want := "got a directory, want a regular file"; !strings.Contains(d.log.String(), want) {
		t.Errorf("got %s, want %q in it", d.log, want)
	}
}

func TestSymbolicLinks(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "pass.json")
	if err := os.WriteFile(outside, []byte(made(time.Hour, "LOW", image)), 0o600); err != nil {
		t.Fatal(err)
	}
	link := func(d *desk, target, name string) {
		if err := os.Symlink(target, d.path(name)); err != nil {
			t.Fatal(err)
		}
	}
	d := open(t, func(d *desk) {
		link(d, outside, "out.json")
		d.write("..data/in.json", made(time.Hour, "LOW", binary)) // as a mounted volume has it
		link(d, "..data/in.json", "in.json")
	})
	if got := d.scan(image); got != "unknown" {
		t.Errorf("a link out of the folder: got %s, want unknown", got)
	}
	if got := d.scan(binary); got != "pass" {
		t.Errorf("a link within the folder: got %s, want pass", got)
	}
	link(d, outside, "also.json")
	d.write("good.json", made(time.Hour, "HIGH", image))
	d.until(image, "fail")
}

func TestFileNamesMustName(t *testing.T) {
	d := open(t, func(d *desk) {
		d.write("spiffe/acme.example.json", made(time.Hour, "LOW", image))        // no path
		d.write("spiffe/ACME/agents/release.json", made(time.Hour, "LOW", image)) // no trust domain
		d.write("sha256/abc.json", made(time.Hour, "LOW", image))                 // no digest
	})
	if got := d.scan(agent); got != "unknown" {
		t.Errorf("got %s, want files of wrong names to say nothing, and not what their content says", got)
	}
	if n := strings.Count(d.log.String(), "want spiffe/TRUST-DOMAIN/PATH.json"); n != 3 {
		t.Errorf("got %d complaints, want 3:\n%s", n, d.log)
	}
}

// TestPathOutranksContent holds that a report under a workload's name is about
// it and not about an image it may also mention.
func TestPathOutranksContent(t *testing.T) {
	d := open(t, func(d *desk) { d.write("spiffe/acme.example/x.json", made(time.Hour, "LOW", image)) })
	if a, b := d.scan("spiffe://acme.example/x"), d.scan(image); a != "pass" || b != "unknown" {
		t.Errorf("got %s for the workload and %s for the image, want pass and unknown", a, b)
	}
}

func TestOneOfTwoImagesIsNotEnough(t *testing.T) {
	d := open(t, func(d *desk) { d.write("a.json", made(time.Hour, "LOW", image)) })
	if got := d.scan("spiffe://acme.example/two"); got != "unknown" {
		t.Errorf("one image of two is scanned: got %s, want unknown", got)
	}
	d.write("b.json", made(time.Hour, "LOW", binary))
	d.until("spiffe://acme.example/two", "pass")
}

func TestFolderGoesAway(t *testing.T) {
	d := open(t, func(d *desk) { d.write("a.json", made(time.Hour, "LOW", image)) })
	if err := os.RemoveAll(d.folder); err != nil {
		t.Fatal(err)
	}
	d.until(agent, "unknown")
	d.write("a.json", made(time.Hour, "LOW", image))
	d.until(agent, "pass")
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	plain := filepath.Join(dir, "file")
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	id := spiffeid.RequireFromString(agent)
	for name, tc := range map[string]struct {
		config trivy.Config
		want   string
	}{
		"no folder":       {trivy.Config{}, "folder"},
		"absent folder":   {trivy.Config{Folder: bundle.Path(filepath.Join(dir, "absent"))}, "no such file or directory: make it, or name another one as folder"},
		"file":            {trivy.Config{Folder: bundle.Path(plain)}, "want a directory"},
		"severity":        {trivy.Config{Folder: bundle.Path(dir), FailOn: []string{"high"}}, `fail_on[0]: got "high"`},
		"negative age":    {trivy.Config{Folder: bundle.Path(dir), MaxAge: bundle.Duration{Duration: -1}}, "max_age"},
		"digest":          {trivy.Config{Folder: bundle.Path(dir), Workloads: []trivy.Workload{{SPIFFEID: id, Digest: "sha256:12"}}}, "workloads[0].digest"},
		"upper-case":      {trivy.Config{Folder: bundle.Path(dir), Workloads: []trivy.Workload{{SPIFFEID: id, Digest: strings.ToUpper(image)}}}, "workloads[0].digest"},
		"workload":        {trivy.Config{Folder: bundle.Path(dir), Workloads: []trivy.Workload{{Digest: image}}}, "workloads[0].spiffe_id"},
		"the same again":  {trivy.Config{Folder: bundle.Path(dir), Workloads: []trivy.Workload{{id, image}, {id, image}}}, "workloads[1]"},
		"several at once": {trivy.Config{Folder: bundle.Path(dir), FailOn: []string{"x"}, Workloads: []trivy.Workload{{id, "y"}}}, "workloads[0].digest"},
	} {
		source, err := trivy.Open(tc.config, "scan")
		if err == nil || source != nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want an error with %q", name, err, tc.want)
		}
	}
}
