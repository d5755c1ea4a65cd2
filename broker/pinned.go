package broker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"

	"mintmark/broker/audit"
	"mintmark/broker/bundle"
	"mintmark/broker/pins"
	"mintmark/injector/mcp"
	"mintmark/internal/fault"
)

// openPins opens what the broker remembers of tools.
func (b *Broker) openPins(c bundle.Config) (err error) {
	b.pins, err = pins.Open(string(c.State), b.clock)
	return err
}

// registerTools puts the registered definitions in force, and so on disk: the last
// thing before the bundle is, and after its record, since one that is refused for
// anything else, or is not on record, must not have changed what tools are held to.
func (b *Broker) registerTools(c bundle.Config) error {
	registered := map[string]map[string]string{}
	for name, u := range c.Upstreams {
		if len(u.ToolDigests) > 0 {
			registered[name] = u.ToolDigests
		}
	}
	if len(registered) == 0 {
		return nil
	}
	if err := b.pins.Register(registered); err != nil {
		return fmt.Errorf("put tool_digests in force: %w", err)
	}
	return nil
}

// longestTool is longer than any tool's name that a call may have.
const longestTool = 4 << 10

var errTwoDefinitions = errors.New("one tool with two definitions in the answer to a batch")

// observe holds the tools that a message lists against what they said of
// themselves before, and puts on record what is new. It returns the digests of
// their definitions, by name.
func (b *Broker) observe(c *call, message []byte) (digests map[string]string, err error) {
	digests = map[string]string{}
	texts := map[string][]byte{}
	var unread error
	_, err = mcp.FilterLists(message, func(e mcp.Entry) bool {
		if e.Method == "tools/call" && len(e.Name) <= longestTool {
			digest, err := mcp.Definition(e.Raw)
			if before, ok := digests[e.Name]; ok && before != digest { // in another message of the same batch
				err = cmp.Or(err, errTwoDefinitions)
			}
			unread = cmp.Or(unread, err)
			digests[e.Name], texts[e.Name] = digest, e.Raw
		}
		return true
	})
	if err = cmp.Or(err, unread); err != nil || len(digests) == 0 {
		return nil, err
	}
	verdicts, err := b.pins.Observe(c.name, digests)
	if err != nil {
		b.logger.ErrorContext(c.ctx, "the tools seen are not kept", slog.String("upstream", c.name), slog.Any("err", err))
	}
	b.recordApprovals()
	for _, tool := range slices.Sorted(maps.Keys(verdicts)) {
		b.recordTool(c, tool, digests[tool], texts[tool], verdicts[tool])
	}
	return digests, nil
}

// recordTool puts on record that a tool is new, or not what it was, and the
// digests of its parts, by which "mintmark upstream tools" tells what changed.
func (b *Broker) recordTool(c *call, tool, digest string, text []byte, v pins.Verdict) {
	if v != pins.First && v != pins.Changed && v != pins.Restored {
		return
	}
	rec := &audit.Record{Kind: audit.Admin, Call: c.id, Upstream: c.name, Tool: tool, Reason: "definition sha256:" + digest}
	if parts, err := mcp.DefinitionParts(text); err == nil { // it was read before
		rec.Reason += " (" + parts + ")"
	}
	switch v {
	case pins.First:
		rec.Event = "tool_seen"
	case pins.Changed:
		rec.Event = "tool_changed"
		approve := approval(c.snap.bundle.Dir, c.name, tool, digest)
		rec.Reason += "; to approve it: " + approve
		b.logger.WarnContext(context.WithoutCancel(c.ctx), "a tool is not what it was",
			slog.String("upstream", c.name), slog.String("tool", tool), slog.Bool("refused", c.upstream.holds), slog.String("approve", approve), slog.String("as", b.approver))
	case pins.Restored:
		rec.Event = "tool_restored"
	}
	b.recordSkipped(c.name)
	b.log.Write(rec)
}

// recordSkipped puts on record how many changes of an upstream's tools have no
// record of their own.
func (b *Broker) recordSkipped(upstream string) {
	if n := b.pins.Skipped(upstream); n > 0 {
		b.log.Write(&audit.Record{Kind: audit.Admin, Event: "tools_skipped", Upstream: upstream, Count: n,
			Reason: "changes of tools that keep changing and have no record of their own"})
	}
}

// closePins writes and puts on record what was left for later.
func (b *Broker) closePins() error {
	if b.pins == nil {
		return nil
	}
	for _, upstream := range b.pins.Restless() {
		b.recordSkipped(upstream)
	}
	return b.pins.Flush()
}

// recordApprovals puts on record what an operator approved, and says where that
// can't be read.
func (b *Broker) recordApprovals() {
	if err := b.pins.Unread(); err != nil {
		b.logger.ErrorContext(context.Background(), "the tools approved can't be read: what was in force stays so", slog.String("as", b.approver), slog.Any("err", err))
	}
	for _, a := range b.pins.Approvals() {
		b.log.Write(&audit.Record{Kind: audit.Admin, Event: "tool_approved", Upstream: a.Upstream, Tool: a.Tool, Reason: "definition sha256:" + a.Digest})
	}
}

// pinned refuses the call of a tool whose definition changed, where the upstream
// is held to it. digest is the definition that a list is about to show, or "".
func (b *Broker) pinned(c *call, m *mcp.Message, digest string) error {
	if m.TargetOf != mcp.Tool || !c.upstream.holds {
		return nil
	}
	pending := b.pins.Pending(c.name, m.Target, digest)
	b.recordApprovals()
	if !pending {
		return nil
	}
	return fault.Wrap("decide", fault.Denied, "what this tool says of itself has changed: its calls are refused until an operator of the broker has looked and approved",
		errors.New(b.approvalOf(c, m.Target)))
}

// approvalOf says what an operator does about a tool that is pending.
func (b *Broker) approvalOf(c *call, tool string) string {
	digest := b.pins.Tool(c.name, tool).Changed
	if digest == "" { // it changed again, too soon after to be kept
		return fmt.Sprintf("look at it with: mintmark upstream tools --dir %s %s", shellQuoted(c.snap.bundle.Dir), c.name)
	}
	return "approve it, as " + b.approver + ", with: " + approval(c.snap.bundle.Dir, c.name, tool, digest)
}
