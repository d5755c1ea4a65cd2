package main

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"mintmark/broker/bundle"
	"mintmark/broker/pins"
)

func upstreamCommand() *cobra.Command {
	return group("upstream", "See and approve what the tools of an upstream say of themselves", upstreamToolsCommand(), upstreamApproveCommand())
}

func upstreamToolsCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "tools --dir DIR UPSTREAM",
		Short: "List the tools that were seen, and which have changed",
		Long: `Tools lists what is remembered of an upstream's tools: the digest of the name,
description and schemas in force, since when, and the digest of what the tool
says of itself now, where that is another. What differs is told from the record,
where it still has both: name, title, description, inputSchema, outputSchema,
annotations.`,
		Example: "  mintmark upstream tools --dir /etc/mintmark orders",
		Args:    one("UPSTREAM"),
		RunE: func(cmd *cobra.Command, args []string) error {
			bd, p, err := pinsOf(dir, args[0])
			if err != nil {
				return err
			}
			if len(p.Tools(args[0])) == 0 {
				fmt.Fprintf(cmd.ErrOrStderr(), "mintmark: no tool of %s was seen yet: they are remembered from the lists that agents get\n", args[0])
			}
			return showTools(cmd.OutOrStdout(), p.Tools(args[0]), partsOnRecord(string(bd.Config.Audit.Directory), args[0]))
		},
	}
	dirFlag(cmd, &dir)
	return cmd
}

func upstreamApproveCommand() *cobra.Command {
	var (
		dir, digest string
		all         bool
	)
	cmd := &cobra.Command{
		Use:   "approve --dir DIR UPSTREAM {TOOL... | TOOL --digest DIGEST | --all}",
		Short: "Put the changed definitions of tools in force",
		Long: `Approve puts what tools say of themselves now in force, in place of what they
said when they were first seen. Where tool_changes is "refuse", the broker
shows and calls them again at once, without a restart. The broker records it.

Look at the tool first: a server that rewrites the description of a tool can
make an agent do something else than was agreed to. By name or with --all, what
the tools say at this moment is approved, and printed. With --digest, which
"mintmark upstream tools" lists and the record of the change has, approve does
nothing if the server has changed the tool again since you looked: prefer it.

Run it as the broker's user, or as root: what it writes stays the broker's.`,
		Example: `  mintmark upstream approve --dir /etc/mintmark orders lookup_order --digest DIGEST
  mintmark upstream approve --dir /etc/mintmark orders lookup_order
  mintmark upstream approve --dir /etc/mintmark orders --all`,
		Args: between(1, math.MaxInt, "UPSTREAM"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if named := len(args) > 1; all == named {
				got := "neither"
				if named {
					got = "both"
				}
				return fmt.Errorf("expected either the names of tools or --all, got %s; see: mintmark upstream tools", got)
			}
			if cmd.Flags().Changed("digest") && len(args) != 2 {
				return errors.New("expected one tool with --digest; see: mintmark upstream tools")
			}
			bd, p, err := pinsOf(dir, args[0])
			if err != nil {
				return err
			}
			approved := args[1:]
			if cmd.Flags().Changed("digest") {
				err = p.ApproveOnly(args[0], args[1], digest)
			} else {
				approved, err = p.Approve(args[0], args[1:]...)
			}
			if unseen, ok := errors.AsType[*pins.NotSeen](err); ok {
				return fmt.Errorf("%w%s", err, bundle.DidYouMean(unseen.Tool, slices.Sorted(maps.Keys(p.Tools(args[0])))))
			}
			if err != nil {
				return asOwner(err, string(bd.Config.State))
			}
			sayApproved(cmd, p, args[0], approved)
			return nil
		},
	}
	dirFlag(cmd, &dir)
	cmd.Flags().StringVar(&digest, "digest", "", "approve this definition of the tool and no other: its whole digest")
	cmd.Flags().BoolVar(&all, "all", false, "approve every tool that has changed")
	return cmd
}

// sayApproved says which definitions are in force now.
func sayApproved(cmd *cobra.Command, p *pins.Pins, upstream string, approved []string) {
	for _, tool := range approved {
		fmt.Fprintf(cmd.OutOrStdout(), "%s/%s: approved, in force is %s\n", upstream, printable(tool), p.Tool(upstream, tool).Digest)
	}
	if len(approved) == 0 {
		fmt.Fprintf(cmd.OutOrStdout(), "%s: no tool among these has changed\n", upstream)
		return
	}
	if !cmd.Flags().Changed("digest") {
		fmt.Fprintln(cmd.ErrOrStderr(), "mintmark: approved as they were just now: with --digest only the definition that was looked at is")
	}
}

func dirFlag(cmd *cobra.Command, dir *string) {
	cmd.Flags().StringVar(dir, "dir", "", "the directory with mintmark.yaml (required)")
	required(cmd, "dir")
}

// pinsOf opens what is remembered of the tools of a registered upstream.
func pinsOf(dir, upstream string) (*bundle.Bundle, *pins.Pins, error) {
	bd, _, err := load(dir)
	if err != nil {
		return nil, nil, err
	}
	if u, ok := bd.Config.Upstreams[upstream]; !ok || u.Kind != "mcp" {
		return nil, nil, fmt.Errorf("expected a registered upstream of kind mcp, got %q; registered: %v%s", upstream, ofMCP(bd), bundle.DidYouMean(upstream, ofMCP(bd)))
	}
	p, err := pins.Open(string(bd.Config.State), time.Now)
	return bd, p, asOwner(err, string(bd.Config.State))
}

// ofMCP returns the names of the upstreams that have tools.
func ofMCP(bd *bundle.Bundle) []string {
	var names []string
	for name, u := range bd.Config.Upstreams {
		if u.Kind == "mcp" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
