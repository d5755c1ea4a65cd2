package bundle

import (
	"slices"
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
	var all []Warning
	for _, name := range keys(b.Config.Providers) {
		settings, ok := b.Config.Providers[name].Settings.(Warner)
		if !ok {
			continue
		}
		for _, text := range settings.Warnings(now) {
			at := b.places[name]
			at.Text = text
			all = append(all, Warning{at})
		}
	}
	slices.SortStableFunc(all, func(a, b Warning) int { return a.Line - b.Line })
	return all
}

// remember keeps where each provider is registered.
func (d *decoder) remember(providers map[string]Provider) map[string]Problem {
	places := make(map[string]Problem, len(providers))
	for name := range providers {
		path := d.join("providers", name)
		n := d.nearest(path)
		places[name] = Problem{File: ConfigName, Line: n.Line, Column: n.Column, Path: path}
	}
	return places
}
