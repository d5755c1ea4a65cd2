package bundle

import (
	"slices"
	"strings"
	"time"
)

// Warner is the settings of a provider that an operator should be reminded of: a
// stored key that grows old. A warning is a sentence without a secret.
type Warner interface{ Warnings(now time.Time) []string }

// Warning is something that is right today and should not stay.
type Warning struct{ Problem }

// Warnings returns what an operator should be reminded of at now, in order of
// position.
func (b *Bundle) Warnings(now time.Time) []Warning {
	all := b.partly()
	for _, name := range keys(b.Config.Providers) {
		settings, ok := b.Config.Providers[name].Settings.(Warner)
		if !ok {
			continue
		}
		for _, text := range settings.Warnings(now) {
			at := b.places["providers."+name]
			at.Text = text
			all = append(all, Warning{at})
		}
	}
	slices.SortStableFunc(all, func(a, b Warning) int { return a.Line - b.Line })
	return all
}

// partly warns of MCP upstreams that can be called but neither initialized nor
// listed: each of their credentials is for some tools alone.
func (b *Bundle) partly() (all []Warning) {
	for _, name := range keys(b.Config.Upstreams) {
		u := b.Config.Upstreams[name]
		whole := slices.ContainsFunc(u.Credentials, func(in Injection) bool { return len(in.Tools) == 0 })
		if u.Kind != "mcp" || len(u.Credentials) == 0 || whole {
			continue
		}
		at := b.places["upstreams."+name]
		at.Text = "all credentials have tools, so that none serves initialize, server/discover and tools/list: add one without"
		all = append(all, Warning{at})
	}
	return all
}

// At returns a problem with the value at path, such as "listeners[0].address", where it
// is in mintmark.yaml, or else the innermost around it.
func (b *Bundle) At(path, text string) Problem {
	for at := path; ; at = at[:max(strings.LastIndexAny(at, ".["), 0)] {
		if place, ok := b.places[at]; ok || at == "" {
			return Problem{File: ConfigName, Line: place.Line, Column: place.Column, Path: path, Text: text}
		}
	}
}

// remember keeps where providers and upstreams are registered, with the files of theirs that
// are read once they are opened, and the parts of all else.
func (d *decoder) remember(c *Config) map[string]Problem {
	places := make(map[string]Problem, len(c.Providers)+len(c.Upstreams))
	keep := func(group string, names []string) {
		for _, name := range names {
			path := d.join(group, name)
			n := d.nearest(path)
			places[group+"."+name] = Problem{File: ConfigName, Line: n.Line, Column: n.Column, Path: path}
		}
	}
	keep("providers", keys(c.Providers))
	keep("upstreams", keys(c.Upstreams))
	for path, n := range d.nodes {
		if path != "" && (strings.HasSuffix(path, ".ca") || !within(path, "providers") && !within(path, "upstreams")) {
			places[path] = Problem{File: ConfigName, Line: n.Line, Column: n.Column, Path: path}
		}
	}
	return places
}
