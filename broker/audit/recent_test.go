package audit_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"mintmark/broker/audit"
)

// agedLog writes a closed log of n records, a minute apart, in small segments.
// Every third is an issuance.
func agedLog(t *testing.T, n int) string {
	t.Helper()
	dir, now := t.TempDir(), time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	l := mustOpen(t, audit.Options{Directory: dir, SegmentSize: 2 << 10, Clock: func() time.Time { return now }})
	for i := range n {
		kind := audit.Decision
		if i%3 == 0 {
			kind = audit.Issuance
		}
		mustAppend(t, l, &audit.Record{Kind: kind, Event: "mint", Count: int64(i)})
		now = now.Add(time.Minute)
	}
	mustClose(t, l)
	return dir
}

func recent(t *testing.T, dir string, within time.Duration, f audit.Filter) (counts []int64) {
	t.Helper()
	for r, err := range audit.Recent(dir, within, f) {
		if err != nil {
			t.Fatal(err)
		}
		counts = append(counts, r.Count)
	}
	return counts
}

func TestRecentIsTheLastPartOfTheLog(t *testing.T) {
	const n = 300
	dir := agedLog(t, n)
	for within, want := range map[time.Duration]int{0: 1, 10 * time.Minute: 11, 3 * time.Hour: 181, 100 * time.Hour: n} {
		got := recent(t, dir, within, audit.Filter{})
		if len(got) != want || got[0] != int64(n-want) || got[want-1] != n-1 {
			t.Errorf("%v: got %d records, want the last %d", within, len(got), want)
		}
	}
	if got := recent(t, dir, 10*time.Minute, audit.Filter{Kind: audit.Issuance}); len(got) != 3 {
		t.Errorf("issuance: got %v, want the three of the last ten minutes", got)
	}
}

// What is older is not read: a log of any size costs what its last part does.
func TestRecentReadsNoOldSegment(t *testing.T) {
	dir := agedLog(t, 300)
	segments, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil || len(segments) < 10 {
		t.Fatalf("got %d segments, %v, want a log of many", len(segments), err)
	}
	for _, old := range segments[:len(segments)/2] {
		if err := os.Remove(old); err != nil {
			t.Fatal(err)
		}
	}
	if got := recent(t, dir, 10*time.Minute, audit.Filter{}); len(got) != 11 {
		t.Errorf("got %d records, want the last 11", len(got))
	}
}

func TestRecentOfNoLog(t *testing.T) {
	if got := recent(t, filepath.Join(t.TempDir(), "none"), time.Hour, audit.Filter{}); len(got) != 0 {
		t.Errorf("no directory: got %v", got)
	}
	if got := recent(t, t.TempDir(), time.Hour, audit.Filter{}); len(got) != 0 {
		t.Errorf("empty directory: got %v", got)
	}
}

// A process that was killed may leave half a line, and begins no new one.
func TestRecentOfATornLog(t *testing.T) {
	dir := agedLog(t, 30)
	segments, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil {
		t.Fatal(err)
	}
	last := segments[len(segments)-1]
	content := readFile(t, last)
	if err := os.WriteFile(last, append(content, content[:40]...), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := recent(t, dir, 5*time.Minute, audit.Filter{}); len(got) != 6 {
		t.Errorf("got %d records, want the last 6 whole ones", len(got))
	}
}
