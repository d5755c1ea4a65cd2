package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"mintmark/broker/audit"
	"mintmark/broker/pins"
	"mintmark/injector/mcp"
)

// showTools prints what is remembered of an upstream's tools, with the parts of
// their definitions by digest.
func showTools(out io.Writer, tools map[string]pins.Pin, parts map[string]string) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "TOOL\tIN FORCE\tSINCE\tCHANGED TO\tDIFFERS IN")
	for _, name := range slices.Sorted(maps.Keys(tools)) {
		pin := tools[name]
		differs := ""
		if before, after := parts[pin.Digest], parts[pin.Changed]; before != "" && after != "" {
			differs = strings.Join(mcp.ChangedParts(before, after), ", ")
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", printable(name), pin.Digest, pin.Since.Format(time.RFC3339), cmp.Or(pin.Changed, "-"), cmp.Or(differs, "-"))
	}
	return table.Flush()
}

// partsOnRecord returns the parts of the definitions of an upstream's tools, by
// digest, as far as the record has them: it may be archived, or not be readable
// here.
func partsOnRecord(log, upstream string) map[string]string {
	definition := regexp.MustCompile(`^definition sha256:([0-9a-f]{64}) \(([^)]*)\)`)
	parts := map[string]string{}
	for r, err := range audit.Query(log, audit.Filter{Kind: audit.Admin, Upstream: upstream}) {
		if err != nil {
			continue
		}
		if m := definition.FindStringSubmatch(r.Reason); m != nil {
			parts[m[1]] = m[2]
		}
	}
	return parts
}
