package main

import (
	"slices"

	"mintmark/cmd/mintbench/load"
)

// The loads that are made.
const (
	closedLoop = "closed" // as fast as it goes on several connections
	single     = "single" // the same on one: latency without a queue
	openLoop   = "open"   // at a fixed rate
)

// key names a series of measurements.
type key struct{ target, load string }

// results are what every round measured; the i-th of each series is of the
// i-th round, so that they compare with one another.
type results map[key][]load.Result

// figure reads one number from a measurement.
type figure func(*load.Result) float64

func rate(r *load.Result) float64 { return r.Rate() }

func quantileMicros(q float64) figure {
	return func(r *load.Result) float64 { return inMicros(r.Quantile(q)) }
}

// median returns the median of a figure over the rounds, or nil where nothing
// was measured.
func (r results) median(k key, f figure) *float64 {
	return medianOf(values(r[k], f))
}

// ratio returns the median of the ratios of a to b in each round. It says more
// than the ratio of the medians where a machine's speed changes between rounds.
func (r results) ratio(a, b key, f figure) *float64 {
	return r.compare(a, b, f, func(x, y float64) float64 { return x / y })
}

// difference returns the median of the differences of a and b in each round.
func (r results) difference(a, b key, f figure) *float64 {
	return r.compare(a, b, f, func(x, y float64) float64 { return x - y })
}

func (r results) compare(a, b key, f figure, by func(x, y float64) float64) *float64 {
	x, y := values(r[a], f), values(r[b], f)
	out := make([]float64, 0, len(x))
	for i := range min(len(x), len(y)) {
		out = append(out, by(x[i], y[i]))
	}
	return medianOf(out)
}

func values(series []load.Result, f figure) []float64 {
	out := make([]float64, len(series))
	for i := range series {
		out[i] = f(&series[i])
	}
	return out
}

func medianOf(values []float64) *float64 {
	if len(values) == 0 {
		return nil
	}
	m := median(values)
	return &m
}

// median returns the middle value, or the mean of the two in the middle.
// There must be one.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}
