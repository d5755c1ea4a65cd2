package conformance

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Client runs one scenario against a client: the suite starts a server, and then
// the command, with the server's URL as its last argument and the scenario in its
// environment. The command ends with 0 when it has called the server.
func (s Suite) Client(ctx context.Context, command, name string, patience time.Duration) (_ Run, err error) {
	dir, err := os.MkdirTemp("", "conformance-")
	if err != nil {
		return Run{}, fmt.Errorf("run conformance suite: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	conforms, out, err := s.start(ctx, []string{
		"client", "--command", command, "--scenario", name, "--output-dir", dir, "--timeout", strconv.FormatInt(patience.Milliseconds(), 10),
	})
	if err != nil {
		return Run{}, err
	}
	found, err := filepath.Glob(filepath.Join(dir, filepath.FromSlash(name)+"-*", "checks.json"))
	if err != nil || len(found) != 1 {
		return Run{}, fmt.Errorf("run conformance suite: expected the results of %s once, got them %d times; it printed:\n%s", name, len(found), out)
	}
	checks, err := readChecks(found[0])
	if err != nil {
		return Run{}, fmt.Errorf("read results of %s: %w; it printed:\n%s", name, err, out)
	}
	return Run{Conforms: conforms, Scenarios: []Scenario{{Name: name, Checks: checks}}}, nil
}

// Scenarios returns the names of the suite's scenarios for clients.
func (s Suite) Scenarios(ctx context.Context) ([]string, error) {
	conforms, out, err := s.start(ctx, []string{"list"})
	if err != nil {
		return nil, err
	}
	_, rest, found := strings.Cut(string(out), "Client scenarios")
	var names []string
	for line := range strings.Lines(rest) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "- "); ok {
			name, _, _ = strings.Cut(name, " ")
			names = append(names, name)
		} else if len(names) > 0 {
			break
		}
	}
	if !conforms || !found || len(names) == 0 {
		return nil, fmt.Errorf("list conformance scenarios: expected those for clients, got:\n%s", out)
	}
	return names, nil
}
