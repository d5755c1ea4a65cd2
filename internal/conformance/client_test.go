package conformance_test

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// As the real suite does, with a folder below that of the first half of the name.
const clientResult = `
[ "$1 $2 $3 $4 $5 $6 $8 $9" = "client --command run me --scenario auth/dpop --output-dir --timeout 60000" ]
dir=$7
mkdir -p "$dir/auth"
`

func TestClient(t *testing.T) {
	t.Parallel()
	run, err := fake(t, clientResult+`result auth/dpop-2026-11-24T07-51-09-907Z '`+passed+`'`).Client(t.Context(), "run me", "auth/dpop", time.Minute)
	if err != nil || !run.Conforms || len(run.Scenarios) != 1 || run.Scenarios[0].Name != "auth/dpop" || len(run.Scenarios[0].Checks) != 1 {
		t.Errorf("got %+v, %v, want the scenario and its check", run, err)
	}
	run, err = fake(t, clientResult+`result auth/dpop-2026-11-24T07-51-09-907Z '`+passed+`'; exit 1`).Client(t.Context(), "run me", "auth/dpop", time.Minute)
	if err != nil || run.Conforms {
		t.Errorf("got %+v, %v, want a run that fails", run, err)
	}
}

func TestBrokenClientRuns(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ script, want string }{
		"no results":           {`echo all is well`, "got them 0 times; it printed:\nall is well"},
		"no checks":            {`result auth/dpop-1 '[]'`, "got no checks"},
		"two results":          {`result auth/dpop-1 '` + passed + `'; result auth/dpop-2 '` + passed + `'`, "got them 2 times"},
		"a fault of the suite": {`exit 2`, "exit status 2"},
	} {
		if run, err := fake(t, clientResult+c.script).Client(t.Context(), "run me", "auth/dpop", time.Minute); err == nil || !strings.Contains(err.Error(), c.want) || run.Scenarios != nil {
			t.Errorf("%s: got %+v, %v, want an error with %q", name, run, err, c.want)
		}
	}
}

func TestScenarios(t *testing.T) {
	t.Parallel()
	const listing = `printf 'Server scenarios:\n  - ping [1]\n\nClient scenarios (test):\n  - initialize [2]\n  - auth/dpop [extension]\n\nAuthorization:\n  - other\n'`
	names, err := fakeList(t, listing).Scenarios(t.Context())
	if err != nil || !slices.Equal(names, []string{"initialize", "auth/dpop"}) {
		t.Errorf("got %v, %v, want those for clients", names, err)
	}
	for _, script := range []string{`echo nothing`, `echo Client scenarios`, listing + `; exit 1`} {
		if names, err := fakeList(t, script).Scenarios(t.Context()); err == nil || names != nil {
			t.Errorf("%s: got %v, want an error", script, names)
		}
	}
}
