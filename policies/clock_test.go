package policies_test

import (
	"fmt"
	"testing"
	"time"

	"mintmark/policies"
)

// shows reports whether the named clock shows what is wanted at the instant,
// in the only way there is to ask: by a policy.
func shows(t *testing.T, set *policies.Set, at time.Time) bool {
	t.Helper()
	r := toolCall()
	r.Now = at
	return set.Decide(r).Allow
}

func TestWallClocks(t *testing.T) {
	for _, tc := range []struct {
		name, zone, utc, weekday, date string
		hour, minute                   int64
	}{
		{"summer", "berlin", "2026-06-10T12:00:00Z", "wednesday", "2026-06-10", 14, 0},
		{"last second before clocks go forward", "berlin", "2026-03-29T00:59:59Z", "sunday", "2026-03-29", 1, 59},
		{"clocks go forward: two o'clock is three", "berlin", "2026-03-29T01:00:00Z", "sunday", "2026-03-29", 3, 0},
		{"first half past two", "berlin", "2026-10-25T00:30:00Z", "sunday", "2026-10-25", 2, 30},
		{"last second before clocks go back", "berlin", "2026-10-25T00:59:59Z", "sunday", "2026-10-25", 2, 59},
		{"clocks go back: two o'clock again", "berlin", "2026-10-25T01:00:00Z", "sunday", "2026-10-25", 2, 0},
		{"second half past two", "berlin", "2026-10-25T01:30:00Z", "sunday", "2026-10-25", 2, 30},
		{"before midnight", "berlin", "2026-06-12T21:59:59Z", "friday", "2026-06-12", 23, 59},
		{"midnight", "berlin", "2026-06-12T22:00:00Z", "saturday", "2026-06-13", 0, 0},
		{"the same instant in UTC", "utc", "2026-06-12T22:00:00Z", "friday", "2026-06-12", 22, 0},
		{"the same instant in Kolkata", "kolkata", "2026-06-12T22:00:00Z", "saturday", "2026-06-13", 3, 30},
		{"half-hour midnight", "kolkata", "2026-06-12T18:30:00Z", "saturday", "2026-06-13", 0, 0},
		{"before half-hour midnight", "kolkata", "2026-06-12T18:29:59Z", "friday", "2026-06-12", 23, 59},
		{"new year in Kolkata", "kolkata", "2026-12-31T18:30:00Z", "friday", "2027-01-01", 0, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			at, err := time.Parse(time.RFC3339, tc.utc)
			if err != nil {
				t.Fatal(err)
			}
			set := compile(t, fmt.Sprintf(`permit (principal, action, resource) when {
				context.clock.%s == {"weekday": %q, "hour": %d, "minute": %d, "minute_of_day": %d, "date": %q} };`,
				tc.zone, tc.weekday, tc.hour, tc.minute, 60*tc.hour+tc.minute, tc.date))
			if !shows(t, set, at) {
				t.Errorf("%s at %s: want %s %s %02d:%02d", tc.zone, tc.utc, tc.weekday, tc.date, tc.hour, tc.minute)
			}
			// Wherever the caller's time comes from, it is the same instant.
			if !shows(t, set, at.In(zone(t, "Pacific/Auckland"))) {
				t.Errorf("%s at %s, given in another zone: differs", tc.zone, tc.utc)
			}
		})
	}
}

// TestClockIsNotRemembered asks one Set about instants in an order that would
// show a stale reading.
func TestClockIsNotRemembered(t *testing.T) {
	odd := time.FixedZone("odd", 30) // a minute here begins at second 30 of UTC
	o := options(t)
	o.Clocks["odd"] = odd
	set, err := policies.Compile([]policies.File{{Name: "p.cedar", Content: []byte(`
permit (principal, action, resource) when { context.clock.odd.minute == 0 && context.clock.berlin.minute == 0 };`)}}, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, second := range []int{0, 29, 30, 59, 60, 29, 60, 0, 30, 15} {
		at := noon.Add(time.Duration(second) * time.Second)
		if got, want := shows(t, set, at), second < 30; got != want {
			t.Errorf("second %d: got %v, want %v", second, got, want)
		}
	}
}
