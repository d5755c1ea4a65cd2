package posture_test

import (
	"testing"
	"time"

	"mintmark/attest/posture"
)

func TestFreshAt(t *testing.T) {
	now := time.Date(2026, 6, 10, 12, 0, 0, 0, time.UTC)
	for _, tc := range []struct {
		name  string
		age   time.Duration
		value string
		fresh bool
	}{
		{"new", 0, "pass", true},
		{"failing is fresh too", 0, "fail", true},
		{"as old as allowed", time.Hour, "pass", true},
		{"a nanosecond older", time.Hour + 1, "pass", false},
		{"a minute ahead", -time.Minute, "pass", true},
		{"further ahead", -time.Minute - 1, "pass", false},
		{"without a value", 0, "", false},
	} {
		f := posture.Fact{Value: tc.value, ObservedAt: now.Add(-tc.age), MaxAge: time.Hour}
		if got := f.FreshAt(now); got != tc.fresh {
			t.Errorf("%s: got %v, want %v", tc.name, got, tc.fresh)
		}
		if got := f.Age(now); got != max(0, tc.age) {
			t.Errorf("%s: age %s", tc.name, got)
		}
	}
	if (posture.Fact{}).FreshAt(time.Time{}) {
		t.Error("the zero Fact is fresh")
	}
}
