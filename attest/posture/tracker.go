package posture

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Events of a fact, as they are recorded.
const (
	Changed   = "changed"   // a fact is new, or says something else, or was observed anew
	Retracted = "retracted" // nobody vouches for the fact any more
)

// The wait before a failed source is started again doubles between these; a
// source that ran for as long as the longest starts over with the shortest.
const (
	firstBackOff = 100 * time.Millisecond
	lastBackOff  = 30 * time.Second
)

// TrackerOptions configure a Tracker. The zero value is usable.
type TrackerOptions struct {
	Clock  func() time.Time // time.Now when nil
	Logger *slog.Logger     // nothing is logged when nil
	// Record is told each change, one at a time and in order, after it took
	// effect: no fact waits for one that does not return. It must not call the
	// Tracker's Run.
	Record func(f Fact, event string)
}

// Tracker runs the sources and holds what they report. Facts and Epoch take no
// lock and are safe for concurrent use with Run.
//
// A source whose Watch fails no longer vouches for anything: its facts are
// retracted at once and come back when it works again.
type Tracker struct {
	sources   map[string]Source
	resolvers []Resolver
	options   TrackerOptions

	mu      sync.Mutex                 // orders writers
	held    map[string]map[string]Fact // by source and subject
	changes []change                   // that Record was not told yet
	changed chan struct{}              // has something when there are changes
	waiting map[string]bool            // sources that have not yet reported all they had
	failed  map[string]error           // why those that failed last did

	facts shards
	epoch atomic.Uint64
	ready chan struct{} // closed once every source has reported all that was already there
}

// change is one that took effect.
type change struct {
	fact  Fact
	event string
}

// NewTracker returns a Tracker of sources, by the name of the fact each states.
// It does nothing until Run.
func NewTracker(sources map[string]Source, o TrackerOptions) *Tracker {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	t := &Tracker{
		sources: maps.Clone(sources), options: o, facts: newShards(),
		held: map[string]map[string]Fact{}, waiting: map[string]bool{}, failed: map[string]error{}, ready: make(chan struct{}),
		changed: make(chan struct{}, 1),
	}
	for _, name := range slices.Sorted(maps.Keys(sources)) {
		t.held[name], t.waiting[name] = map[string]Fact{}, true
		if r, ok := sources[name].(Resolver); ok {
			t.resolvers = append(t.resolvers, r)
		}
		if l, ok := sources[name].(Logging); ok {
			l.SetLogger(o.Logger.With(slog.String("source", name)))
		}
	}
	if len(sources) == 0 {
		close(t.ready)
	}
	return t
}

// Run runs the sources until ctx ends, and returns ctx's error. It is called
// once. When it returns, no fact is held any more, and Record was told all.
func (t *Tracker) Run(ctx context.Context) error {
	var sources, teller sync.WaitGroup
	for name, source := range t.sources {
		sources.Go(func() { t.keep(ctx, name, source) })
	}
	teller.Go(func() {
		for range t.changed {
			t.tell()
		}
	})
	sources.Wait()
	<-ctx.Done()
	close(t.changed) // no source is left to send
	teller.Wait()
	return ctx.Err()
}

// tell tells Record of the changes.
func (t *Tracker) tell() {
	t.mu.Lock()
	changes := t.changes
	t.changes = nil
	t.mu.Unlock()
	for _, c := range changes {
		t.options.Record(c.fact, c.event)
	}
}

// keep runs one source, again and again, until ctx ends.
func (t *Tracker) keep(ctx context.Context, name string, source Source) {
	wait := firstBackOff
	for ctx.Err() == nil {
		began := t.options.Clock()
		err := t.watch(ctx, name, source)
		if ctx.Err() != nil {
			return
		}
		if t.options.Clock().Sub(began) >= lastBackOff {
			wait = firstBackOff
		}
		t.note(name, err)
		t.options.Logger.LogAttrs(ctx, slog.LevelError, "posture source failed; its facts are retracted until it works again",
			slog.String("source", name), slog.Any("error", err), slog.Duration("retry_in", wait))
		if !pause(ctx, wait) {
			return
		}
		wait = min(2*wait, lastBackOff)
	}
}

func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// watch runs a source once. What it reports after it returned is ignored.
func (t *Tracker) watch(ctx context.Context, name string, source Source) (err error) {
	over := false // guarded by t.mu
	defer func() {
		if v := recover(); v != nil { // it may be over what a stranger wrote
			err = fmt.Errorf("watch: panic of type %T", v)
		}
		t.mu.Lock()
		defer t.mu.Unlock()
		over = true
		t.retract(name, ctx.Err() == nil)
	}()
	err = source.Watch(ctx, func(f Fact) {
		t.mu.Lock()
		defer t.mu.Unlock()
		switch {
		case over:
		case f == Fact{}:
			t.complete(name)
		case f.Name != name || f.Subject == "":
			// One source must not speak in the name of another.
			t.options.Logger.LogAttrs(ctx, slog.LevelError, "posture fact ignored: it is not the source's own",
				slog.String("source", name), slog.String("fact", f.Name), slog.String("subject", f.Subject))
		default:
			// Without its zone and monotonic part, an equal time compares equal.
			f.ObservedAt = f.ObservedAt.Round(0).UTC()
			t.apply(f, true)
		}
	})
	if err == nil {
		err = errors.New("watch: got an end, want it to run until it is told to stop")
	}
	return err
}

// retract forgets all facts of a source. It is a finding when the source
// failed, and none when the Tracker is told to stop.
func (t *Tracker) retract(name string, record bool) {
	for _, subject := range slices.Sorted(maps.Keys(t.held[name])) {
		t.apply(Fact{Subject: subject, Name: name}, record)
	}
}

// complete notes that a source has reported all it had.
func (t *Tracker) complete(name string) {
	delete(t.waiting, name)
	if len(t.waiting) > 0 {
		return
	}
	select {
	case <-t.ready:
	default:
		close(t.ready)
	}
}

// apply makes f what is known, if it says anything new.
func (t *Tracker) apply(f Fact, record bool) {
	held := t.held[f.Name]
	old, known := held[f.Subject]
	event := Changed
	switch {
	case f.Value == "" && !known, f == old:
		return
	case f.Value == "":
		event = Retracted
		delete(held, f.Subject)
		t.facts.remove(f)
		f = old // the record says what is gone
	default:
		held[f.Subject] = f
		t.facts.put(f)
	}
	// The epoch moves after the facts: whoever still reads the old epoch comes
	// before this change, and whoever reads the new one sees it.
	t.epoch.Add(1)
	if record && t.options.Record != nil {
		t.changes = append(t.changes, change{f, event})
		select {
		case t.changed <- struct{}{}:
		default: // it knows
		}
	}
}

// Epoch returns a number that grows with each change of any fact. Facts that
// grow stale do not change it.
func (t *Tracker) Epoch() uint64 { return t.epoch.Load() }

// Subjects returns the subjects under which facts about a workload are kept:
// id itself, then the digests that any source has registered for it; or nil, where
// that is id alone, as it is for most. The result is read only.
func (t *Tracker) Subjects(id string) []string {
	if len(t.resolvers) == 1 {
		return t.resolvers[0].Subjects(id)
	}
	var out []string
	for _, r := range t.resolvers {
		for _, s := range r.Subjects(id) {
			if !slices.Contains(out, s) {
				out = append(out, s)
			}
		}
	}
	return out
}

// Facts returns what is known at now about a workload that is known by all of
// subjects: fresh facts, one per name, sorted by name. The result is read only.
//
// Where subjects speak of the same name, the worst wins. A stale fact about any
// of them makes the name unknown. If one of several digests has a fact of a
// name, then all of them must, or the name is unknown: an image nobody scanned
// is not covered by the scan of the one beside it. Different values give "fail"
// if any of them is "fail", and otherwise an unknown name. Equal values count
// as old as the oldest.
func (t *Tracker) Facts(now time.Time, subjects ...string) []Fact {
	if len(subjects) == 1 {
		if list := t.facts.get(subjects[0]); allFresh(list, now) {
			return list // nobody contradicts it
		}
	}
	var buf [8][]Fact
	lists, total := buf[:0], 0
	for _, s := range subjects {
		list := t.facts.get(s)
		lists = append(lists, list)
		total += len(list)
	}
	if total == 0 {
		return nil
	}
	return merge(now, subjects, lists, total)
}
