// Command mintmark is a secretless credential broker for AI agents: it attests
// who calls, decides by policy, and puts a short-lived credential into the call
// in place of whatever the agent sent.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"mintmark/broker/bundle"
	"mintmark/internal/stdlog"
)

// version is set when the binary is built.
var version = "devel"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // the next signal is not caught: it ends the process at once
	// A full disk quota must be an error of one write, not the end of the process.
	signal.Ignore(syscall.SIGXFSZ)
	stdlog.Hush(slog.New(slog.NewJSONHandler(os.Stderr, nil)))
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// errSilent ends a command whose output has already said what is wrong.
var errSilent = errors.New("")

// run runs one command and returns its exit status: 0, or 1 after an error,
// which it has written to stderr. What is wrong with a file begins with its
// position, where editors look for it.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := command()
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetFlagErrorFunc(misflagged)
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	if err := root.ExecuteContext(ctx); err != nil {
		if at, ok := errors.AsType[faults](err); ok {
			fmt.Fprintln(stderr, at)
		} else if !errors.Is(err, errSilent) {
			fmt.Fprintf(stderr, "mintmark: %v\n", err)
		}
		return 1
	}
	return 0
}

func command() *cobra.Command {
	root := &cobra.Command{
		Use:     "mintmark",
		Version: versionText(), // for --version
		Short:   "A secretless credential broker for AI agents",
		Long: `Mintmark lets an agent call MCP servers and APIs without holding a secret.

It proves which workload is calling (SPIFFE) and how healthy it is, decides by
policy (Cedar), strips whatever auth the agent sent, leases a short-lived
credential (Vault, AWS STS, OAuth), records that, and injects it.

Begin with:   mintmark demo
Then:         mintmark check DIR; mintmark serve --dir DIR`,
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return filled(cmd) },
	}
	below(root, serveCommand(), connectCommand(), demoCommand(), checkCommand(), policyCommand(), upstreamCommand(), providerCommand(), auditCommand(), versionCommand())
	return root
}

// one demands one argument, by the name that the usage line gives it.
func one(name string) cobra.PositionalArgs { return between(1, 1, name) }

// none demands no argument.
func none(cmd *cobra.Command, args []string) error { return between(0, 0, "no arguments")(cmd, args) }

// between demands a number of arguments, by what they are called.
func between(least, most int, names string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if least <= len(args) && len(args) <= most {
			return nil
		}
		got := strconv.Itoa(len(args)) + " arguments"
		switch len(args) {
		case 0:
			got = "none"
		case 1:
			got = strconv.Quote(args[0])
		}
		return misused(cmd, fmt.Sprintf("expected %s, got %s", names, got))
	}
}

// required demands flags of a command, in the words of its usage line.
func required(cmd *cobra.Command, flags ...string) {
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error {
		for _, name := range flags {
			if !cmd.Flags().Changed(name) {
				return misused(cmd, "expected --"+name+", got none")
			}
		}
		return nil
	}
}

// filled refuses a flag that was given an empty value, as an unset variable leaves it:
// it would pass for one that was left out, and what it demands would not be demanded.
func filled(cmd *cobra.Command) (err error) {
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if err == nil && f.Value.String() == "" {
			err = misused(cmd, "expected a value of --"+f.Name+", got an empty one: leave the flag out, or set what it is made of")
		}
	})
	return err
}

// misused is an error of whoever wrote the command line.
func misused(cmd *cobra.Command, what string) error {
	return fmt.Errorf("%s; usage: %s", what, cmd.UseLine())
}

// misflagged is misused for a flag that is none, or has no such value. Of a group, the
// word before the flag is what was mistyped: cobra took no command for the flag's.
func misflagged(cmd *cobra.Command, err error) error {
	if words := cmd.Flags().Args(); cmd.HasSubCommands() && len(words) > 0 {
		return oneOf(cmd.Commands())(cmd, words)
	}
	hint := ""
	if unknown, ok := errors.AsType[*pflag.NotExistError](err); ok && unknown.GetSpecifiedShortnames() == "" {
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, "--"+f.Name) })
		hint = bundle.DidYouMean("--"+unknown.GetSpecifiedName(), names)
	}
	return misused(cmd, err.Error()+hint)
}

// group returns a command that has only others below it.
func group(name, short string, commands ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: name, Short: short}
	below(cmd, commands...)
	return cmd
}

// below puts commands below cmd, which is nothing without one of them. A word that is
// none of them is an error: cobra would show help and report success.
func below(cmd *cobra.Command, commands ...*cobra.Command) {
	cmd.AddCommand(commands...)
	cmd.Args = oneOf(cmd.Commands())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
}

// oneOf refuses every argument: what is below a group was looked for by cobra, and
// not found.
func oneOf(commands []*cobra.Command) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		var names []string
		for _, c := range commands {
			if c.IsAvailableCommand() { // cobra's own are not
				names = append(names, c.Name())
			}
		}
		return fmt.Errorf("unknown command %q for %q: expected one of %s%s", args[0], cmd.CommandPath(), strings.Join(names, ", "), bundle.DidYouMean(args[0], names))
	}
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), versionText())
			return err
		},
	}
}
