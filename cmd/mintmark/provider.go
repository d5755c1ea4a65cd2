package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"mintmark/attest"
	"mintmark/broker"
	"mintmark/broker/audit"
	"mintmark/broker/bundle"
	"mintmark/internal/fault"
	"mintmark/internal/owned"
)

func providerCommand() *cobra.Command {
	return group("provider", "List the credential providers, try one, and end all that one made", providerListCommand(), providerTestCommand(), providerRevokeCommand())
}

func providerListCommand() *cobra.Command {
	var dir string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list --dir DIR",
		Short: "List the registered providers",
		Long: `List shows what DIR registers, and asks no system: the name and kind of each
provider, whether each agent has a credential of its own, how long one is used
at most ("-": as long as its system says), whether its system can renew and
revoke one ("if offered": where its server's metadata names an endpoint), and
the upstreams that use it.`,
		Example: "  mintmark provider list --dir /etc/mintmark",
		Args:    none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			bd, _, err := load(dir)
			if err != nil {
				return err
			}
			list, err := broker.ListProviders(bd, kinds())
			if err != nil {
				return placed(dir, err)
			}
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), list)
			}
			return writeProviders(cmd.OutOrStdout(), list)
		},
	}
	dirFlag(cmd, &dir)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON array")
	return cmd
}

func writeProviders(out io.Writer, list []broker.Registered) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "NAME\tKIND\tPER AGENT\tMAX AGE\tRENEWS\tREVOKES\tUPSTREAMS")
	for _, p := range list {
		age := "-"
		if p.MaxAgeS > 0 {
			age = (time.Duration(p.MaxAgeS) * time.Second).String()
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", p.Name, p.Kind, yesNo(p.PerAgent), age, yesNo(p.Renews), revokes(p), cmp.Or(strings.Join(p.Upstreams, " "), "-"))
	}
	return table.Flush()
}

func revokes(p broker.Registered) string {
	if p.IfOffered {
		return "if offered"
	}
	return yesNo(p.Revokes)
}

func providerTestCommand() *cobra.Command {
	var (
		dir, log, id string
		asJSON       bool
	)
	cmd := &cobra.Command{
		Use:   "test --dir DIR NAME",
		Short: "Mint one credential, show what it is, and revoke it",
		Long: `Test has a provider make one credential, as serve does for a call, shows what
it is, and revokes it where its system can. The secret is not shown. A
credential that can't be revoked ends by itself, but a stored key lives on: of
that, test shows when it is read again, and warns of its age on stderr.

It says "ok" and exits with 0 when all of that worked; it exits with 1 and says
why when nothing was made, or when what was made could not be revoked.

Nothing is minted without its record, so test writes to the audit log, which
has one writer. While a broker serves from DIR, give test a log of its own with
--log. The fingerprint is under the key of that log: it can be compared with
others of the same log only.

Run it as the broker's user, also with --log: the broker's secrets, its identity
and what providers keep are that user's. Root is refused where the broker's log
is another's. The Workload API is asked only by a provider that needs it.

Where each agent has a credential of its own, --agent says for whom to make
it. That needs no proof: whoever may run this holds the broker's rights.`,
		Example: `  mintmark provider test --dir /etc/mintmark orders-db
  mintmark provider test --dir /etc/mintmark orders-db --log /tmp/trial --agent spiffe://example.org/agent/shop`,
		Args: one("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			bd, brokers, err := loadToRecord(dir, log)
			if err != nil {
				return err
			}
			var agent attest.Identity
			if id != "" {
				parsed, err := spiffeid.FromString(id)
				if err != nil {
					return fmt.Errorf("--agent: expected a SPIFFE ID such as spiffe://example.org/agent/shop, got %q: %w", id, err)
				}
				agent = attest.Assumed(parsed)
			}
			logger, err := newLogger(cmd, "error")
			if err != nil {
				return err
			}
			t, err := broker.Try(cmd.Context(), broker.Options{Bundle: bd, Kinds: kinds(), Logger: logger}, args[0], agent)
			if t.Credential != "" {
				for _, w := range bd.Warnings(time.Now()) {
					if w.Path == "providers."+args[0] {
						warn(cmd, dir, w.Problem)
					}
				}
				if wrote := writeTrial(cmd.OutOrStdout(), t, err == nil, asJSON); wrote != nil {
					return errors.Join(err, wrote)
				}
			}
			return placed(dir, asOwner(advised(err), brokers))
		},
	}
	dirFlag(cmd, &dir)
	logFlag(cmd, &log)
	cmd.Flags().StringVar(&id, "agent", "", "SPIFFE ID of the agent to mint for")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object")
	return cmd
}

func providerRevokeCommand() *cobra.Command {
	var dir, log string
	cmd := &cobra.Command{
		Use:   "revoke --dir DIR NAME",
		Short: "End everything that a provider ever made",
		Long: `Revoke has the provider's system end every credential that was ever made as NAME
is registered, whether or not it is on record, also those that a broker is using:
its calls fail until it has noticed and made others. It is for when the records
are lost, or the system's own are to be emptied at once.

Vault alone has such an order, for database and dynamic: it ends all leases below
the path, by whoever they were asked for. The broker's role needs update and sudo
on sys/leases/revoke-prefix/PATH. A path that names the agent is refused.

It is on record (revoke_all). While a broker serves from DIR, give revoke a log
of its own with --log. Run it as the broker's user, as test.`,
		Example: "  mintmark provider revoke --dir /etc/mintmark orders-db",
		Args:    one("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			bd, brokers, err := loadToRecord(dir, log)
			if err != nil {
				return err
			}
			logger, err := newLogger(cmd, "error")
			if err != nil {
				return err
			}
			if err := broker.RevokeAll(cmd.Context(), broker.Options{Bundle: bd, Kinds: kinds(), Logger: logger}, args[0]); err != nil {
				return placed(dir, asOwner(advised(err), brokers))
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), "ok")
			return err
		},
	}
	dirFlag(cmd, &dir)
	logFlag(cmd, &log)
	return cmd
}

func logFlag(cmd *cobra.Command, log *string) {
	cmd.Flags().StringVar(log, "log", "", "directory of the log to write to, instead of the broker's; made where there is none")
}

// loadToRecord is load for a command that puts on record what it does, in the
// folder log unless that is "". It refuses root where the broker's own log, which
// it returns the folder of, is another user's.
func loadToRecord(dir, log string) (bd *bundle.Bundle, brokers string, err error) {
	bd, _, err = load(dir)
	if err != nil {
		return nil, "", err
	}
	brokers = string(bd.Config.Audit.Directory)
	if err := refuseRoot(owned.Me(), brokers); err != nil {
		return nil, "", err
	}
	if log != "" {
		bd.Config.Audit.Directory = bundle.Path(log)
		bd.Config.Audit.SigningKey = bundle.Path(log + "/signing.key")
		bd.Config.State = bundle.Path(log + "/state") // what the broker keeps there, its own next start is to find
	}
	return bd, brokers, nil
}

// advised adds what to do to the errors that an option of the command mends.
func advised(err error) error {
	switch {
	case err == nil:
		return nil
	case fault.KindOf(err) == fault.Unauthenticated:
		return fmt.Errorf("%w; say which: --agent SPIFFE-ID", err)
	case errors.Is(err, audit.ErrInUse):
		return fmt.Errorf("%w; or: --log DIR", err)
	}
	return err
}

func writeTrial(out io.Writer, t broker.Trial, ok, asJSON bool) error {
	if asJSON {
		return writeJSON(out, t)
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "provider\t%s (%s)\n", t.Provider, t.Kind)
	if t.Agent != "" {
		fmt.Fprintf(table, "agent\t%s\n", t.Agent)
	}
	fmt.Fprintf(table, "type\t%s\n", t.Type)
	fmt.Fprintf(table, "scopes\t%s\n", printable(cmp.Or(strings.Join(t.Scopes, " "), "-")))
	end := "ends"
	if t.Stored {
		end = "read again at"
	}
	fmt.Fprintf(table, "%s\t%s\n", end, t.NotAfter.Format(time.RFC3339))
	fmt.Fprintf(table, "fingerprint\t%s\n", t.Fingerprint)
	fmt.Fprintf(table, "renewable\t%s\n", yesNo(t.Renewable))
	fmt.Fprintf(table, "revocable\t%s\n", revocability(t))
	if ok {
		fmt.Fprintln(table, "ok")
	}
	return table.Flush()
}

func revocability(t broker.Trial) string {
	switch {
	case !t.Revocable && t.Stored:
		return "no: it is a stored key and lives on"
	case !t.Revocable:
		return "no: it ends by itself"
	case t.Revoked:
		return "yes, and revoked"
	}
	return "yes, but not revoked: see the error"
}

func writeJSON(out io.Writer, v any) error {
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(v)
}

func yesNo(yes bool) string {
	if yes {
		return "yes"
	}
	return "no"
}
