package conformance_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mintmark/internal/conformance"
)

// fake returns a suite that is a shell script where the real one is a Node
// program. It gets the same arguments: server --url URL --output-dir DIR.
func fake(t *testing.T, script string) conformance.Suite {
	t.Helper()
	return fakeList(t, "url=$3 dir=$5\nresult() { mkdir \"$dir/$1\"; printf '%s' \"$2\" >\"$dir/$1/checks.json\"; }\n"+script)
}

// fakeList returns one that gets the one argument list.
func fakeList(t *testing.T, script string) conformance.Suite {
	t.Helper()
	modules := t.TempDir()
	path := filepath.Join(modules, "@modelcontextprotocol", "conformance", "dist", "index.js")
	body := "set -eu\nPATH=/usr/bin:/bin\n" + script
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(body), 0o600); err != nil {
		t.Fatal(err)
	}
	return conformance.Suite{Node: "/bin/sh", Modules: modules}
}

const (
	later   = "server-ping-2026-11-24T07-51-09-907Z"
	earlier = "server-tools-call-2026-11-24T07-51-08-521Z"
	passed  = `[{"id": "a", "status": "SUCCESS"}]`
)

func TestRequirements(t *testing.T) {
	t.Parallel()
	suite := fake(t, `
[ "$1 $2 $url $4 $6 $7" = "server --url http://s/ --output-dir --requirements 2026-07-28" ]
result `+later+` '`+passed+`'
result `+earlier+` '[{"id": "b", "status": "FAILURE", "errorMessage": "got 1"}, {"id": "c", "status": "INFO"}]'
exit 1`)
	run, err := suite.Requirements(t.Context(), "http://s/", "2026-07-28")
	if err != nil {
		t.Fatal(err)
	}
	if run.Conforms {
		t.Error("got a run that conforms, want what the suite's exit code says")
	}
	if len(run.Scenarios) != 2 || run.Scenarios[0].Name != "tools-call" || run.Scenarios[1].Name != "ping" {
		t.Fatalf("got %+v, want both scenarios in the order of their times", run.Scenarios)
	}
	checks := run.Scenarios[0].Checks
	if len(checks) != 2 || checks[0] != (conformance.Check{ID: "b", Status: "FAILURE", Message: "got 1"}) || checks[1].Status != "INFO" {
		t.Errorf("got checks %+v, want both with what they say", checks)
	}
}

func TestScenario(t *testing.T) {
	t.Parallel()
	suite := fake(t, `[ "$6 $7 $8 $9" = "--spec-version 2025-11-25 --scenario ping" ]; result `+later+` '`+passed+`'`)
	run, err := suite.Scenario(t.Context(), "http://s/", "2025-11-25", "ping")
	if err != nil || !run.Conforms || len(run.Scenarios) != 1 {
		t.Errorf("got %+v, %v, want the one scenario", run, err)
	}
}

// Whatever the suite leaves that is not a whole result is an error: a run that
// proved nothing must not count.
func TestBrokenRuns(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ script, want string }{
		"no results":             {`echo all is well`, "got no scenario; it printed:\nall is well"},
		"a fault of the suite":   {`result ` + later + ` '` + passed + `'; echo no such option; exit 2`, "exit status 2:\nno such option"},
		"killed":                 {`kill -9 $$`, "signal: killed"},
		"another folder":         {`result tmp '` + passed + `'`, `got folder "tmp", want server-NAME-TIME`},
		"a scenario twice":       {`result ` + later + ` '` + passed + `'; result server-ping-2026-11-24T07-51-09-908Z '` + passed + `'`, "got scenario ping twice"},
		"no checks":              {`result ` + later + ` '[]'`, "read results of ping: got no checks"},
		"no file":                {`mkdir "$dir/` + later + `"`, "no such file"},
		"cut short":              {`result ` + later + ` '[{"id": "a", "sta'`, "unexpected end of JSON"},
		"an unknown status":      {`result ` + later + ` '[{"id": "a", "status": "MAYBE"}]'`, `status "MAYBE"`},
		"a check without a name": {`result ` + later + ` '[{"status": "SUCCESS"}]'`, `got check ""`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run, err := fake(t, c.script).Requirements(t.Context(), "http://s/", "2026-07-28")
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
			if run.Conforms || run.Scenarios != nil {
				t.Errorf("got %+v with an error, want nothing", run)
			}
		})
	}
}

// Nothing of the developer's environment reaches the suite.
func TestEnvironment(t *testing.T) {
	t.Setenv("HTTPS_PROXY", "http://proxy.example.org")
	suite := fake(t, `[ -z "${HTTPS_PROXY-}" ]; result `+later+` '`+passed+`'`)
	if _, err := suite.Requirements(t.Context(), "http://s/", "2026-07-28"); err != nil {
		t.Error(err)
	}
}
