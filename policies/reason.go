package policies

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"mintmark/attest/posture"
)

// maxNamed bounds how much of a name or list a reason repeats.
const (
	maxNamed  = 256
	maxListed = 3
)

// refusal says what was refused and why, in words for the agent's developer.
// Names that the agent chose are quoted, so that they stay inside their quotes.
func refusal(r Request, why string) string {
	var buf [512]byte
	b := append(buf[:0], "an unproven agent"...)
	if !r.Agent.IsZero() {
		b = append(buf[:0], r.Agent.String()...)
	}
	b = strconv.AppendQuote(append(b, " may not "...), clip(r.Method))
	b = append(b, " on "...)
	if r.Target.Type != 0 {
		b = append(append(b, r.Target.Type.word()...), ' ')
		b = append(strconv.AppendQuote(b, clip(r.Target.Name)), " of "...)
	}
	b = strconv.AppendQuote(append(b, "upstream "...), clip(r.Upstream))
	return string(append(append(b, ": "...), why...))
}

func clip(s string) string {
	if len(s) <= maxNamed {
		return s
	}
	return s[:maxNamed] + "…"
}

// forbidden explains a decision by forbid policies with the given ids.
func (c *candidates) forbidden(ids []string) string {
	why := "forbidden by policy " + quoted(ids)
	for _, i := range c.at {
		p := c.policies[i]
		if p.hint != "" && slices.Contains(ids, string(p.id)) {
			why += ": " + p.hint
		}
	}
	return why
}

// unpermitted explains a decision by default: what was not there.
func (c *candidates) unpermitted(facts []posture.Fact) string {
	var near, missing, hints []string
	for _, i := range c.at {
		p := c.policies[i]
		if !p.permit {
			continue
		}
		near = append(near, string(p.id))
		if p.hint != "" {
			hints = append(hints, p.hint)
		}
		missing = append(missing, absent(p.reads.facts, facts)...)
	}
	if len(near) == 0 {
		return "no policy permits this agent to do that there"
	}
	slices.Sort(near)
	why := "no policy permits it now; the conditions were not met of policy " + quoted(near)
	if len(missing) > 0 {
		slices.Sort(missing)
		why += "; there is no fresh posture fact " + quoted(slices.Compact(missing))
	}
	return strings.Join(append([]string{why}, hints[:min(len(hints), maxListed)]...), ": ")
}

// absent returns the names that none of facts has.
func absent(names []string, facts []posture.Fact) []string {
	var out []string
	for _, n := range names {
		if !slices.ContainsFunc(facts, func(f posture.Fact) bool { return f.Name == n }) {
			out = append(out, n)
		}
	}
	return out
}

func quoted(names []string) string {
	out := make([]string, 0, maxListed+1)
	for i, n := range names {
		if i == maxListed {
			out = append(out, fmt.Sprintf("and %d more", len(names)-maxListed))
			break
		}
		out = append(out, fmt.Sprintf("%q", n))
	}
	return strings.Join(out, ", ")
}
