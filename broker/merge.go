package broker

import "mintmark/internal/fault"

// merge serves a call to /mcp, where all upstreams are one.
func (b *Broker) merge(*call) error {
	return fault.New("receive", fault.NotFound, "no such path; call /mcp/NAME or /http/NAME/PATH")
}
