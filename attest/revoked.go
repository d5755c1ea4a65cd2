package attest

import (
	"maps"
	"sync"
	"sync/atomic"
)

// revoked is a set that is read by every call and hardly ever written: each
// change replaces the whole map. The zero set is empty.
type revoked struct {
	mu  sync.Mutex // held by writers
	set atomic.Pointer[map[string]struct{}]
}

func (r *revoked) has(what string) bool {
	set := r.set.Load()
	if set == nil {
		return false
	}
	_, ok := (*set)[what]
	return ok
}

func (r *revoked) add(what string) {
	r.change(func(set map[string]struct{}) { set[what] = struct{}{} })
}

func (r *revoked) remove(what string) {
	r.change(func(set map[string]struct{}) { delete(set, what) })
}

func (r *revoked) change(f func(map[string]struct{})) {
	r.mu.Lock()
	defer r.mu.Unlock()
	next := map[string]struct{}{}
	if set := r.set.Load(); set != nil {
		next = maps.Clone(*set)
	}
	f(next)
	r.set.Store(&next)
}
