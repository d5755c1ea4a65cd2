package providers

import (
	"context"
	"log/slog"

	"mintmark/broker/audit"
)

// HandOver has next, which comes in p's place, Adopt what Close left. What next can't end, as
// no provider is registered there by that name, or one of another system, p goes on to end
// by its own, for as long as the process lasts; PoolOptions.Late counts it.
func (p *Pool) HandOver(ctx context.Context, next *Pool) {
	var handed, kept []audit.Record
	for _, r := range p.Left() {
		if p.endsAlone(r, next) {
			kept = append(kept, r)
			continue
		}
		handed = append(handed, r)
	}
	next.Adopt(ctx, handed)
	p.goOn(ctx, kept)
}

// endsAlone reports whether p can end what r is of, and next can't.
func (p *Pool) endsAlone(r audit.Record, next *Pool) bool {
	mine, others := p.orphaned(r), next.orphaned(r)
	return mine.payable() && mine.elsewhere == "" && (!others.payable() || others.reg.issuer() != mine.reg.issuer())
}

// goOn ends what Close left, as Adopt would were p not closed.
func (p *Pool) goOn(ctx context.Context, left []audit.Record) {
	leases, logins := p.owedFor(left)
	if len(leases)+len(logins) == 0 {
		return
	}
	p.logger.LogAttrs(ctx, slog.LevelWarn, "no provider is registered now that can end what one before made; that one goes on", slog.Int("count", len(leases)+len(logins)))
	p.payAfter(leases, logins)
}
