package main

import "testing"

func TestPercentFor(t *testing.T) {
	for live, want := range map[uint64]int{0: 1600, 1 << 20: 1600, 4 << 20: 1600, 8 << 20: 800, 16 << 20: 400, 64 << 20: 100, 65 << 20: 100, 1 << 40: 100} {
		if got := percentFor(live); got != want {
			t.Errorf("got %d percent of %d bytes, want %d", got, live, want)
		}
	}
}
