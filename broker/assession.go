package broker

import "mintmark/internal/fault"

// asSession serves an agent that speaks the revisions with sessions on an
// upstream that is stateless.
func (b *Broker) asSession(*call) error {
	return fault.New("forward", fault.Invalid, "this upstream speaks MCP 2026-07-28 only, and the call an earlier revision")
}
