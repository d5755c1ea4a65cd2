package main

import (
	"testing"
	"time"

	"mintmark/broker/audit"
)

// A cell is quoted where it could be taken for another, and nowhere else.
func TestCellsAreQuotedWhereTheyMustBe(t *testing.T) {
	for _, c := range []struct{ tool, wantTool, reason, wantReason string }{
		{"lookup", "lookup", `"tools/call" on tool "pay": no policy permits it`, `"\"tools/call\" on tool \"pay\": no policy permits it"`},
		{"", "-", `agent may not "tools/call" now`, `agent may not "tools/call" now`},
		{"look up", `"look up"`, "no café here", "no café here"},
		{`"lookup"`, `"\"lookup\""`, "two\nlines", `"two\nlines"`},
		{"lookup\u202e", `"lookup\u202e"`, "", "-"},
		{"\xff", `"\xff"`, "tab\there", `"tab\there"`},
	} {
		cells := row(audit.Record{Time: time.Unix(0, 0).UTC(), Kind: audit.Decision, Tool: c.tool, Reason: c.reason})
		if cells[6] != c.wantTool || cells[len(cells)-1] != c.wantReason {
			t.Errorf("%q, %q: got %s and %s, want %s and %s", c.tool, c.reason, cells[6], cells[len(cells)-1], c.wantTool, c.wantReason)
		}
	}
}
