package follow_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The kernel keeps so many notices and no more. What it drops is made up for,
// and the watch goes on.
func TestNoticesThatWereDropped(t *testing.T) {
	content, err := os.ReadFile("/proc/sys/fs/inotify/max_queued_events")
	if err != nil {
		t.Fatal(err)
	}
	var kept int
	if _, err := fmt.Sscan(string(content), &kept); err != nil {
		t.Fatal(err)
	}
	s := newSite(t, never)
	s.write("a", "")
	names := [2]string{filepath.Join(s.dir, "a"), filepath.Join(s.dir, "b")}
	for i := range kept + 10_000 { // two notices each, and a reader's buffer of them is not in the queue
		if err := os.Rename(names[i%2], names[1-i%2]); err != nil {
			t.Fatal(err)
		}
	}
	before := s.broker.Digest()
	s.write("policies.cedar", "forbid (principal, action, resource);") // of which there is no notice any more
	s.follow()
	s.awaitOther(before)
	await(t, "the warning", func() bool { return strings.Contains(s.logged.String(), "watch disturbed") })

	before = s.broker.Digest()
	s.write("policies.cedar", "")
	s.awaitOther(before)
}
