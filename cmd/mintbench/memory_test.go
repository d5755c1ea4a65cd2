package main

import "testing"

// TestMemoryReadsEachLineOnce: a shorter way round would be in the caches after its first.
func TestMemoryReadsEachLineOnce(t *testing.T) {
	m, seen := newMemory(), map[uint32]bool{}
	for !seen[m.at] {
		seen[m.at] = true
		m.at = m.next[m.at]
	}
	if len(seen) != memoryBytes/memoryLine {
		t.Errorf("got a way round of %d lines, want %d", len(seen), memoryBytes/memoryLine)
	}
	if ns := m.read(); ns <= 0 {
		t.Errorf("got %f ns for a read, want some", ns)
	}
}
