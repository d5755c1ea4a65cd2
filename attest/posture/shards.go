package posture

import (
	"hash/maphash"
	"maps"
	"slices"
	"sync/atomic"
)

// shardCount bounds how much one change copies.
const shardCount = 256

// shards hold the facts by subject. Reading takes no lock: each shard is an
// immutable map that a writer replaces. Writers are ordered by the caller.
type shards struct {
	seed maphash.Seed
	all  *[shardCount]atomic.Pointer[map[string][]Fact]
}

func newShards() shards {
	return shards{seed: maphash.MakeSeed(), all: &[shardCount]atomic.Pointer[map[string][]Fact]{}}
}

func (s shards) shard(subject string) *atomic.Pointer[map[string][]Fact] {
	return &s.all[maphash.String(s.seed, subject)%shardCount]
}

// get returns the facts about subject, sorted by name. The result is read only.
func (s shards) get(subject string) []Fact {
	if m := s.shard(subject).Load(); m != nil {
		return (*m)[subject]
	}
	return nil
}

// put replaces or adds f.
func (s shards) put(f Fact) {
	list := append(without(s.get(f.Subject), f.Name), f)
	slices.SortFunc(list, byName)
	s.replace(f.Subject, slices.Clip(list))
}

// remove takes away the fact of f's subject and name.
func (s shards) remove(f Fact) { s.replace(f.Subject, without(s.get(f.Subject), f.Name)) }

func without(list []Fact, name string) []Fact {
	return slices.DeleteFunc(slices.Clone(list), func(f Fact) bool { return f.Name == name })
}

func (s shards) replace(subject string, list []Fact) {
	at := s.shard(subject)
	next := map[string][]Fact{}
	if old := at.Load(); old != nil {
		next = maps.Clone(*old)
	}
	if len(list) == 0 {
		delete(next, subject)
	} else {
		next[subject] = list
	}
	at.Store(&next)
}
