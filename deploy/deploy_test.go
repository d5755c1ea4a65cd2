//go:build e2e && linux

package deploy_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"debug/buildinfo"
	"debug/elf"
	"encoding/pem"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// exposure is the most that "systemd-analyze security" may find, in tenths of
// its scale from 0 (confined) to 10.
const exposure = "12"

func TestSystemdUnit(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Fatalf("systemd-analyze: %v; run: make servers", err)
	}
	t.Run("verify", func(t *testing.T) {
		// It wants the program to be there, so it is given one that is.
		program, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		unit := filepath.Join(t.TempDir(), "mintmark.service")
		text := strings.ReplaceAll(read(t, "systemd/mintmark.service"), "/usr/local/bin/mintmark", program)
		write(t, unit, text)
		// What it does not know it only warns of, so that any word is a fault.
		if out, err := exec.Command(analyze, "verify", "--man=no", unit).CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("verify: %v\n%s", err, out)
		}
	})
	t.Run("security", func(t *testing.T) {
		out, err := exec.Command(analyze, "security", "--no-pager", "--offline=true",
			"--threshold="+exposure, "systemd/mintmark.service").CombinedOutput()
		if err != nil {
			t.Errorf("security: %v\n%s", err, out)
		}
	})
}

// What neither check above looks at.
func TestSystemdUnitKeepsSecretsInMemory(t *testing.T) {
	lines := strings.Split(read(t, "systemd/mintmark.service"), "\n")
	for _, want := range []string{
		"ExecStart=/usr/local/bin/mintmark serve --dir /etc/mintmark",
		"LimitCORE=0", "CoredumpFilter=0", "MemorySwapMax=0", "MemoryDenyWriteExecute=yes",
		"RuntimeDirectory=mintmark", "RuntimeDirectoryMode=0700", "RuntimeDirectoryPreserve=yes",
		"PrivateUsers=yes", "NoExecPaths=/", "ExecPaths=/usr/local/bin/mintmark", "CapabilityBoundingSet=", "NoNewPrivileges=yes",
	} {
		if !slices.Contains(lines, want) {
			t.Errorf("no line %q", want)
		}
	}
}

// The image is one file in an empty root. This is that root, without an engine
// that builds images.
func TestContainerImage(t *testing.T) {
	const version = "v1.2.3-test"
	root := t.TempDir()
	program := build(t, version)

	t.Run("static", func(t *testing.T) { static(t, program) })

	copyFile(t, filepath.Join(root, "mintmark"), program)
	t.Run("version", func(t *testing.T) {
		if out := inside(t, root, "version"); !strings.Contains(out, version) {
			t.Errorf("got %q, want %s in it", out, version)
		}
	})
	t.Run("check", func(t *testing.T) {
		mountConfigMap(t, filepath.Join(root, "etc/mintmark"), one(t, "ConfigMap", "researcher-mintmark").Data)
		mountConfigMap(t, filepath.Join(root, "etc/mintmark-ca"), map[string]string{"ca.pem": authority(t)})
		if out := inside(t, root, "check", "/etc/mintmark"); !strings.Contains(out, "ok: upstreams 1, providers 1, policies 2") {
			t.Errorf("got %q, want the example's bundle to be ok", out)
		}
	})
}

// build makes the programs as the image's build does and returns mintmark.
func build(t *testing.T, version string) string {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.Command("make", "-C", "..", "build", "BIN="+dir, "VERSION="+version)
	// The make that runs this test must not pass its own settings on.
	cmd.Env = slices.DeleteFunc(os.Environ(), func(e string) bool {
		return strings.HasPrefix(e, "MAKE") || strings.HasPrefix(e, "MFLAGS=")
	})
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("make build: %v\n%s", err, out)
	}
	return filepath.Join(dir, "mintmark")
}

func static(t *testing.T, program string) {
	f, err := elf.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("it has a %v segment, want none: an empty image has no loader", p.Type)
		}
	}
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range info.Settings {
		if s.Key == "CGO_ENABLED" && s.Value != "0" {
			t.Errorf("%s=%s, want 0", s.Key, s.Value)
		}
	}
}

// inside runs mintmark in root, as the image's user, and returns its output.
func inside(t *testing.T, root string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/mintmark", args...)
	cmd.Dir = "/"
	cmd.Env = []string{}
	cmd.SysProcAttr = confine(t, root)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("mintmark %s in an empty root: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// confine is a process in root with the image's user id. Without the right to
// become another user, it is in a user namespace that has that id.
func confine(t *testing.T, root string) *syscall.SysProcAttr {
	t.Helper()
	const nobody = 65532
	if os.Getuid() == 0 {
		readable(t, root)
		return &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	return &syscall.SysProcAttr{
		Chroot:      root,
		Cloneflags:  syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: nobody, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: nobody, HostID: os.Getgid(), Size: 1}},
	}
}

// readable lets any user pass root, and none write it: a read-only root.
func readable(t *testing.T, root string) {
	t.Helper()
	if err := os.Chmod(root, 0o555); err != nil {
		t.Fatal(err)
	}
}

// mountConfigMap lays files out as the kubelet does: links to a folder that is
// itself a link, so that all of them change at once.
func mountConfigMap(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	const version = "..2026_01_01_00_00_00.1"
	if err := os.MkdirAll(filepath.Join(dir, version), 0o755); err != nil {
		t.Fatal(err)
	}
	links := map[string]string{"..data": version}
	for name, content := range files {
		write(t, filepath.Join(dir, version, name), content)
		links[name] = filepath.Join("..data", name)
	}
	for name, to := range links {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
}

// authority makes a certificate authority's certificate.
func authority(t *testing.T) string {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func read(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func copyFile(t *testing.T, to, from string) {
	t.Helper()
	write(t, to, read(t, from))
	if err := os.Chmod(to, 0o755); err != nil {
		t.Fatal(err)
	}
}
