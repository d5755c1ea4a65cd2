package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"mintmark/broker/audit"
	"mintmark/broker/bundle"
)

// mostNames bounds what is remembered of a log's names to suggest one of: agents
// choose those of tools.
const mostNames = 10_000

// sought is a value that a query asked for, and what the log has in its place.
type sought struct {
	what, value string
	of          func(*audit.Record) string
	found       bool
	names       map[string]bool
}

// sayNone says of a query that found nothing how much was looked at, and which of its
// values no record has at all: a slip of the pen must not read as "it never happened".
func (q *query) sayNone() {
	values := q.sought()
	records := 0
	for r, err := range audit.Query(q.log, audit.Filter{}) {
		if err != nil { // it was named when the query came by
			continue
		}
		records++
		for _, s := range values {
			s.see(&r)
		}
	}
	fmt.Fprintf(q.errOut, "mintmark: none of the %d records of this log matched\n", records)
	for _, s := range values {
		if !s.found && records > 0 {
			names := slices.Sorted(maps.Keys(s.names))
			fmt.Fprintf(q.errOut, "mintmark: no record at all has the %s %q%s\n", s.what, s.value, bundle.DidYouMean(s.value, names))
		}
	}
}

// sought returns what the query wants by name.
func (q *query) sought() (values []*sought) {
	for _, s := range []*sought{
		{what: "agent", value: q.filter.Agent, of: (*audit.Record).About},
		{what: "upstream", value: q.filter.Upstream, of: func(r *audit.Record) string { return r.Upstream }},
		{what: "tool", value: q.filter.Tool, of: func(r *audit.Record) string { return r.Tool }},
		{what: "credential", value: q.filter.Credential, of: q.credential},
		{what: "provider", value: q.filter.Provider, of: func(r *audit.Record) string { return r.Provider }},
		{what: "step", value: q.filter.Step, of: func(r *audit.Record) string { return r.Step }},
	} {
		if s.value != "" {
			s.names = map[string]bool{}
			values = append(values, s)
		}
	}
	return values
}

// credential returns the credential of r in the form in which the query names one.
func (q *query) credential(r *audit.Record) string {
	if strings.Contains(q.filter.Credential, "/") {
		return credential(r)
	}
	return r.Credential
}

func (s *sought) see(r *audit.Record) {
	name := s.of(r)
	s.found = s.found || name == s.value
	if name != "" && len(s.names) < mostNames {
		s.names[name] = true
	}
}
