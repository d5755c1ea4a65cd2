package audit_test

import (
	"testing"

	"mintmark/broker/audit"
)

// What the process before left is looked at when it is gone, and not while it may write
// more.
func TestTheLogIsLookedAtOnceNobodyElseHasIt(t *testing.T) {
	dir := t.TempDir()
	first := mustOpen(t, audit.Options{Directory: dir})
	looks, found := 0, 0
	o := audit.Options{Directory: dir, SigningKey: testKey(), Before: func() {
		looks++
		for _, err := range audit.Query(dir, audit.Filter{}) {
			if err != nil {
				t.Error(err)
			}
			found++
		}
	}}
	if l, err := audit.Open(o); err == nil || looks != 0 {
		t.Fatalf("while another has it: got %v, %v and %d looks", l, err, looks)
	}
	mustAppend(t, first, &audit.Record{Kind: audit.Issuance, Event: "mint"})
	mustClose(t, first)
	second, err := audit.Open(o)
	if err != nil || looks != 1 || found != 1 {
		t.Fatalf("got %v, %d looks and %d records, want the one of before", err, looks, found)
	}
	mustClose(t, second)
}
