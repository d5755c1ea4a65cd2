package broker

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAListenersPairThatCannotBeReadSaysWhatToDo(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text.pem")
	if err := os.WriteFile(text, []byte("no PEM"), 0o600); err != nil {
		t.Fatal(err)
	}
	none := filepath.Join(dir, "none.pem")
	for name, tt := range map[string]struct{ cert, key, got string }{
		"no certificate": {none, text, "none.pem: no such file or directory"},
		"no key":         {text, none, "none.pem: no such file or directory"},
		"no PEM":         {text, text, "failed to find any PEM data"},
	} {
		_, err := openPair(tt.cert, tt.key)
		if err == nil {
			t.Errorf("%s: got none, want an error", name)
			continue
		}
		for _, want := range []string{"a certificate in " + tt.cert, "its key in " + tt.key, tt.got, "put them there, or name others as cert and key"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %v, want it to say %q", name, err, want)
			}
		}
	}
}
