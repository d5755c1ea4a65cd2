package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mintmark/broker"
	"mintmark/broker/bundle"
	"mintmark/policies"
)

func checkCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check DIR",
		Short: "Check the registrations and policies in a directory",
		Long: `Check reads DIR as serve would and opens nothing: neither secrets nor servers
have to be there. Every fault is printed with its file, line and column, what
was expected and what was found. A file that others than its owner and group can
write is refused before it is read.

A stored key (kind static) is no fault, but a warning on stderr with its age. So
are no policy at all, a policy that can match no call or names a trust domain that
mintmark.yaml does not, an annotation that is nearly @id or @hint, and an upstream
of kind mcp whose credentials leave out what every session begins with.

Policies are held against what mintmark.yaml registers, as far as that could be
read. Faults come in the order of the files' names and of their lines.

Every key of mintmark.yaml, with a whole example, is in docs/configuration.md.`,
		Example: "  mintmark check /etc/mintmark",
		Args:    one("DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			bd, set, err := load(args[0])
			if err != nil {
				return err
			}
			for _, w := range bd.Warnings(time.Now()) {
				warn(cmd, args[0], w.Problem)
			}
			for _, w := range set.Warnings() {
				warn(cmd, args[0], w)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: ok: upstreams %d, providers %d, policies %d, bundle %s\n",
				args[0], len(bd.Config.Upstreams), len(bd.Config.Providers), len(set.IDs()), bd.Digest)
			return err
		},
	}
}

// warn says of a directory what is no fault.
func warn(cmd *cobra.Command, dir string, p bundle.Problem) {
	p.File, p.Text = filepath.Join(dir, p.File), "warning: "+p.Text
	fmt.Fprintln(cmd.ErrOrStderr(), p)
}

// load reads a directory and compiles its policies. What is wrong with the
// files is an error of type faults.
func load(dir string) (*bundle.Bundle, *policies.Set, error) {
	bd, set, err := broker.Load(dir, kinds().Settings())
	if problems, ok := errors.AsType[bundle.Problems](err); ok {
		return nil, nil, faultsIn(dir, problems)
	}
	return bd, set, err
}

// faults are what is wrong with files, each on a line that begins with its
// position.
type faults []string

// Error returns all of them.
func (f faults) Error() string { return strings.Join(f, "\n") }

// faultsIn makes the lines of err, which name files of dir, name them as seen
// from here.
func faultsIn(dir string, err error) faults {
	lines := strings.Split(err.Error(), "\n")
	for i, line := range lines {
		name, rest, _ := strings.Cut(line, ":")
		lines[i] = filepath.Join(dir, name) + ":" + rest
	}
	return lines
}

// placed returns err as faults where one value of a file in dir is why it came.
func placed(dir string, err error) error {
	if at, ok := errors.AsType[bundle.Problem](err); ok {
		return faultsIn(dir, at)
	}
	return err
}

func policyCommand() *cobra.Command {
	return group("policy", "Test and show policies", policyTestCommand(), policySchemaCommand())
}

func policyTestCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "test DIR",
		Short: "Run the *.test.yaml cases beside the policies",
		Long: `Test asks the policies in DIR every case of every *.test.yaml in DIR and prints
what was expected and what came. It fails when a case fails, and when there is
no case at all. A case has a name, an agent, an upstream, a method, a time (of
which policies read clocks and the age of facts: there is no "now") and what to
expect. It may have a target, posture and more: see docs/policies.md. A case that
names what is not registered is a fault, as it would be denied by any policies.

  cases:
    - name: nobody refunds at night
      agent: spiffe://example.org/agent/shop
      upstream: orders
      method: tools/call
      tool: refund
      time: 2026-06-10T23:00:00Z
      expect: deny`,
		Example: "  mintmark policy test /etc/mintmark",
		Args:    one("DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			bd, set, err := load(args[0])
			if err != nil {
				return err
			}
			return testPolicies(cmd, set, knownOf(bd), args[0])
		},
	}
}

// knownOf is what the cases of test files may name.
func knownOf(bd *bundle.Bundle) policies.Known {
	known := policies.Known{TrustDomains: []string{bd.Config.TrustDomain.Name()}, Credentials: map[string][]string{}}
	for _, b := range bd.Config.Trust.Bundles {
		known.TrustDomains = append(known.TrustDomains, b.TrustDomain.Name())
	}
	for name, u := range bd.Config.Upstreams {
		for _, in := range u.Credentials {
			known.Credentials[name] = append(known.Credentials[name], in.Provider)
		}
	}
	return known
}

func testPolicies(cmd *cobra.Command, set *policies.Set, known policies.Known, dir string) error {
	files, err := fs.Glob(os.DirFS(dir), "*.test.yaml")
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return fmt.Errorf("policy test %s: expected at least one *.test.yaml, got none; what is in one: %s --help", dir, cmd.CommandPath())
	}
	all, failed := 0, 0
	for _, name := range files {
		file := filepath.Join(dir, name)
		content, err := bundle.Path(file).ReadShared(bundle.MaxPolicy)
		if err != nil {
			return err
		}
		results, err := policies.RunTests(set, known, file, content)
		if err != nil {
			return faults{err.Error()}
		}
		all, failed = all+len(results), failed+len(results.Failed())
		for _, r := range results {
			fmt.Fprintln(cmd.OutOrStdout(), r)
		}
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%d passed, %d failed\n", all-failed, failed)
	if failed > 0 {
		return errSilent
	}
	return nil
}

func policySchemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "schema DIR",
		Short: "Print the Cedar schema that the policies of a directory are checked against",
		Long: `Schema prints what policies can name: the actions, and the attributes that the
posture sources and clocks of DIR's mintmark.yaml add.`,
		Example: "  mintmark policy schema /etc/mintmark >mintmark.cedarschema",
		Args:    one("DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			_, set, err := load(args[0])
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), strings.TrimSpace(set.Schema()))
			return err
		},
	}
}
