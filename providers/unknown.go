package providers

import (
	"context"
	"sync"
	"time"

	"mintmark/broker/audit"
	"mintmark/internal/fault"
)

// tellUnknown puts on record of which debts nobody knows whether they are paid, and waits
// for that no longer than a second: the log may be what hangs.
func (p *Pool) tellUnknown(untold []*debt) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	var told sync.WaitGroup
	told.Go(func() {
		for _, d := range untold {
			p.repeat(func() *audit.Record { return p.unknown(d) })
		}
	})
	wait(ctx, &told)
}

// unknown returns the record that says that nobody knows whether d has ended, or nil if that
// is known now.
func (p *Pool) unknown(d *debt) *audit.Record {
	if d.over {
		return nil
	}
	next := d.byItself()
	if d.traceable() {
		next = "the next start tries again, or the provider that took the place of this one"
	}
	err := fault.New(d.record.Event, fault.Unavailable, "its system had not answered when the provider was closed, and whether it has ended is not known: "+next)
	r := d.failed()
	r.Bundle, r.Fault, r.Reason = p.bundle(), fault.KindOf(err).String(), err.Error()
	return r
}
