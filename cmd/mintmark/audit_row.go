package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"mintmark/broker/audit"
)

// row is a record as a line of the table. What came from outside is quoted
// where it could forge a line or a terminal sequence.
func row(r audit.Record) []string {
	outcome := r.Event
	if r.Kind == audit.Decision {
		outcome = "deny"
		if r.Allow {
			outcome = "allow"
		}
	} else if r.Kind == audit.Outcome {
		outcome = fmt.Sprint(r.Status)
	}
	cells := []string{r.Time.Format(time.RFC3339), string(r.Kind), outcome, r.About(), r.Upstream, r.Method, r.Tool, credential(&r), strings.Join(r.Policies, ","), why(r)}
	last := len(cells) - 1
	for i, c := range cells[:last] {
		cells[i] = printable(c)
		if strings.Contains(c, " ") { // or it could pass for two cells
			cells[i] = strconv.Quote(c)
		}
	}
	cells[last] = printable(cells[last])
	return cells
}

// credential returns what the column of that name has.
func credential(r *audit.Record) string {
	if r.Provider == "" {
		return r.Credential
	}
	return r.Provider + "/" + r.Credential
}

// why returns the reason, and what there is to it: a posture record's fact, the facts
// that a denial by a policy was made on, the bundle that an operator put in force.
func why(r audit.Record) string {
	said := []string{}
	if text := reason(r); text != "" {
		said = append(said, text)
	}
	switch {
	case r.Kind == audit.Posture:
		said = append(said, facts(r.Posture))
	case r.Kind == audit.Decision && !r.Allow && len(r.Policies) > 0 && r.Step == "decide":
		said = append(said, "posture: "+facts(r.Posture))
	case r.Kind == audit.Admin && r.Bundle != "":
		said = append(said, "bundle "+r.Bundle)
	}
	return strings.Join(said, "; ")
}

// facts returns what was known of a workload. A fact that is stale, or that nobody
// states, is not on record.
func facts(known []audit.PostureFact) string {
	if len(known) == 0 {
		return "no fact that is there and not stale"
	}
	said := make([]string, len(known))
	for i, f := range known {
		said[i] = fmt.Sprintf("%s=%s, %s old, of %s", f.Name, f.Value, time.Duration(f.AgeS)*time.Second, f.Issuer)
	}
	return strings.Join(said, "; ")
}

// reason returns why, and how many of what a record counts.
func reason(r audit.Record) string {
	what := r.Reason // it says what is counted, where there is one
	switch {
	case r.Count == 0:
		return r.Reason
	case r.Event == "unsigned_tail":
		what = "records adopted without a signature"
	case r.Event == "log_gap":
		what = "records missing"
	case r.Event == "torn_tail":
		what = "bytes cut off"
	case what == "":
		what = "count"
	}
	return fmt.Sprintf("%s: %d", what, r.Count)
}

// printable returns s as it is when every character of it prints, and else
// quoted. What begins like a quoted text is quoted too, so that nobody can take
// one for the other.
func printable(s string) string {
	switch {
	case s == "":
		return "-"
	case strings.HasPrefix(s, `"`), strings.ContainsFunc(s, func(r rune) bool { return !strconv.IsPrint(r) || r == utf8.RuneError }):
		return strconv.Quote(s)
	}
	return s
}
