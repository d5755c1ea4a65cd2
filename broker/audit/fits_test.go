package audit_test

import (
	"encoding/json"
	"strings"
	"testing"

	"mintmark/broker/audit"
)

// A handle is revoked by what its record says: what fits is read back as it was, and
// nothing else is.
func TestWhatFitsIsOnRecordAsItIs(t *testing.T) {
	for s, want := range map[string]bool{
		"":                                true,
		"database/creds/reader/abc":       true,
		"\"\\\n\x00\x7f\u202e…[truncated": true, // escaped, and the same once it is read
		"\ufffd":                          true,
		strings.Repeat("h", 1024):         true,
		strings.Repeat("é", 512):          true,
		strings.Repeat("\n", 1024):        true, // bytes of it, not of the line
		strings.Repeat("h", 1025):         false,
		strings.Repeat("é", 512) + "h":    false,
		"h\xff":                           false,
		"\xed\xa0\x80":                    false, // half of a surrogate pair
	} {
		var back audit.Record
		if err := json.Unmarshal(encoded(&audit.Record{Lease: s}), &back); err != nil {
			t.Fatal(err)
		}
		if got := audit.Fits(s); got != want || (back.Lease == s) != want {
			t.Errorf("%.20q of %d bytes: got fits %t, and read back the same %t, want %t", s, len(s), got, back.Lease == s, want)
		}
	}
}
