package main

import (
	"fmt"
	"testing"
	"time"
)

// What a target does before a load is in no figure. A quick run has time for it only before
// the loads that are counted by the second.
func TestATargetIsRousedBeforeWhatCounts(t *testing.T) {
	for _, c := range []struct {
		quick  bool
		load   string
		roused bool
	}{
		{false, closedLoop, true},
		{false, single, true},
		{true, closedLoop, true},
		{true, single, false},
	} {
		t.Run(fmt.Sprintf("quick=%v/%s", c.quick, c.load), func(t *testing.T) {
			w := startUpstream(t)
			target := w.caller((&world{}).tool(), "good")
			b := &bench{o: options{quick: c.quick, duration: 60 * time.Millisecond, concurrency: 2}, results: results{}}
			if err := b.once(t.Context(), target, c.load); err != nil {
				t.Fatal(err)
			}
			series := b.results[key{direct, c.load}]
			if len(series) != 1 {
				t.Fatalf("got %d results, want 1", len(series))
			}
			if before := target.Numbers.Count() - series[0].Answered; before > 0 != c.roused {
				t.Errorf("got %d calls before what counts", before)
			}
		})
	}
}
