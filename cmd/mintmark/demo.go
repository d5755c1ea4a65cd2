package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"mintmark/cmd/mintmark/demo"
)

func demoCommand() *cobra.Command {
	o := demo.Options{Kinds: kinds()}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show the whole at work, with nothing installed and no account",
		Long: `Demo starts a trust domain, a token issuer, an MCP server that refuses calls
without its credential, a broker and an agent (a real MCP client) in one process,
talking over real sockets, and lets the agent make calls: allowed, denied by
policy, denied because its scan report turned bad, and forged. It shows the audit
trail of all of them and verifies it. Then it keeps serving, and prints how to
call it and which policies to change. It leaves nothing behind.`,
		Example: "  mintmark demo\n  mintmark demo --once --json | tail -1",
		Args:    none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGHUP) // its terminal was closed
			defer stop()
			signal.Ignore(syscall.SIGPIPE) // who reads may stop: that is an error of one write, and not the end of the process
			ctx, end := context.WithCancelCause(ctx)
			defer end(nil)
			o.Out = outlet{cmd.OutOrStdout(), end}
			err := demo.Run(ctx, o)
			if errors.Is(context.Cause(ctx), syscall.EPIPE) {
				return fmt.Errorf("the demo is read no further: %w", cmp.Or(err, context.Cause(ctx)))
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&o.Once, "once", false, "exit after the calls instead of serving on")
	cmd.Flags().BoolVar(&o.JSON, "json", false, "print the counts as one JSON line at the end")
	cmd.Flags().BoolVar(&o.Verbose, "verbose", false, "show the broker's log")
	return cmd
}

// outlet is where the demo is shown. It ends the demo where nobody reads on.
type outlet struct {
	io.Writer
	gone context.CancelCauseFunc
}

// Write implements io.Writer.
func (o outlet) Write(p []byte) (int, error) {
	n, err := o.Writer.Write(p)
	if err != nil {
		o.gone(err)
	}
	return n, err
}
