package providers

import (
	"context"
	"sync"
)

// Close ends every mint and every lease, revokes the leases that can be revoked, and logs
// out of the systems that it knows the logins of. It waits until ctx ends, or ten seconds,
// and a moment for what that cuts short, and returns an error that says how many leases it
// could not revoke. What a provider that ignores its context delivers after that is revoked
// all the same, for as long as the process lasts. It is idempotent.
func (p *Pool) Close(ctx context.Context) error { return p.close(ctx) }

func (p *Pool) closeOnce() func(context.Context) error {
	var once sync.Once
	var err error
	return func(ctx context.Context) error {
		once.Do(func() { err = p.shut(ctx) })
		return err
	}
}

func (p *Pool) shut(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, defaultClosing)
	defer cancel()
	p.mu.Lock() // no flight departs between the two
	p.cancel()
	p.mu.Unlock()
	landing, cancel := context.WithTimeout(ctx, lateMints)
	defer cancel()
	wait(landing, &p.work)
	for _, l := range p.ledger.all() {
		p.end(l)
	}
	if p.debts.finish(ctx) { // a lease is revoked under a login, so these end last
		p.logOut(false)
	}
	p.tellUnknown(p.debts.close(ctx))
	p.logOut(true) // what is left of them is for whoever comes next
	left := p.debts.unpaid(p.clock())
	p.siblings.remove(&p.ledger)
	p.closing.Lock()
	p.closed = true
	p.closing.Unlock()
	p.cache.Close()
	return notRevoked(left)
}

// wait returns when work is done or ctx ends.
func wait(ctx context.Context, work *sync.WaitGroup) {
	done := make(chan struct{})
	go func() {
		work.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
}
