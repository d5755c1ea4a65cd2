package providers

import (
	"context"
	"log/slog"

	"mintmark/internal/fault"
)

// Drop ends every lease of the named provider, or the one lease with the given
// id, and returns how many it ended. They are unusable when Drop returns, and
// revoked at their system soon after; a mint under way is ended as it lands.
func (p *Pool) Drop(ctx context.Context, providerOrCredential string) int {
	reg := p.registrations[providerOrCredential]
	if reg != nil {
		reg.generation.Add(1)
		p.forget(reg)
	}
	n := 0
	for _, l := range p.ledger.all() {
		if l.reg == reg || l.credential.ID() == providerOrCredential {
			p.end(l)
			n++
		}
	}
	p.logger.LogAttrs(ctx, slog.LevelInfo, "leases dropped", slog.String("target", providerOrCredential), slog.Int("count", n))
	return n
}

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
