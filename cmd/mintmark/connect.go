package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"mintmark/broker/bundle"
	"mintmark/cmd/mintmark/connect"
)

func connectCommand() *cobra.Command {
	var o connect.Options
	var level string
	longest := bundle.Size(4 << 20)
	cmd := &cobra.Command{
		Use:   "connect [UPSTREAM]",
		Short: "Be an MCP server for a client on this machine, by way of a broker",
		Long: `Connect is an MCP server over standard input and output, for clients that start
their servers as programs. It carries every message to a broker and back. The
client's configuration holds no secret; a desktop client's looks like this:

  {"mcpServers": {"orders": {
    "command": "mintmark",
    "args": ["connect", "orders", "--broker", "https://broker.example.org:8443"],
    "env": {"SPIFFE_ENDPOINT_SOCKET": "unix:///run/spire/agent.sock"}
  }}}

or, where both settings are in the environment already:

  {"mcpServers":{"orders":{"command":"mintmark","args":["connect","orders"]}}}

UPSTREAM is a name under "upstreams" in the broker's mintmark.yaml: its messages
go to /mcp/UPSTREAM, and without one to /mcp.

Who calls is what the SPIFFE Workload API says this program is, so register it
there: by its path and the user who runs it. To a broker at https:// it shows
its X.509-SVID, and demands the broker's: --broker-id, or any in its own trust
domain. Where the broker has a Web PKI certificate, --ca names the file with its
CAs. To a broker at unix:// it shows a JWT-SVID for --audience.

A call that comes to no answer is answered with an error that says why. When the
server ends the session the program exits with 1, and the client starts another.

Only MCP messages go to stdout; the log goes to stderr, one JSON object a line.`,
		Example: `  mintmark connect orders --broker https://broker.example.org:8443
  MINTMARK_BROKER=unix:///run/mintmark/agents.sock mintmark connect orders`,
		Args: between(0, 1, "the name of an upstream, or no argument"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if o.Logger, err = newLogger(cmd, level); err != nil {
				return err
			}
			if len(args) > 0 {
				if args[0] == "" {
					return fmt.Errorf(`connect: expected the name of an upstream, or no argument, got ""`)
				}
				o.Upstream = args[0]
			}
			o.In, o.Out, o.MaxMessage = cmd.InOrStdin(), cmd.OutOrStdout(), int64(longest)
			signal.Ignore(syscall.SIGPIPE) // a client that is gone is an error of a write, after which the session is ended
			return connect.Run(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Broker, "broker", os.Getenv("MINTMARK_BROKER"), "https://HOST:PORT, or unix:///PATH of a plaintext listener (env MINTMARK_BROKER)")
	f.StringVar(&o.WorkloadAPI, "workload-api", os.Getenv("SPIFFE_ENDPOINT_SOCKET"), "SPIFFE Workload API, unix:///PATH (env SPIFFE_ENDPOINT_SOCKET)")
	f.StringVar(&o.BrokerID, "broker-id", "", "SPIFFE ID that the broker must have (default any in this program's trust domain)")
	f.StringVar(&o.CA, "ca", "", "PEM file with the CAs of a broker that has a Web PKI certificate")
	f.StringVar(&o.Audience, "audience", "mintmark", "audience of the JWT-SVID, as the broker's jwt-svid attestor has it")
	f.TextVar(&longest, "max-message", longest, "`size` of the longest message of the client, such as 64KiB")
	f.StringVar(&level, "log-level", "warn", "debug, info, warn or error")
	return cmd
}
