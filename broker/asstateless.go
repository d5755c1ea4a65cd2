package broker

import "mintmark/internal/fault"

// asStateless serves an agent that speaks the stateless revision on an upstream
// with sessions.
func (b *Broker) asStateless(*call) error {
	return fault.New("forward", fault.Invalid, "this upstream speaks MCP revisions before 2026-07-28 only")
}
