package main

import (
	"math/rand/v2"
	"time"
)

// What is read from memory to see how fast it is: as much as Mintmark lets garbage
// grow, so that little of it is in a processor's own caches.
const (
	memoryBytes = 64 << 20
	memoryLine  = 64 // bytes that a processor reads at once
	memoryReads = 200_000
)

// memory tells how long the machine takes to read from memory that is not near. Where it
// is shared with other machines that changes by the minute, and the figures of what needs
// much memory with it.
type memory struct {
	next []uint32 // one in each line: where the next read is
	at   uint32
}

func newMemory() *memory {
	const apart = memoryLine / 4
	m := &memory{next: make([]uint32, memoryBytes/4)}
	order := rand.New(rand.NewPCG(1, 2)).Perm(memoryBytes / memoryLine) //nolint:gosec // an order, no secret
	for i, line := range order {
		m.next[line*apart] = uint32(order[(i+1)%len(order)] * apart) //nolint:gosec // below 2^24
	}
	return m
}

// read returns the nanoseconds that one read took, of many of which each says where the
// next one is.
func (m *memory) read() float64 {
	start := time.Now()
	for range memoryReads {
		m.at = m.next[m.at]
	}
	return float64(time.Since(start).Nanoseconds()) / memoryReads
}
