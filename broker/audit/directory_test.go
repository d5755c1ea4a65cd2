package audit

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// Each directory that was made is an entry of the one above it, which is as lost with
// the power as a record that is not on the disk.
func TestDirectoriesAreSyncedWhereTheyWereMade(t *testing.T) {
	base := t.TempDir()
	dir := filepath.Join(base, "var", "log", "audit")
	var synced []string
	note := func(dir string) error {
		synced = append(synced, dir)
		return syncDirectory(dir)
	}
	if err := makeDirectory(dir, note); err != nil {
		t.Fatal(err)
	}
	if want := []string{base, filepath.Join(base, "var"), filepath.Join(base, "var", "log")}; !slices.Equal(synced, want) {
		t.Errorf("synced %v, want %v", synced, want)
	}
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("got %v, %v, want a directory of mode 0700", info, err)
	}
	synced = nil
	if err := makeDirectory(dir, note); err != nil || len(synced) != 0 {
		t.Errorf("made again: got %v, synced %v, want nothing done", err, synced)
	}
}

func TestADirectoryThatCannotBeMadeForGood(t *testing.T) {
	base, broken := t.TempDir(), errors.New("broken")
	if err := makeDirectory(filepath.Join(base, "a", "b"), func(string) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("that can't be synced: got %v, want the error", err)
	}
	file := filepath.Join(base, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{file, filepath.Join(file, "audit")} {
		if err := MakeDirectory(dir); err == nil {
			t.Errorf("%s: got no error, want one", dir)
		}
	}
}
