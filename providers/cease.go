package providers

import (
	"context"

	"mintmark/internal/fault"
)

// Cease ends every lease, as Drop does, and mints no more: the registrations are in force
// no longer. A call that still asks is refused. The caller closes the Pool later.
func (p *Pool) Cease(ctx context.Context) {
	p.ceased.Store(true)
	for name := range p.registrations {
		p.Drop(ctx, name)
	}
}

// ended returns why nothing is minted any more, or nil.
func (p *Pool) ended() error {
	switch {
	case p.ctx.Err() != nil:
		return errClosing()
	case p.ceased.Load():
		return fault.New("lease", fault.Unavailable, "what is registered has changed since the call began; call again")
	}
	return nil
}

func errClosing() error { return fault.New("lease", fault.Unavailable, "the broker is shutting down") }
