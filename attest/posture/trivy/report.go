package trivy

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
)

// maxReport is the largest report that is read.
const maxReport = 64 << 20

// maxSkew is how far in the future a report may have been made.
const maxSkew = time.Minute

// report is what a Trivy JSON report (schema version 2) says that matters here.
type report struct {
	SchemaVersion int
	CreatedAt     time.Time
	ArtifactName  string
	ArtifactType  string
	Metadata      struct {
		ImageID     string
		RepoDigests []string // "repository@sha256:<hex>"
	}
	Results []result
}

type result struct {
	Vulnerabilities   []finding
	Misconfigurations []finding
	Secrets           []finding
}

type finding struct {
	Severity string
	Status   string // of a misconfiguration: "PASS", "FAIL" or "EXCEPTION"
}

// severities are the ones Trivy knows.
func severities() []string { return []string{"UNKNOWN", "LOW", "MEDIUM", "HIGH", "CRITICAL"} }

// parse reads one report. It returns the zero report with an error: half a
// report says nothing.
func parse(r io.Reader) (report, error) {
	limited := &io.LimitedReader{R: r, N: maxReport + 1}
	var out report
	err := json.UnmarshalRead(limited, &out)
	if limited.N <= 0 {
		return report{}, fmt.Errorf("report size: got more than %d bytes, want at most that", maxReport)
	}
	if err != nil {
		return report{}, fmt.Errorf("decode report: %w", err)
	}
	if out.SchemaVersion != 2 {
		return report{}, fmt.Errorf("SchemaVersion: got %d, want 2; write the report with \"trivy --format json\"", out.SchemaVersion)
	}
	if out.CreatedAt.IsZero() {
		return report{}, errors.New("CreatedAt: got none, want the time of the scan; a newer Trivy writes it")
	}
	if len(out.Results) == 0 {
		return report{}, errors.New("results: got none, want at least one; Trivy found nothing there to examine")
	}
	return out, nil
}

// value returns "fail" if any finding has one of the severities that fail, and
// "pass" otherwise. A severity that Trivy does not know fails, because it
// cannot be weighed.
func (r report) value(failOn []string) string {
	for _, res := range r.Results {
		for _, list := range [][]finding{res.Vulnerabilities, res.Secrets, failures(res.Misconfigurations)} {
			for _, f := range list {
				if slices.Contains(failOn, f.Severity) || !slices.Contains(severities(), f.Severity) {
					return "fail"
				}
			}
		}
	}
	return "pass"
}

// failures leaves out the checks that passed or are excepted.
func failures(list []finding) []finding {
	var out []finding
	for _, f := range list {
		if f.Status != "PASS" && f.Status != "EXCEPTION" {
			out = append(out, f)
		}
	}
	return out
}

// digests returns the digests that the report says it is about.
func (r report) digests() []string {
	var out []string
	for _, d := range append([]string{r.Metadata.ImageID}, r.Metadata.RepoDigests...) {
		d = d[strings.LastIndexByte(d, '@')+1:]
		if validDigest(d) && !slices.Contains(out, d) {
			out = append(out, d)
		}
	}
	return out
}

// validDigest reports whether d is "sha256:" and 64 lower-case hex digits.
func validDigest(d string) bool {
	hex, ok := strings.CutPrefix(d, "sha256:")
	return ok && len(hex) == 64 && strings.Trim(hex, "0123456789abcdef") == ""
}
