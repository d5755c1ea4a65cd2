package bundle_test

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"mintmark/broker/bundle"
)

func TestWhatMayNotBeReadSaysWhoMust(t *testing.T) {
	for name, want := range map[string]string{
		"mintmark.yaml": "mintmark.yaml: permission denied: let the user who runs this read it and enter its directory",
		"p.cedar":       "p.cedar: permission denied: let the user who runs this read it, as each *.cedar of the directory counts",
	} {
		dir := t.TempDir()
		if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
			t.Fatal(err)
		}
		for _, file := range []string{"mintmark.yaml", "p.cedar"} {
			if err := os.WriteFile(filepath.Join(dir, file), nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chmod(filepath.Join(dir, name), 0); err != nil {
			t.Fatal(err)
		}
		if err := loadAsNobody(dir); err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("load where %s may not be read: got %v, want it to end in %q", name, err, want)
		}
	}
}

// loadAsNobody loads on a thread that may read no more than anybody where root runs
// the test; the thread ends with it.
func loadAsNobody(dir string) error {
	loaded := make(chan error)
	go func() {
		runtime.LockOSThread()
		_, _, _ = syscall.RawSyscall(syscall.SYS_SETFSUID, 65534, 0, 0)
		_, err := bundle.Load(dir, bundle.Kinds{})
		loaded <- err
	}()
	return <-loaded
}
