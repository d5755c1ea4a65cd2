package broker

import (
	"encoding/base64"

	"mintmark/attest"
	"mintmark/injector/mcp"
	"mintmark/internal/fault"
)

// bridged is a session that an agent has with the broker alone, because the
// upstream has none. The broker keeps no table of them: the handle holds all
// there is of it.
type bridged struct {
	client mcp.Client
	digest string // what records and requests under way know it by
}

// bridgedLabel keeps the handles of bridged sessions apart from those of an
// upstream's own: neither opens as the other.
const bridgedLabel = "\xffbridged\xff"

// sealBridged returns the handle of a bridged session for one workload.
func (s *sessions) sealBridged(client mcp.Client, upstream string, owner attest.Identity) string {
	bound := append([]byte(bridgedLabel), binding(upstream, owner)...)
	return base64.RawURLEncoding.EncodeToString(s.aead.Seal(nil, nil, client.JSON(), bound)) //nolint:gosec // this AEAD makes its own random nonce
}

// giveBridged gives the agent of c a session with the broker alone.
func (b *Broker) giveBridged(c *call, client mcp.Client, upstream string) {
	handle := b.sessions.sealBridged(client, upstream, c.identity)
	b.inUse.begins(c, sessionDigest(handle))
	c.w.Header().Set(mcp.HeaderSession, handle)
}

// takeBridged has c go on with the bridged session behind handle, if it is one.
func (b *Broker) takeBridged(c *call, handle, upstream string) {
	if c.bridged = b.sessions.openBridged(handle, upstream, c.identity); c.bridged != nil {
		b.inUse.begins(c, c.bridged.digest)
	}
}

// openBridged returns the session behind handle, and nil for a handle that is no
// bridged session's, or not one of this workload and upstream.
func (s *sessions) openBridged(handle, upstream string, owner attest.Identity) *bridged {
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(handle)
	if err != nil || owner.IsZero() {
		return nil
	}
	text, err := s.aead.Open(nil, nil, sealed, append([]byte(bridgedLabel), binding(upstream, owner)...))
	if err != nil {
		return nil
	}
	client, err := mcp.ParseClient(text)
	if err != nil { // it was sealed here, so this does not happen
		return nil
	}
	return &bridged{client: client, digest: sessionDigest(handle)}
}

// bridges reports whether c is for the bridge from sessions to a stateless
// upstream, and opens its session. An upstream that is registered as stateless
// is always bridged. One whose era is learned is bridged for those only who
// began so, since it may speak both eras.
func (b *Broker) bridges(c *call) bool {
	registered := b.registeredEra(c)
	if c.plain || c.era() != eraSessions || registered == eraSessions {
		return false
	}
	if handle := c.handle(); handle != "" {
		b.takeBridged(c, handle, c.name)
	}
	return c.bridged != nil || registered == eraStateless
}

// errNoSession refuses a call outside a session, as servers with sessions do
// (MCP 2025-11-25, Session Management).
func errNoSession() error {
	return fault.New("receive", fault.Invalid, "expected the header Mcp-Session-Id of a session with this upstream, got none; initialize one")
}
