package bundle_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mintmark/broker/bundle"
)

func ref(t *testing.T, text string) bundle.Ref {
	t.Helper()
	var r bundle.Ref
	if err := r.UnmarshalText([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRefResolvesFiles(t *testing.T) {
	for name, tt := range map[string]struct {
		content, want string
		mode          os.FileMode
		refused       string
	}{
		"plain":             {content: "s3cret", want: "s3cret", mode: 0o600},
		"one newline":       {content: "s3cret\n", want: "s3cret", mode: 0o600},
		"one CRLF":          {content: "s3cret\r\n", want: "s3cret", mode: 0o600},
		"second newline":    {content: "s3cret\n\n", want: "s3cret\n", mode: 0o600},
		"lone CR":           {content: "s3cret\r", want: "s3cret\r", mode: 0o600},
		"readable by all":   {content: "s3cret", want: "s3cret", mode: 0o444},
		"largest":           {content: strings.Repeat("x", 64<<10), want: strings.Repeat("x", 64<<10), mode: 0o600},
		"too large":         {content: strings.Repeat("x", 64<<10+1), mode: 0o600, refused: "want at most that"},
		"empty":             {content: "", mode: 0o600, refused: "want the secret"},
		"newline alone":     {content: "\n", mode: 0o600, refused: "want the secret"},
		"group may write":   {content: "s3cret", mode: 0o620, refused: "chmod go-w"},
		"others may write":  {content: "s3cret", mode: 0o602, refused: "chmod go-w"},
		"anyone may write":  {content: "s3cret", mode: 0o666, refused: "chmod go-w"},
		"owner writes only": {content: "s3cret", want: "s3cret", mode: 0o644},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "secret")
			write(t, filepath.Dir(file), "secret", tt.content)
			if err := os.Chmod(file, tt.mode); err != nil {
				t.Fatal(err)
			}
			got, err := ref(t, "file:"+file).Resolve()
			checkResolved(t, got, err, tt.want, tt.refused)
		})
	}
}

func checkResolved(t *testing.T, got string, err error, want, refused string) {
	t.Helper()
	if refused == "" {
		if err != nil || got != want {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
		return
	}
	if err == nil || got != "" || !strings.Contains(err.Error(), refused) || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("got %q, %v, want an error with %q and without the secret", got, err, refused)
	}
}

func TestRefRefusesWhatIsNoFile(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{dir, filepath.Join(dir, "none"), os.DevNull} {
		if got, err := ref(t, "file:"+name).Resolve(); err == nil || got != "" {
			t.Errorf("%s: got %q, %v, want an error", name, got, err)
		}
	}
}

func TestRefResolvesVariables(t *testing.T) {
	t.Setenv("MINTMARK_TEST_SECRET", "s3cret")
	t.Setenv("MINTMARK_TEST_EMPTY", "")
	got, err := ref(t, "env:MINTMARK_TEST_SECRET").Resolve()
	checkResolved(t, got, err, "s3cret", "")
	for _, name := range []string{"MINTMARK_TEST_EMPTY", "MINTMARK_TEST_UNSET"} {
		got, err := ref(t, "env:"+name).Resolve()
		checkResolved(t, got, err, "", "unset or empty")
	}
	got, err = bundle.Ref{}.Resolve()
	checkResolved(t, got, err, "", "got no reference")
}

func TestRefRefusesLiteralsUnshown(t *testing.T) {
	for _, text := range []string{"hunter2", "", "file:", "env:", "env:1X", "env:A B", "env:A=B", "vault:secret/x#y", "spiffe://x", "FILE:/x", " file:/x", "file:/x\x00y"} {
		var r bundle.Ref
		err := r.UnmarshalText([]byte(text))
		if err == nil || !r.IsZero() {
			t.Errorf("%q: got %v, %v, want it refused", text, r, err)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q is shown: %v", text, err)
		}
	}
}

func TestRefShowsOnlyItsName(t *testing.T) {
	t.Setenv("MINTMARK_TEST_SECRET", "s3cret")
	r := ref(t, "env:MINTMARK_TEST_SECRET")
	if _, err := r.Resolve(); err != nil {
		t.Fatal(err)
	}
	encoded, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range []string{fmt.Sprintf("%v %+v %#v %s", r, r, r, r), string(encoded)} {
		if strings.Contains(shown, "s3cret") || !strings.Contains(shown, "MINTMARK_TEST_SECRET") {
			t.Errorf("got %s", shown)
		}
	}
}

func FuzzRef(f *testing.F) {
	for _, seed := range []string{"file:/run/x", "env:X", "vault:a#b", "literal", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var r bundle.Ref
		if err := r.UnmarshalText([]byte(text)); err == nil && r.String() != text {
			t.Errorf("%q reads as %q", text, r)
		} else if err != nil && !r.IsZero() {
			t.Errorf("%q: got %v with error %v", text, r, err)
		}
	})
}
