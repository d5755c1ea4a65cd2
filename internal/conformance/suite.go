// Package conformance runs the official MCP conformance suite against a server
// and compares two of its runs, scenario by scenario: a server reached directly
// and the same server reached through Mintmark. It has no opinion on which
// checks should pass; what lies between must not make a difference.
package conformance

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
)

// Suite is an installed conformance suite, the npm package
// @modelcontextprotocol/conformance.
type Suite struct {
	Node    string // program of Node 22 or newer
	Modules string // the node_modules folder that holds the package
}

// Run is what one run of the suite found.
type Run struct {
	// Conforms is the suite's own judgement: every scenario that counts passed.
	Conforms  bool
	Scenarios []Scenario // in the order in which they ran, each name once
}

// Scenario is one scenario and its checks.
type Scenario struct {
	Name   string
	Checks []Check
}

// Check is one check of a scenario, in the suite's words.
type Check struct {
	ID      string `json:"id"`
	Status  string `json:"status"` // SUCCESS, FAILURE, WARNING, SKIPPED or INFO
	Message string `json:"errorMessage"`
}

// Requirements runs every scenario that a protocol revision requires, against
// the server at url.
func (s Suite) Requirements(ctx context.Context, url, revision string) (Run, error) {
	return s.run(ctx, url, "--requirements", revision)
}

// Scenario runs one scenario in the form that it has in a protocol revision.
func (s Suite) Scenario(ctx context.Context, url, revision, name string) (Run, error) {
	return s.run(ctx, url, "--spec-version", revision, "--scenario", name)
}

// run runs the suite once against a server and reads the files in which it leaves its
// results. It gets nothing of the environment, so that no proxy setting or token of the
// developer's shell reaches it.
func (s Suite) run(ctx context.Context, url string, args ...string) (_ Run, err error) {
	dir, err := os.MkdirTemp("", "conformance-")
	if err != nil {
		return Run{}, fmt.Errorf("run conformance suite: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	conforms, out, err := s.start(ctx, append([]string{"server", "--url", url, "--output-dir", dir}, args...))
	if err != nil {
		return Run{}, err
	}
	scenarios, err := read(dir)
	if err != nil {
		return Run{}, fmt.Errorf("run conformance suite: %w; it printed:\n%s", err, out)
	}
	return Run{Conforms: conforms, Scenarios: scenarios}, nil
}

// start runs the program and returns its judgement and what it printed.
func (s Suite) start(ctx context.Context, args []string) (conforms bool, out []byte, err error) {
	script := filepath.Join(s.Modules, "@modelcontextprotocol", "conformance", "dist", "index.js")
	cmd := exec.CommandContext(ctx, s.Node, append([]string{script}, args...)...) //nolint:gosec // which program runs is the caller's to say
	cmd.Env = []string{"NO_COLOR=1"}
	out, failed := cmd.CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](failed); failed != nil && !(ok && exit.ExitCode() == 1) {
		return false, nil, fmt.Errorf("run conformance suite: %w:\n%s", failed, out)
	}
	return failed == nil, out, nil
}

// read reads the folders that a run leaves: one for each scenario, named
// server-NAME-TIME, with checks.json in it.
func read(dir string) ([]Scenario, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read results: %w", err)
	}
	form := regexp.MustCompile(`^server-(.+)-(\d{4}-\d{2}-\d{2}T\d{2}-\d{2}-\d{2}-\d{3}Z)$`)
	began := map[string]string{}
	var scenarios []Scenario
	for _, entry := range entries {
		parts := form.FindStringSubmatch(entry.Name())
		if parts == nil {
			return nil, fmt.Errorf("read results: got folder %q, want server-NAME-TIME", entry.Name())
		}
		name := parts[1]
		if began[name] != "" {
			return nil, fmt.Errorf("read results: got scenario %s twice, want it once", name)
		}
		checks, err := readChecks(filepath.Join(dir, entry.Name(), "checks.json"))
		if err != nil {
			return nil, fmt.Errorf("read results of %s: %w", name, err)
		}
		began[name] = parts[2]
		scenarios = append(scenarios, Scenario{Name: name, Checks: checks})
	}
	if len(scenarios) == 0 {
		return nil, errors.New("read results: got no scenario")
	}
	slices.SortFunc(scenarios, func(a, b Scenario) int {
		return cmp.Or(cmp.Compare(began[a.Name], began[b.Name]), cmp.Compare(a.Name, b.Name))
	})
	return scenarios, nil
}

// readChecks reads one checks.json. A scenario without checks has proved
// nothing, and a check without a name or a status can't be compared.
func readChecks(path string) ([]Check, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var checks []Check
	if err := json.Unmarshal(content, &checks); err != nil {
		return nil, err
	}
	if len(checks) == 0 {
		return nil, errors.New("got no checks, want at least one")
	}
	for _, check := range checks {
		if check.ID == "" || !slices.Contains([]string{"SUCCESS", "FAILURE", "WARNING", "SKIPPED", "INFO"}, check.Status) {
			return nil, fmt.Errorf("got check %q with status %q, want an id and a known status", check.ID, check.Status)
		}
	}
	return checks, nil
}
