package attest

import (
	"crypto/sha256"
	"sync"
	"time"
)

// failed remembers for a moment what proved nothing, so that a stranger who
// shows the same evidence again and again costs one verification a second. It is
// bounded: what is new when it is full takes the place of all.
type failed struct {
	mu      sync.Mutex
	entries map[uint64]failure
}

type failure struct {
	digest     [sha256.Size]byte
	member     uint64
	generation uint64
	until      time.Time
	err        error
}

const (
	failedFor  = time.Second
	mostFailed = 4096
)

// get returns why the evidence proved nothing a moment ago, or nil.
func (f *failed) get(digest [sha256.Size]byte, member, generation uint64, now time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	e, ok := f.entries[key(digest, member)]
	if !ok || e.digest != digest || e.member != member || e.generation != generation || !now.Before(e.until) {
		return nil
	}
	return e.err
}

func (f *failed) put(digest [sha256.Size]byte, member, generation uint64, err error, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.entries == nil || len(f.entries) >= mostFailed {
		f.entries = make(map[uint64]failure)
	}
	f.entries[key(digest, member)] = failure{digest, member, generation, now.Add(failedFor), err}
}
