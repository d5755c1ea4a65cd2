package broker

import (
	"slices"
	"time"
)

// soonest is how far apart the credentials that have ended are let go of.
const soonest = time.Minute

// ends has what is kept of a credential let go of soon after its end, also when no
// agent calls any more. The caller holds g.mu.
func (g *given) ends(end time.Time, clock func() time.Time) {
	if end.IsZero() || !g.wakes.IsZero() && !end.Before(g.wakes) {
		return
	}
	now := clock()
	// Soon enough; and what ends at once must not put it off time and again.
	if !g.wakes.IsZero() && g.wakes.Sub(now) <= soonest {
		return
	}
	if g.timer != nil {
		g.timer.Stop()
	}
	in := max(end.Sub(now), soonest)
	g.wakes = now.Add(in)
	g.timer = time.AfterFunc(in+time.Second, func() { g.sweep(clock) }) // over is after the end
}

// letGo has what is kept of credentials let go of soon, after one was revoked.
func (b *Broker) letGo() {
	if snap := b.current.Load(); snap != nil {
		for _, u := range snap.upstreams {
			u.given.soon(b.clock)
		}
	}
}

// soon has what is over by now let go of, within soonest.
func (g *given) soon(clock func() time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ends(clock(), clock)
}

// sweep lets go of the credentials that are over. The workloads stay, with nothing:
// an answer under way may look there for what comes next.
func (g *given) sweep(clock func() time.Time) {
	g.mu.Lock()
	g.wakes = time.Time{} // what comes from now on wakes for itself
	g.mu.Unlock()
	now := clock()
	next := g.all.sweep(now)
	g.mu.Lock()
	defer g.mu.Unlock()
	for e := g.used.Front(); e != nil; e = e.Next() {
		if end := e.Value.(*gifts).sweep(now); next.IsZero() || !end.IsZero() && end.Before(next) {
			next = end
		}
	}
	g.ends(next, clock)
}

// sweep returns the earliest end of what is left, and zero where nothing ends.
func (to *gifts) sweep(now time.Time) (next time.Time) {
	to.mu.Lock()
	defer to.mu.Unlock()
	to.late = slices.DeleteFunc(to.late, func(g gift) bool { return g.over(now) })
	for _, g := range to.late {
		if end := g.end(); next.IsZero() || !end.IsZero() && end.Before(next) {
			next = end
		}
	}
	return next
}
