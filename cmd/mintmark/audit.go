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
	"time"

	"github.com/spf13/cobra"

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
