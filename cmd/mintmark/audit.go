package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"mintmark/broker/audit"
)

func auditCommand() *cobra.Command {
	return group("audit", "Verify and query the audit log", auditVerifyCommand(), auditQueryCommand())
}

func auditVerifyCommand() *cobra.Command {
	var v verify
	cmd := &cobra.Command{
		Use:   "verify --log DIR",
		Short: "Verify the hash chain and the signed checkpoints of a log",
		Long: `Verify reads every record of the log, without a broker, and prints one JSON
object: records, segments, checkpoints, ok, first_bad and more. It exits with 1
when the log is not what was written.

Without --key it uses the public key beside the log, which proves only that the
log is consistent with itself: an auditor keeps the key from elsewhere.

Without --head it can't know of records that were cut off the end, or written
anew behind an earlier checkpoint and signed by the broker's next start: keep the
"head" of each report, and demand it the next time.`,
		Example: `  mintmark audit verify --log /var/lib/mintmark/audit --key auditor/log.pub | jq .head >head.json
  mintmark audit verify --log /var/lib/mintmark/audit --key auditor/log.pub --head head.json`,
		Args: none,
		RunE: func(cmd *cobra.Command, _ []string) error { return v.run(cmd.OutOrStdout()) },
	}
	cmd.Flags().StringVar(&v.log, "log", "", "the directory of the log (required)")
	cmd.Flags().StringVar(&v.key, "key", "", "PEM file with the public key to trust")
	cmd.Flags().StringVar(&v.head, "head", "", `JSON file with the "head" of an earlier report: it must be in the log`)
	cmd.Flags().StringVar(&v.since, "since", "", `JSON file with the last checkpoint of the segments that are archived: the log must go on right after it`)
	required(cmd, "log")
	return cmd
}

// verify is what a log is verified against: names of files, each of which may
// be empty but the log's.
type verify struct{ log, key, head, since string }

func (v verify) run(out io.Writer) error {
	if err := findLog(v.log); err != nil {
		return err
	}
	var o audit.VerifyOptions
	var err error
	if o.Public, err = readPublicKey(v.key); err != nil {
		return err
	}
	if o.Head, err = readCheckpoint("--head", v.head, `name the file with the "head" of an earlier report`); err != nil {
		return err
	}
	if o.Since, err = readCheckpoint("--since", v.since, "name the file with the last checkpoint of the segments that are archived"); err != nil {
		return err
	}
	report, err := v.signed(o)
	if err != nil {
		return err
	}
	if err := json.NewEncoder(out).Encode(report); err != nil {
		return err
	}
	if !report.OK {
		return errSilent
	}
	return nil
}

// signedWithin is how long a log may be without its first checkpoint, which its broker
// writes a second after the first record.
const signedWithin = 3 * time.Second

// signed verifies a log, and refuses one that stays without a checkpoint: whoever writes
// such a one has no need of the key. That of a broker which was started a moment ago is
// waited for.
func (v verify) signed(o audit.VerifyOptions) (audit.Report, error) {
	for until := time.Now().Add(signedWithin); ; <-time.After(signedWithin / 30) {
		r, err := audit.VerifyWith(v.log, o)
		switch {
		case err != nil || !r.OK || r.Records == 0 || r.Checkpoints > 0 || o.Since != nil:
			return r, err
		case time.Now().After(until):
			r.OK, r.FirstBad = false, &audit.Bad{Segment: "00000001.log", Seq: r.Records + 1,
				Why: "expected a signed checkpoint within a second of the first record, got none: checkpoints were removed, or the broker ended before it wrote one"}
			return r, nil
		}
	}
}

// findLog demands a log in dir: an empty table of a wrong directory would read as
// "nobody was denied".
func findLog(dir string) error {
	n, err := audit.Segments(dir)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("--log: expected a directory that you may read: %w; run it as the user to whom the log belongs", err)
	case err != nil:
		return fmt.Errorf("--log: expected the directory of a log: %w", err)
	case n > 0:
		return nil
	}
	hint := ""
	below := filepath.Join(dir, "audit")
	if n, err := audit.Segments(below); err == nil && n > 0 {
		hint = fmt.Sprintf("; did you mean %s?", below)
	}
	return fmt.Errorf("--log: expected the directory of a log, found no segment (00000001.log, …) in %s%s", dir, hint)
}

// readCheckpoint returns the checkpoint in the JSON file that a flag names, or nil for no
// file. Its signature is the verifier's to check.
func readCheckpoint(flag, name, next string) (*audit.Checkpoint, error) {
	if name == "" {
		return nil, nil
	}
	content, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %s", flag, err, next)
	}
	decoder := json.NewDecoder(bytes.NewReader(content))
	decoder.DisallowUnknownFields()
	var c *audit.Checkpoint
	if err := decoder.Decode(&c); err != nil || c == nil || c.Sig == "" || decoder.More() {
		return nil, fmt.Errorf(`%s: %s: expected one JSON object of "seq", "time", "head" and "sig", as the "head" of a report, got another text`, flag, name)
	}
	return c, nil
}

// readPublicKey returns the key in a PEM file, or nil for no file.
func readPublicKey(name string) (ed25519.PublicKey, error) {
	if name == "" {
		return nil, nil
	}
	content, err := os.ReadFile(name)
	if err != nil {
		return nil, notKey(err)
	}
	public, err := parsePublicKey(content)
	if err != nil {
		return nil, notKey(fmt.Errorf("%s: %w", name, err))
	}
	return public, nil
}

func notKey(err error) error {
	return fmt.Errorf("--key: %w: name the log's public key, which is DIR/log.pub in the log's directory, or a copy of it", err)
}

func parsePublicKey(content []byte) (ed25519.PublicKey, error) {
	block, _ := pem.Decode(content)
	if block == nil {
		return nil, errors.New("expected a PEM public key, got none")
	}
	if block.Type != "PUBLIC KEY" {
		return nil, fmt.Errorf("expected a PUBLIC KEY, as log.pub is, got a %s", block.Type)
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, errors.New("expected a PUBLIC KEY, as log.pub is, got one of that name with something else in it")
	}
	public, ok := parsed.(ed25519.PublicKey)
	if !ok {
		return nil, fmt.Errorf("expected an Ed25519 public key, got %T", parsed)
	}
	return public, nil
}

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
	if age, err := time.ParseDuration(s); err == nil {
		return now.Add(-age), nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}, fmt.Errorf(`%s: expected a time such as 2026-01-31T09:00:00Z or an age such as "24h", got %q`, flag, s)
	}
	return t, nil
}
