package injector

import (
	"strings"
	"testing"

	"mintmark/internal/wiped"
)

// What has no room where it is overwritten would be moved to where it is not.
func TestThereIsRoomForEveryForm(t *testing.T) {
	longest := 0
	for _, text := range escapedWhole([]byte(strings.Repeat(`"`, 64<<10))) {
		longest = max(longest, len(text))
	}
	for _, n := range []int{1, 511, 512, 513, longest, 8 << 20} {
		if room := wiped.Room(n); len(room) != 0 || cap(room) < n || cap(room) > max(512, 2*n) {
			t.Errorf("got %d bytes in room for %d, want it empty and for all of %d", len(room), cap(room), n)
		}
	}
}
