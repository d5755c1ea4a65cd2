package bundle_test

import (
	"encoding"
	"fmt"
	"testing"

	"mintmark/broker/bundle"
)

func TestValues(t *testing.T) {
	type value interface {
		encoding.TextUnmarshaler
		fmt.Stringer
	}
	for _, tt := range []struct {
		into      value
		text      string
		want      string // "": refused
		canonical bool   // String gives back text
	}{
		{new(bundle.Size), "512", "512", true},
		{new(bundle.Size), "64KiB", "64KiB", true},
		{new(bundle.Size), "1024KiB", "1MiB", false},
		{new(bundle.Size), "3GiB", "3GiB", true},
		{new(bundle.Size), "0", "", false},
		{new(bundle.Size), "-1", "", false},
		{new(bundle.Size), "+1", "", false},
		{new(bundle.Size), "1.5MiB", "", false},
		{new(bundle.Size), "4MB", "", false},
		{new(bundle.Size), "MiB", "", false},
		{new(bundle.Size), "8589934592GiB", "", false},
		{new(bundle.Size), "9223372036854775808", "", false},
		{new(bundle.Duration), "1h30m0s", "1h30m0s", true},
		{new(bundle.Duration), "90m", "1h30m0s", false},
		{new(bundle.Duration), "0s", "", false},
		{new(bundle.Duration), "-1s", "", false},
		{new(bundle.Duration), "30", "", false},
		{new(bundle.Date), "2026-02-28", "2026-02-28", true},
		{new(bundle.Date), "2026-02-30", "", false},
		{new(bundle.Date), "2026-2-3", "", false},
		{new(bundle.Date), "2026-02-28T00:00:00Z", "", false},
		{new(bundle.Date), "", "", false},
		{new(bundle.Zone), "Europe/Berlin", "Europe/Berlin", true},
		{new(bundle.Zone), "UTC", "UTC", true},
		{new(bundle.Zone), "Local", "", false},
		{new(bundle.Zone), "", "", false},
		{new(bundle.Zone), "../etc/passwd", "", false},
		{new(bundle.URL), "https://a.example/b/", "https://a.example/b/", true},
		{new(bundle.URL), "https://a.example:8443", "https://a.example:8443", true},
		{new(bundle.URL), "HTTPS://a.example", "https://a.example", false},
		{new(bundle.URL), "https://a.example//", "", false},
		{new(bundle.URL), `https://a.example/\b`, "", false},
		{new(bundle.URL), "https://a.example/%2e%2e/b", "", false},
		{new(bundle.Path), "a/b", "a/b", true},
		{new(bundle.Path), "", "", false},
		{new(bundle.Path), "a\x00b", "", false},
	} {
		err := tt.into.UnmarshalText([]byte(tt.text))
		if (err != nil) != (tt.want == "") {
			t.Errorf("%T %q: got error %v, want %q", tt.into, tt.text, err, tt.want)
		}
		if err == nil && tt.into.String() != tt.want {
			t.Errorf("%T %q: got %s, want %s", tt.into, tt.text, tt.into, tt.want)
		}
		if tt.canonical && tt.into.String() != tt.text {
			t.Errorf("%T %q: does not come back: %s", tt.into, tt.text, tt.into)
		}
	}
}

// Whatever is suggested as a time zone is one.
func TestZonesThatAreSuggestedAreKnown(t *testing.T) {
	names := bundle.Zones()
	if len(names) < 300 {
		t.Errorf("got %d names, want all of tzdata's table", len(names))
	}
	for _, name := range names {
		if err := new(bundle.Zone).UnmarshalText([]byte(name)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
