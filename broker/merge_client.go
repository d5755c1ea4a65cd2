package broker

import (
	"context"
	"net/http"
	"sync"

	"mintmark/injector/mcp"
	"mintmark/internal/fault"
)

// What agents learn of /mcp itself, and the sessions that they have with it. The
// broker keeps no table of these: a handle holds all there is, which is who the
// client says it is.

// mergedUpstream and mergedPage stand in the place of an upstream's name in what
// is sealed for /mcp, so that nothing that is sealed for one opens as another: no
// name has a byte like this.
const (
	mergedUpstream = "\xffmerged"
	mergedPage     = "\xffpage "
)

func mergedCapabilities() []byte {
	return []byte(`{"completions":{},"prompts":{},"resources":{},"tools":{}}`)
}

const mergedInstructions = "Tools and prompts are named SERVER__NAME, and resources mintmark+SERVER:URI, as each is one of several servers'."

func mergedServer() []byte { return []byte(`{"name":"mintmark","version":"1"}`) }

// mergedDiscovery is the result of server/discover.
func mergedDiscovery() mcp.Object {
	versions := make([][]byte, 0, 4)
	for _, v := range mcp.Versions() {
		versions = append(versions, mcp.Quote(v))
	}
	return cacheable(mcp.Object{}.
		With("supportedVersions", mcp.JoinArray(versions)).
		With("capabilities", mergedCapabilities()).
		With("instructions", mcp.Quote(mergedInstructions)).
		With("_meta", mcp.Object{}.With("io.modelcontextprotocol/serverInfo", mergedServer()).JSON()))
}

// cacheable adds what the stateless revision has on every result that could be
// kept. This one holds for one agent and may differ the next time.
func cacheable(result mcp.Object) mcp.Object {
	return result.With("resultType", mcp.Quote("complete")).With("ttlMs", []byte{'0'}).With("cacheScope", mcp.Quote("private"))
}

// beginMerged answers initialize.
func (b *Broker) beginMerged(c *call) error {
	client, err := mcp.ReadClient(c.body)
	if err != nil {
		return err
	}
	if _, err := b.permitting(c); err != nil {
		return err
	}
	b.giveBridged(c, client, mergedUpstream)
	return b.local(c, http.StatusOK, mcp.Reply(c.msg.ID, mcp.Object{}.
		With("protocolVersion", mcp.Quote(client.Revision)).
		With("capabilities", mergedCapabilities()).
		With("serverInfo", mergedServer()).
		With("instructions", mcp.Quote(mergedInstructions)).JSON()))
}

// openMerged opens the session that c is in.
func (b *Broker) openMerged(c *call) error {
	handle := c.handle()
	if handle == "" {
		return fault.New("receive", fault.Invalid, "expected the header Mcp-Session-Id of a session with /mcp, got none; initialize one, or state revision "+mcp.Stateless+" in params._meta and MCP-Protocol-Version")
	}
	if b.takeBridged(c, handle, mergedUpstream); c.bridged == nil {
		return unknownSession()
	}
	return nil
}

// endMerged ends the session of c: what is under way in it, and the sessions with
// upstreams that are held for it, as far as these agree to it in time. The handle
// itself stays good: what it opens is who the client is, and nothing else.
func (b *Broker) endMerged(c *call) error {
	if _, err := b.permitting(c); err != nil {
		return err
	}
	b.flights.end(c.bridged.digest)
	within, cancel := context.WithTimeout(c.ctx, listWithin)
	defer cancel()
	var ended sync.WaitGroup
	for name, u := range c.snap.upstreams {
		for _, h := range u.held.take(workloadOf(c.identity), c.bridged.digest) {
			ended.Go(func() {
				a := c.apart(within)
				a.name, a.upstream = name, u
				defer a.end(nil)
				defer b.caught(a) // it must not end the broker
				b.endHeld(a, h)
			})
		}
	}
	ended.Wait()
	return b.local(c, http.StatusOK, nil)
}

// mergedResponse takes a client's answer to what it was asked.
func (b *Broker) mergedResponse(c *call) error {
	if _, err := b.permitting(c); err != nil {
		return err
	}
	return b.respond(c)
}
