package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"runtime"
	"slices"
	"text/tabwriter"
	"time"
)

// report is what a run found. A figure that was not measured is nil, which is
// null in JSON, and never 0.
type report struct {
	DirectRPS               *float64 `json:"direct_rps"`
	ReverseProxyRPS         *float64 `json:"reverseproxy_rps"`
	ReverseProxyTLSRPS      *float64 `json:"reverseproxy_tls_rps"`
	ReverseProxyMTLSRPS     *float64 `json:"reverseproxy_mtls_rps"`
	ReverseProxyKeptRPS     *float64 `json:"reverseproxy_kept_rps"`
	ReverseProxyKeptTLSRPS  *float64 `json:"reverseproxy_kept_tls_rps"`
	ReverseProxyKeptMTLSRPS *float64 `json:"reverseproxy_kept_mtls_rps"`
	NginxRPS                *float64 `json:"nginx_rps"`
	NginxTLSRPS             *float64 `json:"nginx_tls_rps"`
	NginxMTLSRPS            *float64 `json:"nginx_mtls_rps"`
	NginxKeptRPS            *float64 `json:"nginx_kept_rps"`
	NginxKeptTLSRPS         *float64 `json:"nginx_kept_tls_rps"`
	NginxKeptMTLSRPS        *float64 `json:"nginx_kept_mtls_rps"`
	MintmarkRPS             *float64 `json:"mintmark_rps"`
	MintmarkTLSRPS          *float64 `json:"mintmark_tls_rps"`
	MintmarkMTLSRPS         *float64 `json:"mintmark_mtls_rps"`

	DirectP50Us           *float64 `json:"direct_p50_us"` // on one connection
	ReverseProxyP50Us     *float64 `json:"reverseproxy_p50_us"`
	ReverseProxyKeptP50Us *float64 `json:"reverseproxy_kept_p50_us"`
	NginxP50Us            *float64 `json:"nginx_p50_us"`
	NginxKeptP50Us        *float64 `json:"nginx_kept_p50_us"`
	MintmarkP50Us         *float64 `json:"mintmark_p50_us"`

	AddedP99Us1kRPS     *float64 `json:"added_p99_us_1krps"` // Mintmark's over direct's
	DecideNs10          *float64 `json:"decide_ns_10"`
	DecideNs10000       *float64 `json:"decide_ns_10000"`
	AllocsPerCall       *float64 `json:"allocs_per_call"`
	SSE1000RSSMiB       *float64 `json:"sse_1000_rss_mb"`
	SSEStreamRSSKiB     *float64 `json:"sse_stream_rss_kb"` // for each of them, with all else that is held
	MintsFor1000Callers *float64 `json:"mints_for_1000_callers"`
	RecordsMissing      *float64 `json:"records_missing"`

	ColdP50Us *float64 `json:"cold_p50_us"` // the first call with a credential
	ColdMaxUs *float64 `json:"cold_max_us"`
	// ProviderRTTP50Us is a token request by itself, made in turn with those calls,
	// and ColdAddedUs the median of what each of them took more than the one before it.
	// ColdMintUs leaves out the call as well, by one before it whose credential was held.
	ProviderRTTP50Us *float64 `json:"provider_rtt_p50_us"`
	ColdAddedUs      *float64 `json:"cold_added_us"`
	ColdMintUs       *float64 `json:"cold_mint_us"`

	MemoryNs *float64 `json:"memory_ns"` // for a read from memory that is not near

	// Ratios are medians of the ratios within each round.
	Ratios map[string]float64 `json:"ratios"`
	// AddedP50Ratios are the same of what is added to direct's latency on one
	// connection. One is missing where the other added nothing that could be seen.
	AddedP50Ratios map[string]float64 `json:"added_p50_ratios"`
	// Targets are all that was measured, by target and load.
	Targets map[string]map[string]line `json:"targets"`
	Run     setting                    `json:"run"`
}

// line is one target under one load.
type line struct {
	RPS   float64 `json:"rps"`
	P50Us float64 `json:"p50_us"`
	P99Us float64 `json:"p99_us"`
}

// setting is what the figures depend on.
type setting struct {
	Processors  int     `json:"processors"`
	System      string  `json:"system"`
	Go          string  `json:"go"`
	Rounds      int     `json:"rounds"`
	DurationMs  int64   `json:"duration_ms"`
	Concurrency int     `json:"concurrency"`
	Rate        float64 `json:"rate"`
	Body        int     `json:"body"`
	SSE         bool    `json:"sse"`
	Policies    int     `json:"policies"`
	Agents      int     `json:"agents"`
	Shared      string  `json:"shared"`
}

const shared = "the load generator, the upstream and the measured program share the processors"

// fill works the figures out.
func (r *report) fill(all results, o options, allocs []float64) {
	r.Run = setting{
		Processors: runtime.NumCPU(), System: runtime.GOOS + "/" + runtime.GOARCH, Go: runtime.Version(),
		Rounds: o.rounds, DurationMs: o.duration.Milliseconds(), Concurrency: o.concurrency, Rate: o.rate,
		Body: o.body, SSE: o.sse, Policies: o.policies, Agents: o.agents, Shared: shared,
	}
	r.rates(all)
	r.latencies(all, o)
	r.AllocsPerCall = medianOf(allocs)
	r.compare(all)
	r.lines(all)
}

func (r *report) rates(all results) {
	for name, to := range map[string]**float64{
		direct:       &r.DirectRPS,
		reverseProxy: &r.ReverseProxyRPS, reverseProxy + "-tls": &r.ReverseProxyTLSRPS, reverseProxy + "-mtls": &r.ReverseProxyMTLSRPS,
		reverseProxyKept: &r.ReverseProxyKeptRPS, reverseProxyKept + "-tls": &r.ReverseProxyKeptTLSRPS, reverseProxyKept + "-mtls": &r.ReverseProxyKeptMTLSRPS,
		nginx: &r.NginxRPS, nginx + "-tls": &r.NginxTLSRPS, nginx + "-mtls": &r.NginxMTLSRPS,
		nginxKept: &r.NginxKeptRPS, nginxKept + "-tls": &r.NginxKeptTLSRPS, nginxKept + "-mtls": &r.NginxKeptMTLSRPS,
		mintmark: &r.MintmarkRPS, mintmark + "-tls": &r.MintmarkTLSRPS, mintmark + "-mtls": &r.MintmarkMTLSRPS,
	} {
		*to = rounded(all.median(key{name, closedLoop}, rate))
	}
}

func (r *report) latencies(all results, o options) {
	for name, to := range map[string]**float64{
		direct:           &r.DirectP50Us,
		reverseProxy:     &r.ReverseProxyP50Us,
		reverseProxyKept: &r.ReverseProxyKeptP50Us,
		nginx:            &r.NginxP50Us,
		nginxKept:        &r.NginxKeptP50Us,
		mintmark:         &r.MintmarkP50Us,
	} {
		*to = rounded(all.median(key{name, single}, quantileMicros(.5)))
	}
	if o.rate == 1000 { // the rate is in the figure's name
		r.AddedP99Us1kRPS = rounded(all.difference(key{mintmark, openLoop}, key{direct, openLoop}, quantileMicros(.99)))
	}
	r.ColdP50Us = rounded(all.median(key{"cold", single}, quantileMicros(.5)))
	r.ColdMaxUs = rounded(all.median(key{"cold", single}, quantileMicros(1)))
}

func (r *report) lines(all results) {
	r.Targets = map[string]map[string]line{}
	for k := range all {
		if r.Targets[k.target] == nil {
			r.Targets[k.target] = map[string]line{}
		}
		value := func(f figure) float64 { return *rounded(all.median(k, f)) }
		r.Targets[k.target][k.load] = line{RPS: value(rate), P50Us: value(quantileMicros(.5)), P99Us: value(quantileMicros(.99))}
	}
}

// rounded returns v with one digit behind the point, or nil for nil.
func rounded(v *float64) *float64 {
	if v == nil {
		return nil
	}
	r := math.Round(*v*10) / 10
	return &r
}

func optional(v float64, ok bool) *float64 {
	if !ok {
		return nil
	}
	return rounded(&v)
}

// write writes the report as one JSON object or as a table.
func (r *report) write(w io.Writer, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(r)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	r.table(t)
	if err := t.Flush(); err != nil {
		return err
	}
	return r.notes(w)
}

func (r *report) table(w io.Writer) {
	_, _ = fmt.Fprintf(w, "\tcalls/s on %d\tp50\tp99\tp50 on 1\tp50 at %.0f/s\tp99 at %.0f/s\t\n", r.Run.Concurrency, r.Run.Rate, r.Run.Rate)
	for _, name := range slices.SortedFunc(maps.Keys(r.Targets), r.faster) {
		l := r.Targets[name]
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", name, l[closedLoop].rate(), micros(l[closedLoop].P50Us), micros(l[closedLoop].P99Us),
			micros(l[single].P50Us), micros(l[openLoop].P50Us), micros(l[openLoop].P99Us))
	}
}

// faster orders targets by their rate, the fastest first.
func (r *report) faster(a, b string) int {
	if d := r.Targets[b][closedLoop].RPS - r.Targets[a][closedLoop].RPS; d != 0 {
		return int(math.Copysign(1, d))
	}
	return 0
}

func (l line) rate() string {
	if l.RPS == 0 {
		return "-"
	}
	return fmt.Sprintf("%.0f", l.RPS)
}

func micros(us float64) string {
	if us == 0 {
		return "-"
	}
	return time.Duration(us * float64(time.Microsecond)).Round(time.Microsecond).String()
}

// cost is what something adds in µs. Less than nothing is what other programs on
// the machine added to the other side.
func cost(us float64) string {
	if us <= 0 {
		return "not above the noise"
	}
	return fmt.Sprintf("%.0f µs", us)
}

// notes writes what is no column.
func (r *report) notes(w io.Writer) error {
	_, err := fmt.Fprintf(w, "\nmedians of %d rounds of %v for each load; %d processors: %s\n",
		r.Run.Rounds, time.Duration(r.Run.DurationMs)*time.Millisecond, r.Run.Processors, r.Run.Shared)
	r.comparisons(w)
	if added := r.AddedP99Us1kRPS; added != nil {
		_, _ = fmt.Fprintf(w, "added at the 99th percentile of 1,000 calls/s: %s\n", cost(*added))
	}
	for _, note := range []struct {
		text  string
		value *float64
	}{
		{"one decision among 10 policies: %.0f ns", r.DecideNs10},
		{"one decision among 10,000 policies: %.0f ns", r.DecideNs10000},
		{"allocations per call: %.0f", r.AllocsPerCall},
		{"memory with 1,000 streams open: %.0f MiB", r.SSE1000RSSMiB},
		{"memory for each of them, all else that Mintmark holds among it: %.0f KiB", r.SSEStreamRSSKiB},
		{"mints for 1,000 callers at once: %.0f", r.MintsFor1000Callers},
		{"first call with a credential: %.0f µs", r.ColdP50Us},
		{"a token request by itself, over a new connection as in such a call: %.0f µs", r.ProviderRTTP50Us},
		{"first call with a credential, over that: %.0f µs", r.ColdAddedUs},
		{"of which the mint, over a call whose credential is held: %.0f µs", r.ColdMintUs},
		{"a read from memory that is not near: %.0f ns", r.MemoryNs},
		{"answered calls without a record: %.0f", r.RecordsMissing},
	} {
		if note.value != nil {
			_, err = fmt.Fprintf(w, note.text+"\n", *note.value)
		}
	}
	return err
}
