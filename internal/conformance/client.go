package conformance

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
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
