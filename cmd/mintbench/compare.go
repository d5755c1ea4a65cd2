package main

import (
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
)

// proxy is what Mintmark is compared with.
type proxy struct{ name, form string }

func proxies() []proxy {
	return []proxy{
		{reverseProxy, "as it comes: it keeps two connections to the upstream, and opens one for most calls of many"},
		{reverseProxyKept, "the same, keeping all its connections to the upstream, as Mintmark does"},
		{nginx, "as it comes: it opens a connection to the upstream for each call"},
		{nginxKept, "the same, keeping its connections to the upstream, as Mintmark does"},
	}
}

func (r *report) compare(all results) {
	r.Ratios, r.AddedP50Ratios = map[string]float64{}, map[string]float64{}
	for _, pair := range pairs() {
		put(r.Ratios, pair[0], pair[1], all.ratio(key{pair[0], closedLoop}, key{pair[1], closedLoop}, rate))
	}
	p50 := func(name string) []float64 { return values(all[key{name, single}], quantileMicros(.5)) }
	for _, p := range proxies() {
		put(r.AddedP50Ratios, mintmark, p.name, added(p50(direct), p50(mintmark), p50(p.name)))
	}
}

func put(to map[string]float64, a, b string, ratio *float64) {
	if ratio != nil {
		to[a+"/"+b] = math.Round(*ratio*1000) / 1000
	}
}

// pairs are the targets whose calls a second are compared.
func pairs() [][2]string {
	all := [][2]string{{mintmark, direct}}
	for _, p := range proxies() {
		all = append(all, [2]string{p.name, direct}, [2]string{mintmark, p.name},
			[2]string{mintmark + "-tls", p.name + "-tls"}, [2]string{mintmark + "-mtls", p.name + "-mtls"})
	}
	return all
}

// added returns the median of the ratios, in each round, of what x and y add to
// base. A round in which y added nothing shows no bound to the ratio; where the
// median is such a round there is no figure.
func added(base, x, y []float64) *float64 {
	var out []float64
	for i := range min(len(base), len(x), len(y)) {
		ratio := math.Inf(1)
		if y[i] > base[i] {
			ratio = (x[i] - base[i]) / (y[i] - base[i])
		}
		out = append(out, ratio)
	}
	if m := medianOf(out); m != nil && !math.IsInf(*m, 1) {
		return m
	}
	return nil
}

// comparisons writes what was compared with what, and how it came out.
func (r *report) comparisons(w io.Writer) {
	for _, p := range proxies() {
		if _, measured := r.Targets[p.name]; measured {
			_, _ = fmt.Fprintf(w, "%s: %s\n", p.name, p.form)
		}
	}
	for _, pair := range slices.Sorted(maps.Keys(r.Ratios)) {
		_, _ = fmt.Fprintf(w, "calls/s, %s: %.2f\n", pair, r.Ratios[pair])
	}
	for _, pair := range slices.Sorted(maps.Keys(r.AddedP50Ratios)) {
		_, _ = fmt.Fprintf(w, "added at p50 on 1, %s: %.2f\n", pair, r.AddedP50Ratios[pair])
	}
}
