package demo

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"text/tabwriter"

	"mintmark/broker/audit"
)

// counts are the numbers of a run, each counted from its records.
type counts struct {
	Calls         int    `json:"calls"`
	Allowed       int    `json:"allowed"`
	Denied        int    `json:"denied"`
	Minted        int    `json:"minted"`
	CacheHits     int    `json:"cache_hits"`
	Records       uint64 `json:"records"`
	AuditVerified bool   `json:"audit_verified"`
	Leaks         int    `json:"leaks"`
}

// trail shows the records of the run and returns what they come to.
func (s *show) trail(ctx context.Context) (counts, error) {
	s.say("\nThe audit trail, decisions only. There are more than steps: an agent's MCP library begins each connection with\n" +
		"server/discover (and the stranger's tries initialize too), and the broker asks each server once which era it speaks.")
	t := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "   OUTCOME\tMETHOD\tTOOL\tCREDENTIAL\tPOLICIES OR STEP")
	c, report, err := s.tally(ctx, func(r audit.Record) { writeRow(t, r) })
	if err != nil {
		return c, err
	}
	if err := t.Flush(); err != nil {
		return c, err
	}
	s.say("With how calls ended, mints, scans and the start: %s in %s, chain and %s verified: %t. Secrets found in answers, log and records: %d.",
		several(report.Records, "record"), several(report.Segments, "segment"), several(report.Checkpoints, "checkpoint"), report.OK, c.Leaks)
	return c, nil
}

// several returns n with the word for what there are n of.
func several[N int | uint64](n N, of string) string {
	if n == 1 {
		return "1 " + of
	}
	return fmt.Sprintf("%d %ss", n, of)
}

// tally counts the records so far, verifies them, and looks for secrets in
// everything that left the broker. It shows each decision.
func (s *show) tally(ctx context.Context, decision func(audit.Record)) (c counts, report audit.Report, err error) {
	if err := s.broker.Flush(ctx); err != nil {
		return c, report, err
	}
	for r, err := range audit.Query(s.log(), audit.Filter{}) {
		if err != nil {
			return c, report, err
		}
		c.count(r)
		if r.Kind == audit.Decision {
			decision(r)
		}
	}
	if report, err = audit.Verify(s.log(), nil); err != nil {
		return c, report, err
	}
	c.Records, c.AuditVerified = report.Records, report.OK
	c.Leaks, err = s.leaks()
	return c, report, err
}

func writeRow(t io.Writer, r audit.Record) {
	outcome, by := "allow", fmt.Sprint(r.Policies)
	if !r.Allow {
		outcome = "deny"
		if len(r.Policies) == 0 {
			by = r.Step + ": " + r.Fault
		}
	}
	credential := "-"
	if r.Credential != "" {
		credential = r.Provider + " " + r.Fingerprint[:min(12, len(r.Fingerprint))]
	}
	fmt.Fprintf(t, "   %s\t%s\t%s\t%s\t%s\n", outcome, dash(r.Method), dash(r.Tool), credential, by)
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func (c *counts) count(r audit.Record) {
	switch {
	case r.Kind == audit.Decision && r.Allow:
		c.Calls++
		c.Allowed++
		if r.Cached {
			c.CacheHits++
		}
	case r.Kind == audit.Decision:
		c.Calls++
		c.Denied++
	case r.Kind == audit.Issuance && r.Event == "mint":
		c.Minted++
	}
}

// leaks counts the secrets found in what agents received, in the broker's log
// and in its records.
func (s *show) leaks() (n int, err error) {
	places := [][]byte{s.received.Bytes(), s.logged.Bytes()}
	segments, err := filepath.Glob(filepath.Join(s.log(), "*.log"))
	if err != nil {
		return 0, err
	}
	for _, name := range segments {
		content, err := os.ReadFile(name)
		if err != nil {
			return 0, err
		}
		places = append(places, content)
	}
	for _, secret := range slices.Concat(s.issuer.secrets(), s.tokens, []string{madeUp}) {
		for _, place := range places {
			if bytes.Contains(place, []byte(secret)) || bytes.Contains(place, []byte(base64.StdEncoding.EncodeToString([]byte(secret)))) {
				n++
			}
		}
	}
	return n, nil
}
