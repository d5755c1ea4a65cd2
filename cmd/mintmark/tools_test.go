package main

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"mintmark/broker/audit"
	"mintmark/broker/pins"
)

// What differs is told where the record has both definitions, whatever else it
// has.
func TestToolsSaysWhatDiffers(t *testing.T) {
	dir := t.TempDir()
	key, _, err := audit.LoadOrCreateKey(filepath.Join(dir, "signing.key"))
	if err != nil {
		t.Fatal(err)
	}
	log, err := audit.Open(audit.Options{Directory: dir, SigningKey: key})
	if err != nil {
		t.Fatal(err)
	}
	a, b, c := strings.Repeat("a", 64), strings.Repeat("b", 64), strings.Repeat("c", 64)
	for reason, upstream := range map[string]string{
		"definition sha256:" + a + " (name 01, description 02, inputSchema 03)":                          "orders",
		"definition sha256:" + b + " (name 01, description 12, annotations 04); to approve it: mintmark": "orders",
		"definition sha256:" + c + " (name 01)":                                                          "payroll",
		"something else":                                                                                 "orders",
	} {
		if _, err := log.Append(t.Context(), &audit.Record{Kind: audit.Admin, Event: "tool_changed", Upstream: upstream, Tool: "lookup", Reason: reason}); err != nil {
			t.Fatal(err)
		}
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	tools := map[string]pins.Pin{"lookup": {Digest: a, Changed: b, Since: time.Unix(0, 0)}, "refund": {Digest: a, Changed: c}, "cancel": {Digest: a}}
	if err := showTools(&out, tools, partsOnRecord(dir, "orders")); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`lookup +a+ +\S+ +b+ +description, inputSchema, annotations`, `refund +a+ +\S+ +c+ +-`, `cancel +a+ +\S+ +- +-`} {
		if !regexp.MustCompile(`(?m)^` + want + `$`).MatchString(out.String()) {
			t.Errorf("got %q, want a line %s", out.String(), want)
		}
	}
	if got := partsOnRecord(filepath.Join(dir, "nowhere"), "orders"); len(got) != 0 {
		t.Errorf("without a record: got %v, want nothing", got)
	}
}
