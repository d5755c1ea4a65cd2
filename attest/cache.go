package attest

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/dgraph-io/ristretto/v2"
)

// cacheSize is how many pieces of evidence are kept. One agent shows one or
// two at a time.
const cacheSize = 1 << 14

// cache keeps verified evidence. Only what was proven gets in, so a stranger
// cannot fill it; its admission policy keeps an agent with many tokens from
// pushing out the others.
type cache struct {
	entries *ristretto.Cache[uint64, *entry]
	maxAge  time.Duration
}

// entry is one proof with all that it hangs on.
type entry struct {
	digest     [sha256.Size]byte
	member     uint64
	generation uint64
	until      time.Time
	identity   Identity
}

func newCache(maxAge time.Duration) (*cache, error) {
	entries, err := ristretto.NewCache(&ristretto.Config[uint64, *entry]{
		NumCounters:        10 * cacheSize,
		MaxCost:            cacheSize,
		BufferItems:        64,
		IgnoreInternalCost: true,
		// A digest is uniform already. Two that share their first bytes take
		// each other's place, no more: get compares all of it.
		KeyToHash: func(k uint64) (uint64, uint64) { return k, 0 },
	})
	if err != nil {
		return nil, fmt.Errorf("make evidence cache: %w", err)
	}
	return &cache{entries: entries, maxAge: maxAge}, nil
}

func (c *cache) get(digest [sha256.Size]byte, member uint64, generation uint64, now time.Time) (Identity, bool) {
	e, ok := c.entries.Get(key(digest, member))
	if !ok || e.digest != digest || e.member != member || e.generation != generation || !now.Before(e.until) {
		return Identity{}, false
	}
	return e.identity, true
}

func (c *cache) put(digest [sha256.Size]byte, member uint64, generation uint64, id Identity, now time.Time) {
	until := now.Add(c.maxAge)
	if id.Expires().Before(until) {
		until = id.Expires()
	}
	e := &entry{digest: digest, member: member, generation: generation, until: until, identity: id}
	c.entries.SetWithTTL(key(digest, member), e, 1, until.Sub(now))
}

func (c *cache) close() { c.entries.Close() }

// key tells the members apart too, so that two that judge one piece of
// evidence do not take each other's place.
func key(digest [sha256.Size]byte, member uint64) uint64 {
	return binary.LittleEndian.Uint64(digest[:8]) + member
}
