package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"mintmark/broker/audit"
)

func auditQueryCommand() *cobra.Command {
	var q query
	cmd := &cobra.Command{
		Use:   "query --log DIR",
		Short: "Show records of a log",
		Long: `Query prints the records that match every flag given: who got which credential,
for what, when, under which policy, oldest first. It reads the log itself; verify
it first. A line that can't be read is named on stderr, the others are printed,
and the exit status is 1. Where no record matches, stderr says how many were
looked at, and which value none of them has.

A credential that could not be had is a denial too: --outcome deny --step lease
shows these outages, and --step decide what policies denied.

In the table "-" is nothing, and a text is quoted where it has characters that
don't print, or, but for the reason, a space.`,
		Example: `  mintmark audit query --log audit --outcome deny --since 24h
  mintmark audit query --log audit --outcome deny --step decide
  mintmark audit query --log audit --agent spiffe://example.org/agent/shop --json`,
		Args: none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			q.out, q.errOut = cmd.OutOrStdout(), cmd.ErrOrStderr()
			return q.run(time.Now())
		},
	}
	f := cmd.Flags()
	f.StringVar(&q.log, "log", "", "the directory of the log (required)")
	f.StringVar(&q.filter.Agent, "agent", "", "SPIFFE ID of the agent that called, or that a posture record is about")
	f.StringVar(&q.filter.Upstream, "upstream", "", "registered name of the upstream")
	f.StringVar(&q.filter.Tool, "tool", "", "tool, prompt, resource or path")
	f.StringVar(&q.filter.Credential, "credential", "", "id of the lease, or PROVIDER/ID as the table has it")
	f.StringVar(&q.filter.Provider, "provider", "", "registered name of the provider of the credential, in decisions and issuance records")
	f.StringVar(&q.filter.Call, "call", "", "id of the call, as in the refusal the agent got")
	f.StringVar((*string)(&q.filter.Kind), "kind", "", "decision, outcome, issuance, posture or admin")
	f.StringVar(&q.filter.Outcome, "outcome", "", "allow or deny")
	f.StringVar(&q.filter.Step, "step", "", "step that refused, such as decide (policies) or lease (no credential)")
	f.StringVar(&q.since, "since", "", `from this time on: RFC 3339, or an age such as "24h"`)
	f.StringVar(&q.until, "until", "", "before this time: RFC 3339, or an age")
	f.BoolVar(&q.json, "json", false, "print JSON lines instead of a table")
	required(cmd, "log")
	return cmd
}

type query struct {
	out, errOut       io.Writer
	log, since, until string
	json              bool
	filter            audit.Filter
}

func (q *query) run(now time.Time) (err error) {
	if q.filter.Since, err = instant("--since", q.since, now); err != nil {
		return err
	}
	if q.filter.Until, err = instant("--until", q.until, now); err != nil {
		return err
	}
	if o := q.filter.Outcome; o != "" && o != "allow" && o != "deny" {
		return fmt.Errorf("--outcome: expected allow or deny, got %q", o)
	}
	if k := q.filter.Kind; k != "" && !k.Known() {
		return fmt.Errorf("--kind: expected decision, outcome, issuance, posture or admin, got %q", k)
	}
	if _, err := spiffeid.FromString(q.filter.Agent); err != nil && q.filter.Agent != "" {
		return fmt.Errorf("--agent: expected a SPIFFE ID such as spiffe://example.org/agent/shop, got %q", q.filter.Agent)
	}
	if err := findLog(q.log); err != nil {
		return err
	}
	if q.json {
		encoder := json.NewEncoder(q.out)
		return q.each(func(r audit.Record) error { return encoder.Encode(r) })
	}
	table := tabwriter.NewWriter(q.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "TIME\tKIND\tOUTCOME\tAGENT\tUPSTREAM\tMETHOD\tTOOL\tCREDENTIAL\tPOLICIES\tREASON")
	err = q.each(func(r audit.Record) error {
		_, err := fmt.Fprintln(table, strings.Join(row(r), "\t"))
		return err
	})
	return errors.Join(err, table.Flush())
}

// each shows every record that can be read. What can't be read is named at
// once, and fails the query at its end.
func (q *query) each(show func(audit.Record) error) (failed error) {
	found := false
	for r, err := range audit.Query(q.log, q.filter) {
		if err != nil {
			failed = errSilent
			fmt.Fprintf(q.errOut, "mintmark: %v\n", err)
			continue
		}
		if err := show(r); err != nil {
			return err
		}
		found = true
	}
	if q.filter.Call != "" && !found && failed == nil {
		return errors.New("--call: expected the id of a call as its refusal and its records have it, 32 hex digits, found no such record; it may be in the log of another broker, or archived")
	}
	if !found && failed == nil {
		q.sayNone()
	}
	return failed
}

// instant reads a time or an age; "" is the zero time.
func instant(flag, s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if age, err := time.ParseDuration(s); err == nil && age >= 0 {
		return now.Add(-age), nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}, fmt.Errorf(`%s: expected a time such as 2026-01-31T09:00:00Z or an age such as "24h", got %q`, flag, s)
	}
	return t, nil
}
