package main

import (
	"testing"
	"time"
)

// What a target does before a load is in no figure; in a quick run it does nothing.
func TestATargetIsRousedBeforeWhatCounts(t *testing.T) {
	for name, quick := range map[string]bool{"whole": false, "quick": true} {
		t.Run(name, func(t *testing.T) {
			w := startUpstream(t)
			target := w.caller((&world{}).tool(), "good")
			b := &bench{o: options{quick: quick, duration: 60 * time.Millisecond, concurrency: 2}, results: results{}}
			if err := b.once(t.Context(), target, single); err != nil {
				t.Fatal(err)
			}
			series := b.results[key{direct, single}]
			if len(series) != 1 {
				t.Fatalf("got %d results, want 1", len(series))
			}
			if before := target.Numbers.Count() - series[0].Answered; before > 0 == quick {
				t.Errorf("got %d calls before what counts", before)
			}
		})
	}
}
