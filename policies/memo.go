package policies

import (
	"hash/maphash"
	"sync/atomic"
)

// memoSlots bounds how much one memo remembers, ownSlots how much of that for one
// agent, and maxMemo how long a name in it may be: an agent chooses names.
const (
	memoSlots = 8192
	ownSlots  = 256
	maxMemo   = 1024
)

// memo remembers what was built for a key, in as many slots. A key has two that
// it may lie in, and replaces what is there when both are taken. It never changes an answer, because a
// slot says whole which key it is for.
//
// Where keys have owners, both are among ownSlots that an owner shares with few
// others: what it asks for pushes out little of what is remembered of the rest.
type memo[K comparable, V any] struct {
	seed  maphash.Seed
	owner func(K) string // nil: none has one
	slots *[memoSlots]atomic.Pointer[remembered[K, V]]
}

type remembered[K comparable, V any] struct {
	key   K
	value V
}

func newMemo[K comparable, V any](owner func(K) string) memo[K, V] {
	return memo[K, V]{seed: maphash.MakeSeed(), owner: owner, slots: &[memoSlots]atomic.Pointer[remembered[K, V]]{}}
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
	for _, slot := range m.places(key) {
		if r := slot.Load(); r != nil && r.key == key {
			return r.value, true
		}
	}
	return v, false
}

// keep remembers the value for key.
func (m memo[K, V]) keep(key K, value V) {
	r, places := &remembered[K, V]{key, value}, m.places(key)
	if old := places[0].Load(); old == nil || old.key == key || !places[1].CompareAndSwap(nil, r) {
		places[0].Store(r)
	}
}

func (m memo[K, V]) places(key K) [2]*atomic.Pointer[remembered[K, V]] {
	h := maphash.Comparable(m.seed, key)
	first, of := uint64(0), uint64(memoSlots)
	if m.owner != nil {
		of = ownSlots
		first = maphash.String(m.seed, m.owner(key)) % (memoSlots / ownSlots) * ownSlots
	}
	return [...]*atomic.Pointer[remembered[K, V]]{&m.slots[first+h%of], &m.slots[first+h>>32%of]}
}
