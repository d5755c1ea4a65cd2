package load

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// Numbers gives every call to one target its number, and remembers which calls
// were not answered as they should have been. It is safe for concurrent use.
type Numbers struct {
	run  string // 16 hex digits, the first half of the trace ids of these calls
	next atomic.Uint64

	mu    sync.Mutex
	wrong map[uint64]bool
}

// NewNumbers returns Numbers that begin at 0, of a run of their own.
func NewNumbers() *Numbers {
	var run [8]byte
	_, _ = rand.Read(run[:]) // documented never to fail
	return &Numbers{run: fmt.Sprintf("%016x", binary.BigEndian.Uint64(run[:])|1), wrong: map[uint64]bool{}}
}

func (n *Numbers) take() uint64 { return n.next.Add(1) - 1 }

func (n *Numbers) failed(number uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.wrong[number] = true
}

// Count returns how many calls were made: their numbers are all below it.
func (n *Numbers) Count() uint64 { return n.next.Load() }

// Answered reports whether the call was made and answered as it should be.
// It says so too of a call that is still under way.
func (n *Numbers) Answered(number uint64) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return number < n.next.Load() && !n.wrong[number]
}

// Of returns the number of the call with this W3C trace id, if it is one of n.
func (n *Numbers) Of(trace string) (uint64, bool) {
	rest, ok := strings.CutPrefix(trace, n.run)
	if !ok || len(rest) != 16 {
		return 0, false
	}
	number, err := strconv.ParseUint(rest, 16, 64)
	return number, err == nil && number < n.next.Load()
}
