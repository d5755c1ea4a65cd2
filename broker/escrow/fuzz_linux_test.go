package escrow_test

import (
	"os"
	"path/filepath"
	"testing"
)

// Whatever is in a file that Keep did not write, or not under this name, is refused.
func FuzzFind(f *testing.F) {
	e := open(f, memory(f))
	keep(f, e, "a.0", value)
	keep(f, e, "b.0", value)
	sealed, other := contentOf(f, e, "a.0"), contentOf(f, e, "b.0")
	f.Add(sealed)
	f.Add(other)
	f.Add(sealed[:len(sealed)-1])
	f.Add(append(sealed[:32:32], other[32:]...))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, content []byte) {
		if err := os.WriteFile(filepath.Join(e.Directory(), "a.0"), content, 0o600); err != nil {
			t.Fatal(err)
		}
		got, erase, err := e.Find("a.0")
		switch {
		case erase == nil, err != nil && got != nil, string(content) == string(sealed) && err != nil:
			t.Errorf("got %q, %v of %d bytes", got, err, len(content))
		case err == nil && (string(got) != value || len(content) != len(sealed)): // whichever of several processes has sealed it
			t.Errorf("got %q of %d bytes, want only what was kept", got, len(content))
		}
	})
}
