package trivy

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"mintmark/broker/bundle"
)

const defaultMaxAge = 24 * time.Hour

// Config is one registered source of kind trivy.
type Config struct {
	// Folder holds the reports: any *.json below it.
	Folder bundle.Path `yaml:"folder" check:"required"`
	// MaxAge is how long after its scan a report counts. Default 24h.
	MaxAge bundle.Duration `yaml:"max_age"`
	// FailOn are the severities that fail a scan. Default [CRITICAL, HIGH].
	FailOn []string `yaml:"fail_on"`
	// Workloads say which images and binaries a workload runs, so that reports
	// about these are facts about it. A workload of several is listed once for
	// each.
	Workloads []Workload `yaml:"workloads"`
}

// Workload is one artifact that a workload runs.
type Workload struct {
	SPIFFEID spiffeid.ID `yaml:"spiffe_id" check:"required"`
	// Digest is "sha256:<64 hex>": an image's id or repository digest, or the
	// hash of a binary.
	Digest string `yaml:"digest" check:"required"`
}

// Values implements posture.Valued.
func (Config) Values() []string { return []string{"fail", "pass"} }

// Validate reports each value that cannot be used.
func (c Config) Validate(report func(field, want, got string)) {
	if c.MaxAge.Duration < 0 {
		report("max_age", "a positive duration", c.MaxAge.String())
	}
	for i, s := range c.FailOn {
		if !slices.Contains(severities(), s) {
			report(fmt.Sprintf("fail_on[%d]", i), "one of "+strings.Join(severities(), ", "), s)
		}
	}
	seen := map[Workload]bool{}
	for i, w := range c.Workloads {
		field := fmt.Sprintf("workloads[%d]", i)
		if w.SPIFFEID.Path() == "" {
			report(field+".spiffe_id", "a SPIFFE ID with a path", w.SPIFFEID.String())
		}
		if !validDigest(w.Digest) {
			report(field+".digest", "sha256: and 64 lower-case hex digits", w.Digest)
		}
		if seen[w] {
			report(field, "each workload and digest once", w.SPIFFEID.String()+" "+w.Digest)
		}
		seen[w] = true
	}
}

// withDefaults fills in what is left out. An empty list of severities would
// pass everything, so it means the default as well.
func (c Config) withDefaults() Config {
	if c.MaxAge.Duration == 0 {
		c.MaxAge.Duration = defaultMaxAge
	}
	if len(c.FailOn) == 0 {
		c.FailOn = []string{"CRITICAL", "HIGH"}
	}
	return c
}

// err returns all that Validate reports as one error.
func (c Config) err() error {
	var faults []string
	c.Validate(func(field, want, got string) {
		faults = append(faults, fmt.Sprintf("%s: got %q, want %s", field, got, want))
	})
	if c.Folder == "" {
		faults = append(faults, `folder: got "", want a directory`)
	}
	if len(faults) == 0 {
		return nil
	}
	return fmt.Errorf("trivy: %s", strings.Join(faults, "; "))
}
