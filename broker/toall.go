package broker

import (
	"sync"
	"time"

	"mintmark/injector"
)

// So many credentials that are still good an upstream may have, as many as the pool
// holds leases, and so many of them may be of one agent's own: one that ends its
// sessions again and again has one minted each time, and a JWT is good until its end
// though it was revoked. Past that its own calls are refused, and nobody else's.
const (
	mostToAll   = 1 << 16
	mostOfAgent = mostToAll / 16
)

// toAll are the credentials that an upstream got and that are still good, whichever
// workloads they served: a server may show one caller what it got from another. One
// that serves many workloads is in it once.
type toAll struct {
	needles *injector.Needles
	mu      sync.RWMutex
	kept    map[string]gift  // by fingerprint
	own     map[workload]int // how many of them are an agent's own
	swept   time.Time        // of what is over, when there was no room
}

// room is the bound that leaves none for one more, as a metric has it.
type room string

const (
	hasRoom     room = ""
	fullOfAgent room = "agent"
	full        room = "all"
)

// has returns one as it is kept, if it is.
func (a *toAll) has(one gift) (kept gift, ok bool) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	kept, ok = a.kept[one.credential.Fingerprint()]
	return kept, ok && kept.credential == one.credential
}

// add has the answers to all searched for one, and returns it as it is kept: of a
// secret that is leased anew, as a stored key is, there is one. Where there is no room
// it does neither.
func (a *toAll) add(one gift, clock func() time.Time) (gift, room) {
	now := clock()
	if a.clears(one.of, now) {
		a.sweep(now)
	}
	return a.put(one.credential.Fingerprint(), one, now)
}

// put is add where there was a sweep. One is kept until the last end of its leases.
func (a *toAll) put(name string, one gift, now time.Time) (gift, room) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if kept, ok := a.kept[name]; ok {
		if kept.over(now) || one.end().After(kept.end()) {
			kept.credential = one.credential
			kept.secrets.Named(one.credential.ID())
			a.kept[name] = kept
		}
		return kept, hasRoom
	}
	if r := a.roomFor(one.of); r != hasRoom {
		return gift{}, r
	}
	if a.kept == nil {
		a.kept, a.own = make(map[string]gift), make(map[workload]int)
	}
	one.secrets.Named(one.credential.ID())
	a.kept[name] = one
	if one.of != (workload{}) {
		a.own[one.of]++
	}
	a.needles.Add(one.secrets)
	return one, hasRoom
}

// roomFor returns what room there is for one more of an agent's own, or of nobody's.
// The caller holds mu.
func (a *toAll) roomFor(agent workload) room {
	switch {
	case a.own[agent] >= mostOfAgent:
		return fullOfAgent
	case len(a.kept) >= mostToAll:
		return full
	default:
		return hasRoom
	}
}

// clears reports whether there is no room for agent, and so rarely that it is worth a
// sweep.
func (a *toAll) clears(agent workload, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.roomFor(agent) == hasRoom || now.Sub(a.swept) < time.Second {
		return false
	}
	a.swept = now
	return true
}

// sweep lets go of what is over, and returns the earliest end of what is left, and
// zero where nothing ends.
func (a *toAll) sweep(now time.Time) (next time.Time) {
	over, next := a.over(now)
	for _, g := range over { // one by one, so that no answer waits for all
		a.letGo(g)
	}
	return next
}

// letGo ends the search for g, unless a call of the same credential has asked for it
// since it was over.
func (a *toAll) letGo(g gift) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if kept, ok := a.kept[g.credential.Fingerprint()]; !ok || kept.secrets != g.secrets {
		a.needles.Remove(g.secrets)
	}
}

func (a *toAll) over(now time.Time) (over []gift, next time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for name, g := range a.kept {
		if g.over(now) {
			a.drop(name, g)
			over = append(over, g)
		} else if end := g.end(); next.IsZero() || !end.IsZero() && end.Before(next) {
			next = end
		}
	}
	return over, next
}

// drop forgets g. The caller holds mu.
func (a *toAll) drop(name string, g gift) {
	delete(a.kept, name)
	if g.of == (workload{}) {
		return
	}
	if a.own[g.of]--; a.own[g.of] == 0 {
		delete(a.own, g.of)
	}
}
