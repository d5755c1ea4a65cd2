package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"mintmark/cmd/mintbench/load"
)

const (
	burstCallers = 1000
	heldStreams  = 1000
	openConns    = 64 // of the open loop: more than are ever busy at its rate
	warmUp       = 300 * time.Millisecond
)

// bench is one run.
type bench struct {
	o        options
	progress io.Writer
	world    *world
	broker   *broker // nil when Mintmark is not measured
	targets  []*load.Target
	results  results
	allocs   []float64 // of Mintmark per call, by round
	memory   []float64 // nanoseconds for a read, by round
	report   report
}

// measure makes a run. The error says why there is no honest figure.
func measure(ctx context.Context, o options, progress io.Writer) (_ *report, err error) {
	b := &bench{o: o, progress: progress, results: results{}}
	began := time.Now()
	if b.world, err = openWorld(ctx, o); err != nil {
		return nil, err
	}
	defer func() {
		if closed := b.world.close(); err == nil {
			err = closed
		}
	}()
	for _, step := range []func(context.Context) error{b.open, b.burst, b.cold, b.warm, b.rounds, b.hold, b.decide, b.finish} {
		if err := step(ctx); ctx.Err() != nil {
			return nil, errors.New("interrupted")
		} else if err != nil {
			return nil, err
		}
	}
	b.report.fill(b.results, o, b.allocs)
	b.report.MemoryNs = rounded(medianOf(b.memory))
	b.say("done in %.0f s", time.Since(began).Seconds())
	return &b.report, nil
}

func (b *bench) say(format string, args ...any) {
	_, _ = fmt.Fprintf(b.progress, "==> "+format+"\n", args...)
}

// burst lets many callers need a credential at the same time that nobody has
// asked for before.
func (b *bench) burst(ctx context.Context) error {
	if b.broker == nil {
		return nil
	}
	b.say("%d callers at once, one credential that nobody holds yet", burstCallers)
	t := b.broker.target(b.world, endpoint{name: "burst", address: b.broker.plain, path: "/mcp/" + burstUpstream})
	r, err := load.Burst(ctx, t, burstCallers)
	if err := b.verdict(t, "burst", r, err); err != nil {
		return err
	}
	minted, err := b.world.minted(ctx)
	mints := float64(minted[burstUpstream])
	b.report.MintsFor1000Callers = &mints
	return err
}

// warm gives every target its connections, caches and compiled code.
func (b *bench) warm(ctx context.Context) error {
	b.say("warming up: %s", strings.Join(b.names(), ", "))
	for _, t := range b.targets {
		r, err := load.Closed(ctx, t, b.o.concurrency, warmUp)
		if err := b.verdict(t, "warm-up", r, err); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) names() []string {
	var names []string
	for _, t := range b.targets {
		names = append(names, t.Name)
	}
	return names
}

// rounds makes every load on every target, once a round.
func (b *bench) rounds(ctx context.Context) error {
	m := newMemory()
	for i := range b.o.rounds {
		b.memory = append(b.memory, m.read())
		for _, l := range []string{closedLoop, single, openLoop} {
			for _, t := range b.targets {
				if l != closedLoop && (secured(t.Name) || b.o.briefly(t.Name)) {
					continue
				}
				if err := b.once(ctx, t, l); err != nil {
					return err
				}
			}
		}
		b.say("round %d of %d: %s; a read from memory %.0f ns", i+1, b.o.rounds, b.summary(), b.memory[i])
	}
	return nil
}

// secured reports whether a target is a TLS variant of another.
func secured(name string) bool { return strings.HasSuffix(name, "tls") }

// once makes one load on one target.
func (b *bench) once(ctx context.Context, t *load.Target, l string) error {
	if err := b.rouse(ctx, t, l); err != nil {
		return err
	}
	before, counted := b.allocations(ctx, t, l)
	r, err := b.load(ctx, t, l)
	if err := b.verdict(t, l, r, err); err != nil {
		return err
	}
	if after, ok := b.allocations(ctx, t, l); counted && ok {
		b.allocs = append(b.allocs, (after-before)/float64(r.Answered))
	}
	k := key{t.Name, l}
	b.results[k] = append(b.results[k], r)
	return nil
}

// rouse lets a target work before what counts: it rested while all others had their loads,
// and what has much memory takes longer to have it at hand again.
func (b *bench) rouse(ctx context.Context, t *load.Target, l string) error {
	d := b.o.rousing(l)
	if d == 0 {
		return nil
	}
	r, err := load.Closed(ctx, t, b.o.concurrency, d)
	return b.verdict(t, "warm-up", r, err)
}

// allocations returns Mintmark's count before or after the load that it is
// counted over.
func (b *bench) allocations(ctx context.Context, t *load.Target, l string) (float64, bool) {
	if t.Name != mintmark || l != closedLoop {
		return 0, false
	}
	return allocations(ctx, b.broker.metrics)
}

func (b *bench) load(ctx context.Context, t *load.Target, l string) (load.Result, error) {
	switch l {
	case single:
		return load.Closed(ctx, t, 1, b.o.duration)
	case openLoop:
		return load.OpenLoop{Rate: b.o.rate, Length: b.o.duration, Connections: openConns}.Run(ctx, t)
	}
	return load.Closed(ctx, t, b.o.concurrency, b.o.duration)
}

// verdict returns why a load cannot count, or nil. One wrong answer is enough.
func (b *bench) verdict(t *load.Target, l string, r load.Result, err error) error {
	if err == nil {
		err = r.Err()
	}
	if err != nil {
		return fmt.Errorf("%s, %s load: %w", t.Name, l, err)
	}
	return nil
}

// summary shows the last round's calls a second.
func (b *bench) summary() string {
	var parts []string
	for _, t := range b.targets {
		series := b.results[key{t.Name, closedLoop}]
		parts = append(parts, fmt.Sprintf("%s %.0f/s", t.Name, series[len(series)-1].Rate()))
	}
	return strings.Join(parts, ", ")
}

// hold holds many streams open through Mintmark and looks at its memory.
func (b *bench) hold(ctx context.Context) error {
	if b.broker == nil {
		return nil
	}
	b.say("%d streams at the same time", heldStreams)
	t := b.broker.target(b.world, endpoint{name: "held", address: b.broker.plain, path: "/mcp/" + benchUpstream, tool: toolHold})
	held, err := load.Hold(ctx, t, heldStreams)
	if err != nil {
		return err
	}
	with, ok := residentMiB(b.broker.child.pid)
	b.report.SSE1000RSSMiB = optional(with, ok)
	b.report.SSEStreamRSSKiB = optional(with*1024/heldStreams, ok)
	release := b.world.target(endpoint{name: "upstream", address: b.world.upstream, path: "/mcp", headers: b.bearer(), tool: toolRelease})
	r, err := load.Burst(ctx, release, 1)
	if err := b.verdict(release, "release", r, err); err != nil {
		return err
	}
	return b.verdict(t, "held", held.Finish(), nil)
}

// decide times decisions alone.
func (b *bench) decide(context.Context) (err error) {
	if !b.o.decide {
		return nil
	}
	b.say("decisions among 10 and 10,000 policies")
	if b.report.DecideNs10, err = decideNs(10); err != nil {
		return err
	}
	b.report.DecideNs10000, err = decideNs(10_000)
	return err
}

// finish ends Mintmark in order and holds its record against what happened.
func (b *bench) finish(ctx context.Context) error {
	if b.broker == nil {
		return nil
	}
	b.say("stopping Mintmark and reading its record back")
	if err := b.broker.child.end(); err != nil {
		return err
	}
	r, err := readRecord(b.broker.audit, b.broker.public, b.broker.targets)
	if err != nil {
		return err
	}
	b.say("%d records verified; %d answered calls, %d of them without a record", r.records, r.answered, r.missing)
	missing := float64(r.missing)
	b.report.RecordsMissing = &missing
	minted, err := b.world.minted(ctx)
	if err != nil {
		return err
	}
	return r.err(minted)
}
