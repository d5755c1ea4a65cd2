package broker

import (
	"sync"
	"time"

	"mintmark/injector"
)

// mostToAll is how many credentials that are still good an upstream may have: as many
// as the pool holds leases.
const mostToAll = 1 << 16

// toAll are the credentials that an upstream got and that are still good, whichever
// workloads they served: a server may show one caller what it got from another. One
// that serves many workloads is in it once.
type toAll struct {
	needles *injector.Needles
	mu      sync.RWMutex
	kept    map[string]gift // by fingerprint
	swept   time.Time       // of what is over, when there was no room
}

// add has the answers to all searched for one, and returns it as it is kept: of a
// secret that is leased anew, as a stored key is, there is one. It returns false where
// there was no room.
func (a *toAll) add(one gift, clock func() time.Time) (kept gift, ok bool) {
	name := one.credential.Fingerprint()
	a.mu.RLock()
	kept, ok = a.kept[name]
	a.mu.RUnlock()
	if ok && kept.credential == one.credential {
		return kept, true
	}
	now := clock()
	if a.clears(now) {
		a.sweep(now)
	}
	return a.put(name, one, now)
}

// put is add where one may be new. It is kept until the last end of its leases.
func (a *toAll) put(name string, one gift, now time.Time) (kept gift, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if kept, ok = a.kept[name]; ok {
		if kept.over(now) || one.end().After(kept.end()) {
			kept.credential = one.credential
			a.kept[name] = kept
		}
		return kept, true
	}
	if len(a.kept) >= mostToAll {
		return gift{}, false
	}
	if a.kept == nil {
		a.kept = make(map[string]gift)
	}
	a.kept[name] = one
	a.needles.Add(one.secrets)
	return one, true
}

// clears reports whether a is full, and so rarely that it is worth a sweep.
func (a *toAll) clears(now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.kept) < mostToAll || now.Sub(a.swept) < time.Second {
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
		a.needles.Remove(g.secrets)
	}
	return next
}

func (a *toAll) over(now time.Time) (over []gift, next time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for name, g := range a.kept {
		if g.over(now) {
			delete(a.kept, name)
			over = append(over, g)
		} else if end := g.end(); next.IsZero() || !end.IsZero() && end.Before(next) {
			next = end
		}
	}
	return over, next
}

// whose returns the id of the credential that has these secrets, or "".
func (a *toAll) whose(secrets *injector.Secrets) string {
	a.mu.RLock()
	defer a.mu.RUnlock()
	for _, g := range a.kept {
		if g.secrets == secrets {
			return g.credential.ID()
		}
	}
	return ""
}
