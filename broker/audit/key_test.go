package audit_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"mintmark/broker/audit"
)

func TestLoadOrCreateKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log.key")
	made, created, err := audit.LoadOrCreateKey(path)
	if err != nil || !created {
		t.Fatalf("got created %v and %v, want a new key", created, err)
	}
	loaded, created, err := audit.LoadOrCreateKey(path)
	if err != nil || created || !loaded.Equal(made) {
		t.Fatalf("got created %v and %v, want the same key", created, err)
	}
	for name, want := range map[string]os.FileMode{"log.key": 0o600, "log.pub": 0o644} {
		info, err := os.Stat(filepath.Join(filepath.Dir(path), name))
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: got mode %v and %v, want %v", name, info.Mode(), err, want)
		}
	}
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 2 {
		t.Fatalf("got %v and %v, want the two files and nothing else", left, err)
	}
}

func TestLoadOrCreateKeyAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log.key")
	keys := make([]ed25519.PrivateKey, 8)
	news := make([]bool, len(keys))
	var wg sync.WaitGroup
	for i := range keys {
		wg.Go(func() {
			var err error
			if keys[i], news[i], err = audit.LoadOrCreateKey(path); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	count := 0
	for i := range keys {
		if !keys[i].Equal(keys[0]) {
			t.Fatal("got two keys for one path")
		}
		if news[i] {
			count++
		}
	}
	if count != 1 {
		t.Fatalf("got %d callers that made the key, want 1", count)
	}
}

func pemText(t *testing.T, kind string, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func TestLoadKeyRefuses(t *testing.T) {
	good := pemText(t, "PRIVATE KEY", testKey())
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct {
		text []byte
		mode os.FileMode
		want string
	}{
		"readable by the group": {good, 0o640, "want 0600"},
		"readable by others":    {good, 0o604, "want 0600"},
		"empty":                 {nil, 0o600, "one PEM block"},
		"not PEM":               {[]byte("key"), 0o600, "one PEM block"},
		"another type":          {pemText(t, "EC PRIVATE KEY", testKey()), 0o600, "one PEM block"},
		"two keys":              {append(good[:len(good):len(good)], good...), 0o600, "one PEM block"},
		"not a key":             {pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")}), 0o600, "read signing key"},
		"another algorithm":     {pemText(t, "PRIVATE KEY", curve), 0o600, "want an Ed25519 key"},
	} {
		path := filepath.Join(t.TempDir(), "log.key")
		writeFile(t, path, row.text)
		if err := os.Chmod(path, row.mode); err != nil {
			t.Fatal(err)
		}
		key, created, err := audit.LoadOrCreateKey(path)
		if err == nil || key != nil || created || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: got %v, want an error with %q", name, err, row.want)
		}
		if err != nil && strings.Contains(err.Error(), strings.Split(string(good), "\n")[1]) {
			t.Errorf("%s: got the key in the error", name)
		}
	}
}

func TestLoadKeyRefusesLinksAndForeignPublicKeys(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "real"), pemText(t, "PRIVATE KEY", testKey()))
	for _, target := range []string{"real", "dangling"} {
		link := filepath.Join(dir, "link-"+target)
		if err := os.Symlink(filepath.Join(dir, target), link); err != nil {
			t.Fatal(err)
		}
		if _, _, err := audit.LoadOrCreateKey(link); err == nil {
			t.Errorf("got nil for a link to %s", target)
		}
	}
	if _, _, err := audit.LoadOrCreateKey(filepath.Join(dir, "first")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := audit.LoadOrCreateKey(filepath.Join(dir, "real")); err == nil || !strings.Contains(err.Error(), "one key signs one log") {
		t.Fatalf("got %v for another key beside log.pub", err)
	}
	if _, _, err := audit.LoadOrCreateKey(filepath.Join(dir, "second")); err == nil || !strings.Contains(err.Error(), "one key signs one log") {
		t.Fatalf("got %v for a second key beside log.pub", err)
	}
}

// An operator may keep the key where the broker can't write.
func TestNothingIsWrittenBesideAKeyThatIsThere(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "log.key")
	writeFile(t, path, pemText(t, "PRIVATE KEY", testKey()))
	if _, created, err := audit.LoadOrCreateKey(path); err != nil || created {
		t.Fatalf("got created %t and %v, want the key that is there", created, err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("got %v and %v, want the key alone", left, err)
	}
}

func TestWhereNoLogCanBeMadeSaysWhatToDo(t *testing.T) {
	dir := t.TempDir()
	key := filepath.Join(dir, "none", "signing.key")
	want := "make that directory for the broker's user, or name another file as audit.signing_key"
	if _, _, err := audit.LoadOrCreateKey(key); err == nil || !strings.Contains(err.Error(), filepath.Join(dir, "none")) || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("a key in no directory: got %v, want it to end in %q", err, want)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	want = "not a directory: name one that the broker's user can make or write in, as audit.directory"
	for _, log := range []string{file, filepath.Join(file, "audit")} {
		if err := audit.MakeDirectory(log); err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("a log at %s: got %v, want it to end in %q", log, err, want)
		}
	}
}
