package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Each case is a package that the real go command runs.
func TestRun(t *testing.T) {
	cases := map[string]struct {
		body string
		want []string // in this order in the output
		ok   bool
	}{
		"leaves are counted": {
			body: `func TestA(t *testing.T) { t.Run("one", func(t *testing.T) {}); t.Run("two", func(t *testing.T) {}) }
				func TestB(t *testing.T) {}`,
			want: []string{"ok   m  3 passed", "\n3 passed, 0 failed\n"}, ok: true,
		},
		"a subtest's own name may hold slashes": {
			body: `func TestA(t *testing.T) { t.Run("tools/call", func(t *testing.T) { t.Run("x", func(t *testing.T) {}) }) }`,
			want: []string{"\n1 passed, 0 failed\n"}, ok: true,
		},
		"a failing leaf counts once and shows its output and its parent's": {
			body: `func TestA(t *testing.T) { t.Log("about the parent"); t.Run("one", func(t *testing.T) { t.Error("got 1, want 2") }) }
				func TestB(t *testing.T) {}`,
			want: []string{"about the parent", "FAIL m TestA/one\n", "got 1, want 2", "FAIL m  1 passed", "\n1 passed, 1 failed\n"},
		},
		"a parent that fails by itself": {
			body: `func TestA(t *testing.T) { t.Run("one", func(t *testing.T) {}); t.Error("own fault") }`,
			want: []string{"FAIL m TestA\n", "own fault", "\n1 passed, 1 failed\n"},
		},
		"a skipped test is a failure": {
			body: `func TestA(t *testing.T) { t.Skip("no server") }; func TestB(t *testing.T) {}`,
			want: []string{"FAIL m TestA was skipped", "no server", "\n1 passed, 1 failed\n"},
		},
		"a panic": {
			body: `func TestA(t *testing.T) { panic("boom") }`,
			want: []string{"FAIL m TestA", "boom", "\n0 passed, 1 failed\n"},
		},
		"a test that ends the process": {
			body: `func TestA(t *testing.T) { os.Exit(3) }`,
			want: []string{"FAIL m TestA", "\n0 passed, 1 failed\n"},
		},
		"a process that ends well in the middle of a test": {
			body: `func TestA(t *testing.T) { os.Exit(0) }`,
			want: []string{"FAIL m TestA", "\n0 passed, 1 failed\n"},
		},
		"a failure outside any test": {
			body: `func TestMain(m *testing.M) { m.Run(); os.Stdout.WriteString("left over\n"); os.Exit(2) }
				func TestA(t *testing.T) {}`,
			want: []string{"FAIL m\n", "left over", "\n1 passed, 1 failed\n"},
		},
		"a package that does not build": {
			body: `func TestA(t *testing.T) { undefined() }`,
			want: []string{"FAIL m\n", "undefined: undefined", "\n0 passed, 1 failed\n"},
		},
		"no test at all": {
			body: `func helper() {}`,
			want: []string{"FAIL no test was run\n0 passed, 1 failed\n"},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Chdir(module(t, c.body))
			var out strings.Builder
			r := newReport(&out)
			if ok := r.finish(run(r, []string{"./..."})); ok != c.ok {
				t.Errorf("finish: got %v, want %v", ok, c.ok)
			}
			rest := out.String()
			for _, want := range c.want {
				_, after, found := strings.Cut("\n"+rest, want)
				if !found {
					t.Fatalf("want %q, in this order, in:\n%s", want, out.String())
				}
				rest = "\n" + after
			}
		})
	}
}

func module(t *testing.T, body string) string {
	t.Helper()
	dir := t.TempDir()
	files := map[string]string{
		"go.mod":    "module m\n\ngo 1.26\n",
		"m_test.go": "package m\n\nimport (\n\"os\"\n\"testing\"\n)\n\nvar _ = os.Exit\nvar _ testing.TB\n\n" + body + "\n",
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// The go command's own words, and a run that stops in the middle of a package.
func TestBrokenStream(t *testing.T) {
	var out strings.Builder
	r := newReport(&out)
	r.line(`go: cannot find main module`)
	r.line(`{"Action":"run","Package":"m","Test":"TestA"}`)
	if r.finish(nil) {
		t.Error("a package that did not end passed")
	}
	want := "go: cannot find main module\nFAIL m did not end\n0 passed, 1 failed\n"
	if out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		r := newReport(&out)
		c := make(chan string)
		go func() {
			defer close(c)
			c <- `{"Action":"run","Package":"m","Test":"TestSlow"}`
			c <- `{"Action":"run","Package":"n","Test":"TestFast"}`
			c <- `{"Action":"pass","Package":"n","Test":"TestFast"}`
			<-time.After(25 * time.Second)
			c <- `{"Action":"pass","Package":"m","Test":"TestSlow"}`
			<-time.After(10 * time.Second)
		}()
		r.consume(c, 10*time.Second)
		want := "...  m TestSlow (10 s so far)\n...  m TestSlow (20 s so far)\n...  building (30 s so far)\n"
		if out.String() != want {
			t.Errorf("got %q, want %q", out.String(), want)
		}
	})
}
