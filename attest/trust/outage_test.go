package trust

import (
	"slices"
	"testing"
	"time"
)

// What fails every few seconds for a day is told of some thirty times, soonest at first.
func TestOutagesAreToldOfEverMoreRarely(t *testing.T) {
	start := time.Date(2026, 6, 10, 12, 0, 0, 0, time.UTC)
	for name, tt := range map[string]struct {
		o     outage
		every time.Duration
		want  []time.Duration // the first times
		all   int             // in a day
	}{
		"an outage": {outage{}, 5 * time.Second, []time.Duration{0, time.Minute, 3 * time.Minute, 7 * time.Minute, 15 * time.Minute, 31 * time.Minute, 63 * time.Minute, 123 * time.Minute}, 29},
		"a wait":    {outage{first: 2 * time.Second}, 2 * time.Second, []time.Duration{0, 2 * time.Second, 6 * time.Second, 14 * time.Second, 30 * time.Second}, 34},
	} {
		var got []time.Duration
		for at := time.Duration(0); at < 24*time.Hour; at += tt.every {
			if tt.o.due(start.Add(at)) {
				got = append(got, at)
			}
		}
		if len(got) != tt.all || !slices.Equal(got[:len(tt.want)], tt.want) {
			t.Errorf("%s: told of %d times, first at %v; want %d times, first at %v", name, len(got), got[:min(len(got), len(tt.want))], tt.all, tt.want)
		}
	}
}
