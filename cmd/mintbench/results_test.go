package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"mintmark/cmd/mintbench/load"
)

// rounds makes a series whose rates are as given.
func rounds(rates ...float64) []load.Result {
	var out []load.Result
	for _, r := range rates {
		out = append(out, load.Result{Answered: uint64(r), Elapsed: time.Second})
	}
	return out
}

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{{[]float64{5}, 5}, {[]float64{9, 1, 5}, 5}, {[]float64{9, 1, 5, 7}, 6}} {
		before := append([]float64{}, c.values...)
		if got := median(c.values); got != c.want {
			t.Errorf("%v: got %v, want %v", c.values, got, c.want)
		}
		for i := range before {
			if c.values[i] != before[i] {
				t.Errorf("%v: changed its argument", before)
			}
		}
	}
}

// TestRatioIsTakenWithinRounds: a machine that slows down for one round slows
// down both, so the ratio of the round stays what it is.
func TestRatioIsTakenWithinRounds(t *testing.T) {
	all := results{
		{mintmark, closedLoop}: rounds(50, 100, 30, 500),
		{nginx, closedLoop}:    rounds(100, 200, 60, 250),
	}
	m, n := key{mintmark, closedLoop}, key{nginx, closedLoop}
	if got := all.ratio(m, n, rate); got == nil || *got != .5 {
		t.Errorf("ratio: got %v, want 0.5", got)
	}
	if got := all.difference(m, n, rate); got == nil || *got != -40 {
		t.Errorf("difference: got %v, want the median of -50, -100, -30, 250", got)
	}
	if got := all.median(m, rate); got == nil || *got != 75 {
		t.Errorf("median: got %v, want 75", got)
	}
}

// TestAdded: each round is held against its own base, and what adds nothing is
// no yardstick.
func TestAdded(t *testing.T) {
	base, x := []float64{10, 50, 20}, []float64{110, 150, 320}
	if got := added(base, x, []float64{60, 75, 120}); got == nil || *got != 3 {
		t.Errorf("got %v, want the median of 2, 4 and 3", got)
	}
	if got := added(base, x, []float64{60, 40, 120}); got == nil || *got != 3 {
		t.Errorf("got %v, want the median of 2, 3 and what has no bound", got)
	}
	for name, y := range map[string][]float64{"nothing added in two of three": {10, 40, 120}, "nothing measured": nil} {
		if got := added(base, x, y); got != nil {
			t.Errorf("%s: got %v, want none", name, *got)
		}
	}
}

// TestBothFormsAreFigures: what comes as it is and what keeps connections have
// figures and ratios of their own.
func TestBothFormsAreFigures(t *testing.T) {
	all := results{}
	for i, name := range ownTargets() {
		for j, way := range []string{"", "-tls", "-mtls"} {
			all[key{name + way, closedLoop}] = rounds(float64(1000 + 100*i + 10*j))
		}
	}
	var out bytes.Buffer
	var r report
	r.rates(all)
	r.compare(all)
	if err := json.NewEncoder(&out).Encode(r); err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	for i, name := range ownTargets() {
		for j, way := range []string{"", "-tls", "-mtls"} {
			figure := strings.ReplaceAll(name+way, "-", "_") + "_rps"
			if want := float64(1000 + 100*i + 10*j); got[figure] != want && name+way != "direct-tls" && name+way != "direct-mtls" {
				t.Errorf("%s: got %v, want %v", figure, got[figure], want)
			}
			if _, shown := r.Ratios[mintmark+way+"/"+name+way]; !shown && name != mintmark && (name != direct || way == "") {
				t.Errorf("no ratio of %s to %s: %v", mintmark+way, name+way, r.Ratios)
			}
		}
	}
}

func TestWhatWasNotMeasuredIsNil(t *testing.T) {
	all := results{{mintmark, closedLoop}: rounds(50)}
	m, none := key{mintmark, closedLoop}, key{nginx, closedLoop}
	if all.ratio(m, none, rate) != nil || all.difference(none, m, rate) != nil || all.median(none, rate) != nil {
		t.Error("got a figure from nothing")
	}
}

func TestCostBelowNothingIsNoise(t *testing.T) {
	for us, want := range map[float64]string{-812.4: "not above the noise", 0: "not above the noise", 640.6: "641 µs"} {
		var out strings.Builder
		r := report{AddedP99Us1kRPS: &us}
		if err := r.write(&out, false); err != nil || !strings.Contains(out.String(), "added at the 99th percentile of 1,000 calls/s: "+want+"\n") {
			t.Errorf("%v µs: got %q, %v, want %q", us, out.String(), err, want)
		}
	}
}

// TestColdIsShownBesideItsTokenRequest: whoever reads what a first call costs reads how
// much of it is the provider's.
func TestColdIsShownBesideItsTokenRequest(t *testing.T) {
	cold, trip, added, minted := 1700.4, 500.2, 1200.3, 900.1
	r := report{ColdP50Us: &cold, ProviderRTTP50Us: &trip, ColdAddedUs: &added, ColdMintUs: &minted}
	var out strings.Builder
	if err := r.write(&out, false); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"first call with a credential: 1700 µs\n", "a new connection as in such a call: 500 µs\n", "over that: 1200 µs\n", "held: 900 µs\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("got\n%s\nwant %q in it", &out, want)
		}
	}
}

func TestFigureOfOneRateIsOfThatRateOnly(t *testing.T) {
	measured, err := load.Burst(t.Context(), startUpstream(t).caller(toolEcho, "good"), 1)
	if err != nil {
		t.Fatal(err)
	}
	all := results{{mintmark, openLoop}: {measured}, {direct, openLoop}: {measured}}
	var r report
	if r.fill(all, options{rate: 1000}, nil); r.AddedP99Us1kRPS == nil || *r.AddedP99Us1kRPS != 0 {
		t.Errorf("got %v, want 0: both were the same", r.AddedP99Us1kRPS)
	}
	r = report{}
	if r.fill(all, options{rate: 500}, nil); r.AddedP99Us1kRPS != nil {
		t.Errorf("got %v from another rate, want none", *r.AddedP99Us1kRPS)
	}
}
