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
	if v, ok := m.find(key); ok {
		return v
	}
	v := build(key)
	m.keep(key, v)
	return v
}

// find returns what was kept for key, if it still is.
func (m memo[K, V]) find(key K) (v V, ok bool) {
	if r := m.slot(key).Load(); r != nil && r.key == key {
		return r.value, true
	}
	return v, false
}

// keep remembers the value for key.
func (m memo[K, V]) keep(key K, value V) { m.slot(key).Store(&remembered[K, V]{key, value}) }

func (m memo[K, V]) slot(key K) *atomic.Pointer[remembered[K, V]] {
	return &m.slots[maphash.Comparable(m.seed, key)%memoSlots]
}
