package broker

import (
	"fmt"
	"net/http"

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

// longestClient is how long what a client says of itself may be: it comes back in
// a header with each request.
const longestClient = 1 << 10

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
	client, err := mcp.ClientName(c.body)
	if err != nil {
		return err
	}
	if n := len(client.JSON()); n > longestClient {
		return fault.New("receive", fault.Invalid, fmt.Sprintf("expected clientInfo with a name, title and version of at most %d bytes, got %d", longestClient, n))
	}
	revision := mcp.SessionRevision(c.msg.Initialize)
	if _, err := b.permitting(c); err != nil {
		return err
	}
	c.w.Header().Set(mcp.HeaderSession, b.sessions.seal(string(client.JSON()), mergedUpstream, c.identity))
	return b.mergedLocal(c, http.StatusOK, mcp.Success(c.msg.ID, mcp.Object{}.
		With("protocolVersion", mcp.Quote(revision)).
		With("capabilities", mergedCapabilities()).
		With("serverInfo", mergedServer()).
		With("instructions", mcp.Quote(mergedInstructions)).JSON()))
}

// mergedSession returns the client whose session c is in.
func (b *Broker) mergedSession(c *call) (mcp.Object, error) {
	handle := c.handle()
	if handle == "" {
		return nil, fault.New("receive", fault.Invalid, "expected the header Mcp-Session-Id of a session with /mcp, got none; initialize one")
	}
	client, err := b.sessions.open(handle, mergedUpstream, c.identity)
	if err != nil {
		return nil, err
	}
	return mcp.CutObject([]byte(client))
}

// sessionKey names the session of c, where it has one: the same handle opens for
// one workload only.
func (c *call) sessionKey() string { return digestOf([]byte(c.handle())) }

// errLeft ends a request that its agent no longer wants.
var errLeft = fault.New("answer", fault.Unavailable, "the agent cancelled the request")

// underWay lets the agent cancel c by its id until the returned func is called.
// Without a session a request is cancelled by leaving it. It refuses an id that
// is in use: a cancellation could not tell the two apart.
func (b *Broker) underWay(c *call) (leave func(), err error) {
	if c.era() == eraStateless {
		return func() {}, nil
	}
	key := runningKey(c, c.msg.ID)
	m := &b.merged
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.running == nil {
		m.running = make(map[string]*call)
	}
	if m.running[key] != nil {
		return nil, fault.New("receive", fault.Invalid, "expected an id that no other request under way in this session has")
	}
	m.running[key] = c
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.running, key)
	}, nil
}

// cancelMerged ends the request that a notification names. Without a session
// there is none to name: leaving a request cancels it.
func (b *Broker) cancelMerged(c *call) {
	o, err := mcp.CutObject(c.body)
	if err != nil || c.era() == eraStateless {
		return
	}
	params, err := mcp.CutObject(o.Get("params"))
	if err != nil {
		return
	}
	b.merged.mu.Lock()
	defer b.merged.mu.Unlock()
	if running := b.merged.running[runningKey(c, params.Get("requestId"))]; running != nil {
		running.end(errLeft)
	}
}

// runningKey names a request of an agent's session.
func runningKey(c *call, id []byte) string { return c.sessionKey() + mcp.IDKey(id) }
