package policies

import (
	"hash/maphash"
	"sync/atomic"
)

// memoSlots bounds how much one memo remembers, and maxMemo how long a name in
// it may be: an agent chooses names.
const (
	memoSlots = 512
	maxMemo   = 1024
)

// memo remembers what was built for a key, in as many slots; a key that falls
// on a taken slot replaces what is there. It never changes an answer, because a
// slot says whole which key it is for.
type memo[K comparable, V any] struct {
	seed  maphash.Seed
	slots *[memoSlots]atomic.Pointer[remembered[K, V]]
}

type remembered[K comparable, V any] struct {
	key   K
	value V
}

func newMemo[K comparable, V any]() memo[K, V] {
	return memo[K, V]{seed: maphash.MakeSeed(), slots: &[memoSlots]atomic.Pointer[remembered[K, V]]{}}
}

// get returns what build makes of key. The value is shared and read only.
func (m memo[K, V]) get(key K, build func(K) V) V {
	slot := &m.slots[maphash.Comparable(m.seed, key)%memoSlots]
	if r := slot.Load(); r != nil && r.key == key {
		return r.value
	}
	r := &remembered[K, V]{key, build(key)}
	slot.Store(r)
	return r.value
}
