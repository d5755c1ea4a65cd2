package posture_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mintmark/attest/posture"
)

const (
	agent  = "spiffe://acme.example/agent"
	imageA = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	imageB = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
)

// script is a source that does what it is told, one step at a time.
type script struct {
	steps   chan func(report func(posture.Fact)) error
	started chan struct{}
}

func newScript() *script {
	return &script{steps: make(chan func(func(posture.Fact)) error), started: make(chan struct{}, 100)}
}

func (s *script) Watch(ctx context.Context, report func(posture.Fact)) error {
	s.started <- struct{}{}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case step := <-s.steps:
			if err := step(report); err != nil {
				return err
			}
		}
	}
}

func (s *script) report(facts ...posture.Fact) {
	s.steps <- func(report func(posture.Fact)) error {
		for _, f := range facts {
			report(f)
		}
		return nil
	}
}

func (s *script) fail() {
	s.steps <- func(func(posture.Fact)) error { return errors.New("gone") }
}

func fact(subject, name, value string) posture.Fact {
	return posture.Fact{Subject: subject, Name: name, Value: value, ObservedAt: time.Now(), MaxAge: time.Hour, Issuer: name + "/script"}
}

// run starts t inside the present bubble and stops it at the end of the test.
func run(t *testing.T, tracker *posture.Tracker) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- tracker.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("run: got %v, want cancelled", err)
		}
	})
}

func values(facts []posture.Fact) string {
	var out []string
	for _, f := range facts {
		out = append(out, f.Name+"="+f.Value)
	}
	return strings.Join(out, " ")
}

func TestTrackerFollowsSources(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		scan, disk := newScript(), newScript()
		var records []string
		tracker := posture.NewTracker(map[string]posture.Source{"scan": scan, "disk": disk}, posture.TrackerOptions{
			Record: func(f posture.Fact, event string) {
				records = append(records, fmt.Sprintf("%s %s=%s", event, f.Name, f.Value))
			},
		})
		run(t, tracker)
		pass := fact(agent, "scan", "pass")
		scan.report(pass, posture.Fact{})
		synctest.Wait()
		early, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := tracker.Wait(early); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("wait before every source has reported: got %v, want it to go on", err)
		}
		disk.report(posture.Fact{})
		if err := tracker.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		before := tracker.Epoch()
		scan.report(pass) // nothing new
		synctest.Wait()
		if tracker.Epoch() != before {
			t.Error("an equal fact moved the epoch")
		}
		disk.report(fact(agent, "disk", "encrypted"))
		synctest.Wait()
		if tracker.Epoch() == before {
			t.Error("a new fact did not move the epoch")
		}
		if got := values(tracker.Facts(time.Now(), agent)); got != "disk=encrypted scan=pass" {
			t.Errorf("facts: got %q", got)
		}
		scan.report(fact(agent, "scan", "fail"))
		synctest.Wait()
		scan.report(fact(agent, "scan", ""))
		synctest.Wait()
		if got := values(tracker.Facts(time.Now(), agent)); got != "disk=encrypted" {
			t.Errorf("after a retraction: got %q", got)
		}
		want := []string{"changed scan=pass", "changed disk=encrypted", "changed scan=fail", "retracted scan=fail"}
		if !slices.Equal(records, want) {
			t.Errorf("records: got %q, want %q", records, want)
		}
	})
}

// TestFailedSourceVouchesForNothing holds that facts do not outlive the source
// that states them, that it is started again, ever more slowly, and that a
// long-lived one starts over.
func TestFailedSourceVouchesForNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		scan, disk := newScript(), newScript()
		log, events := &bytes.Buffer{}, []string(nil)
		tracker := posture.NewTracker(map[string]posture.Source{"scan": scan, "disk": disk}, posture.TrackerOptions{
			Logger: slog.New(slog.NewTextHandler(log, nil)),
			Record: func(f posture.Fact, event string) { events = append(events, event+" "+f.Name) },
		})
		run(t, tracker)
		<-scan.started
		disk.report(fact(agent, "disk", "ok"))
		wait := 100 * time.Millisecond
		for range 12 {
			scan.report(fact(agent, "scan", "pass"))
			synctest.Wait()
			if got := values(tracker.Facts(time.Now(), agent)); got != "disk=ok scan=pass" {
				t.Fatalf("while it works: got %q", got)
			}
			scan.fail()
			synctest.Wait()
			if got := values(tracker.Facts(time.Now(), agent)); got != "disk=ok" {
				t.Fatalf("once it failed: got %q, want only the other's fact", got)
			}
			failed := time.Now()
			<-scan.started
			if got := time.Since(failed); got != wait {
				t.Fatalf("restarted after %s, want %s", got, wait)
			}
			wait = min(2*wait, 30*time.Second)
		}
		<-time.After(time.Minute) // it ran long
		scan.fail()
		failed := time.Now()
		<-scan.started
		if got := time.Since(failed); got != 100*time.Millisecond {
			t.Errorf("after a long run: restarted after %s, want 100ms", got)
		}
		if strings.Count(log.String(), "posture source failed") != 13 || !slices.Contains(events, "retracted scan") {
			t.Errorf("log:\n%s\nevents: %v", log, events)
		}
	})
}

// A source that panics fails like any other, and ends nothing else; what was thrown is
// not logged.
func TestASourceThatPanicsVouchesForNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		scan, disk, log := newScript(), newScript(), &bytes.Buffer{}
		tracker := posture.NewTracker(map[string]posture.Source{"scan": scan, "disk": disk}, posture.TrackerOptions{Logger: slog.New(slog.NewTextHandler(log, nil))})
		run(t, tracker)
		<-scan.started
		disk.report(fact(agent, "disk", "ok"))
		scan.report(fact(agent, "scan", "pass"))
		scan.steps <- func(func(posture.Fact)) error { panic("hunter2") }
		<-scan.started
		if got := values(tracker.Facts(time.Now(), agent)); got != "disk=ok" {
			t.Errorf("got %q, want only the other's fact", got)
		}
		if got := log.String(); !strings.Contains(got, "panic of type string") || strings.Contains(got, "hunter2") {
			t.Errorf("got the log %q, want the type of what was thrown and no more", got)
		}
		scan.report(fact(agent, "scan", "pass"))
		synctest.Wait()
		if got := values(tracker.Facts(time.Now(), agent)); got != "disk=ok scan=pass" {
			t.Errorf("once it works again: got %q", got)
		}
	})
}

func TestStopForgetsWithoutRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		scan, events := newScript(), []string(nil)
		tracker := posture.NewTracker(map[string]posture.Source{"scan": scan}, posture.TrackerOptions{
			Record: func(_ posture.Fact, event string) { events = append(events, event) },
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- tracker.Run(ctx) }()
		scan.report(fact(agent, "scan", "pass"))
		synctest.Wait()
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("run: got %v, want that its context ended", err)
		}
		if got := tracker.Facts(time.Now(), agent); got != nil || !slices.Equal(events, []string{"changed"}) {
			t.Errorf("got %v and %v, want no facts and one record", got, events)
		}
	})
}

// late is a source that goes on talking after it has returned.
type late struct{ report func(posture.Fact) }

func (l *late) Watch(ctx context.Context, report func(posture.Fact)) error {
	if l.report == nil {
		l.report = report
		return nil
	}
	<-ctx.Done()
	return ctx.Err()
}

// A record that can't be written, as on a disk that hangs, must not keep what turned
// bad from those whose streams are open; it is told all in order later.
func TestNoFactWaitsForARecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		scan, disk, hangs := newScript(), newScript(), make(chan struct{})
		var told []string
		tracker := posture.NewTracker(map[string]posture.Source{"scan": scan, "disk": disk}, posture.TrackerOptions{
			Record: func(f posture.Fact, event string) {
				<-hangs
				told = append(told, f.Name+"="+f.Value+" "+event)
			},
		})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- tracker.Run(ctx) }()
		for _, change := range []func(){
			func() { disk.report(fact(agent, "disk", "pass")) },
			func() { scan.report(fact(agent, "scan", "pass")) },
			func() { scan.report(fact(agent, "scan", "fail")) },
			disk.fail,
		} {
			change()
			synctest.Wait()
		}
		if got := values(tracker.Facts(time.Now(), agent)); got != "scan=fail" {
			t.Errorf("got %q known, want scan=fail", got)
		}
		close(hangs)
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("run: got %v, want cancelled", err)
		}
		if want := []string{"disk=pass changed", "scan=pass changed", "scan=fail changed", "disk=pass retracted"}; !slices.Equal(told, want) {
			t.Errorf("got %q told, want %q", told, want)
		}
	})
}

func TestReportsThatDoNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		scan, ended := newScript(), &late{}
		tracker := posture.NewTracker(map[string]posture.Source{"scan": scan, "late": ended}, posture.TrackerOptions{})
		run(t, tracker)
		synctest.Wait()
		ended.report(fact(agent, "late", "pass"))
		scan.report(fact(agent, "disk", "pass"), fact("", "scan", "pass"), fact(agent, "scan", ""))
		synctest.Wait()
		if got := tracker.Known(); len(got["scan"]) != 0 || len(got["disk"]) != 0 {
			t.Errorf("got %v known, want nothing", got)
		}
		if got := tracker.Facts(time.Now(), agent); got != nil || tracker.Epoch() != 0 {
			t.Errorf("got %v at epoch %d, want nothing: too late, another's name, no subject, and never stated", got, tracker.Epoch())
		}
	})
}

func TestKnownIsWhatIsStatedNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		scan := newScript()
		tracker := posture.NewTracker(map[string]posture.Source{"scan": scan}, posture.TrackerOptions{})
		run(t, tracker)
		scan.report(fact(imageB, "scan", "pass"), fact(imageA, "scan", "fail"), fact(agent, "scan", "pass"), fact(agent, "scan", ""))
		synctest.Wait()
		if got := tracker.Known()["scan"]; !slices.Equal(got, []string{imageA, imageB}) {
			t.Errorf("got %v, want the two images, sorted", got)
		}
	})
}

func TestNoSourcesIsReady(t *testing.T) {
	tracker := posture.NewTracker(nil, posture.TrackerOptions{})
	if err := tracker.Wait(t.Context()); err != nil {
		t.Error(err)
	}
	if got := tracker.Subjects(agent); got != nil {
		t.Errorf("subjects: got %v, want none beside the agent", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	waiting := posture.NewTracker(map[string]posture.Source{"x": newScript()}, posture.TrackerOptions{})
	if err := waiting.Wait(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("wait: got %v, want cancelled", err)
	}
}

// TestSeveralSubjects holds the rules for a workload known by several names.
func TestSeveralSubjects(t *testing.T) {
	old := func(f posture.Fact, age time.Duration) posture.Fact {
		f.ObservedAt = f.ObservedAt.Add(-age)
		return f
	}
	for _, tc := range []struct {
		name  string
		facts func() []posture.Fact
		asked []string
		want  string
		age   time.Duration
	}{
		{"nobody asked", func() []posture.Fact { return []posture.Fact{fact(agent, "scan", "pass")} }, nil, "", 0},
		{"another asked", func() []posture.Fact { return []posture.Fact{fact(agent, "scan", "pass")} }, []string{imageA}, "", 0},
		{"workload alone", func() []posture.Fact { return []posture.Fact{fact(agent, "scan", "pass")} }, []string{agent}, "scan=pass", 0},
		{"workload without its image", func() []posture.Fact { return []posture.Fact{fact(agent, "scan", "pass")} }, []string{agent, imageA}, "scan=pass", 0},
		{"image for the workload", func() []posture.Fact { return []posture.Fact{fact(imageA, "scan", "pass")} }, []string{agent, imageA}, "scan=pass", 0},
		{"one image of two", func() []posture.Fact { return []posture.Fact{fact(imageA, "scan", "pass")} }, []string{agent, imageA, imageB}, "", 0},
		{"the other image of two", func() []posture.Fact { return []posture.Fact{fact(imageB, "scan", "pass")} }, []string{agent, imageA, imageB}, "", 0},
		{"one image of two and the workload", func() []posture.Fact {
			return []posture.Fact{fact(agent, "scan", "pass"), fact(imageA, "scan", "pass")}
		}, []string{agent, imageA, imageB}, "", 0},
		{"both images", func() []posture.Fact {
			return []posture.Fact{old(fact(imageA, "scan", "pass"), time.Minute), fact(imageB, "scan", "pass")}
		}, []string{agent, imageA, imageB}, "scan=pass", time.Minute},
		{"the oldest counts, in either order", func() []posture.Fact {
			return []posture.Fact{fact(imageA, "scan", "pass"), old(fact(imageB, "scan", "pass"), time.Minute)}
		}, []string{agent, imageA, imageB}, "scan=pass", time.Minute},
		{"a failure wins", func() []posture.Fact {
			return []posture.Fact{old(fact(imageA, "scan", "pass"), time.Minute), fact(imageB, "scan", "fail")}
		}, []string{imageA, imageB}, "scan=fail", 0},
		{"a failure wins, in either order", func() []posture.Fact {
			return []posture.Fact{fact(imageA, "scan", "fail"), old(fact(imageB, "scan", "pass"), time.Minute)}
		}, []string{imageA, imageB}, "scan=fail", 0},
		{"a failing workload with a passing image", func() []posture.Fact {
			return []posture.Fact{fact(agent, "scan", "fail"), fact(imageA, "scan", "pass")}
		}, []string{agent, imageA}, "scan=fail", 0},
		{"neither of two values is the worse", func() []posture.Fact {
			return []posture.Fact{fact(imageA, "scan", "pass"), fact(imageB, "scan", "partly")}
		}, []string{imageA, imageB}, "", 0},
		{"a stale fact hides a fresh one", func() []posture.Fact {
			return []posture.Fact{old(fact(imageA, "scan", "pass"), 2*time.Hour), fact(imageB, "scan", "pass")}
		}, []string{imageA, imageB}, "", 0},
		{"a stale fact hides a fresh one, in either order", func() []posture.Fact {
			return []posture.Fact{fact(imageA, "scan", "pass"), old(fact(imageB, "scan", "pass"), 2*time.Hour)}
		}, []string{imageA, imageB}, "", 0},
		{"another name is not hidden", func() []posture.Fact {
			return []posture.Fact{old(fact(agent, "scan", "pass"), 2*time.Hour), fact(agent, "disk", "ok"), fact(imageA, "scan", "pass")}
		}, []string{agent, imageA}, "disk=ok", 0},
		{"sorted by name", func() []posture.Fact {
			return []posture.Fact{fact(agent, "scan", "pass"), fact(imageA, "disk", "ok")}
		}, []string{agent, imageA}, "disk=ok scan=pass", 0},
		{"as old as allowed", func() []posture.Fact { return []posture.Fact{old(fact(agent, "scan", "pass"), time.Hour)} }, []string{agent}, "scan=pass", time.Hour},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				scan, disk := newScript(), newScript()
				tracker := posture.NewTracker(map[string]posture.Source{"scan": scan, "disk": disk}, posture.TrackerOptions{})
				run(t, tracker)
				for _, f := range tc.facts() {
					map[string]*script{"scan": scan, "disk": disk}[f.Name].report(f)
				}
				synctest.Wait()
				got := tracker.Facts(time.Now(), tc.asked...)
				if values(got) != tc.want {
					t.Fatalf("got %q, want %q", values(got), tc.want)
				}
				if len(got) > 0 && got[0].Age(time.Now()) != tc.age {
					t.Errorf("age: got %s, want %s", got[0].Age(time.Now()), tc.age)
				}
			})
		})
	}
}

// resolver is a source that knows digests and states nothing.
type resolver struct {
	*script
	digests map[string][]string
}

func (r resolver) Subjects(id string) []string { return append([]string{id}, r.digests[id]...) }

func TestSubjectsOfSeveralSources(t *testing.T) {
	a := resolver{newScript(), map[string][]string{agent: {imageA}}}
	b := resolver{newScript(), map[string][]string{agent: {imageB, imageA}}}
	one := posture.NewTracker(map[string]posture.Source{"a": a, "c": newScript()}, posture.TrackerOptions{})
	both := posture.NewTracker(map[string]posture.Source{"a": a, "b": b}, posture.TrackerOptions{})
	if got := one.Subjects(agent); !slices.Equal(got, []string{agent, imageA}) {
		t.Errorf("one source: got %v", got)
	}
	if got := both.Subjects(agent); !slices.Equal(got, []string{agent, imageA, imageB}) {
		t.Errorf("two sources: got %v", got)
	}
}

func TestFactsAllocatesOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		scan := newScript()
		tracker := posture.NewTracker(map[string]posture.Source{"scan": scan}, posture.TrackerOptions{})
		run(t, tracker)
		scan.report(fact(agent, "scan", "pass"), fact(imageA, "scan", "pass"))
		synctest.Wait()
		now, subjects, nobody := time.Now(), []string{agent, imageA}, []string{"spiffe://acme.example/nobody"}
		if n := testing.AllocsPerRun(100, func() { tracker.Facts(now, subjects...) }); n > 1 {
			t.Errorf("known: got %v allocations, want at most 1", n)
		}
		if n := testing.AllocsPerRun(100, func() { tracker.Facts(now, agent) }); n > 0 {
			t.Errorf("known by one subject: got %v allocations, want none", n)
		}
		if n := testing.AllocsPerRun(100, func() { tracker.Facts(now, nobody...); tracker.Epoch() }); n > 0 {
			t.Errorf("unknown: got %v allocations, want none", n)
		}
	})
}

// TestReadersAndWriters is for the race detector; it also holds that a reader
// who sees the epoch of a change sees the change.
func TestReadersAndWriters(t *testing.T) {
	scan := newScript()
	tracker := posture.NewTracker(map[string]posture.Source{"scan": scan}, posture.TrackerOptions{})
	run(t, tracker)
	const last = 500
	var readers sync.WaitGroup
	written := make(chan struct{})
	for range 4 {
		readers.Go(func() {
			for open := true; open; {
				select {
				case <-written:
					open = false // one more look
				default:
				}
				epoch := tracker.Epoch()
				facts := tracker.Facts(time.Now(), agent)
				if epoch == 0 {
					continue
				}
				var seen uint64
				if len(facts) != 1 {
					t.Errorf("epoch %d: got %v", epoch, facts)
					return
				}
				if _, err := fmt.Sscan(facts[0].Value, &seen); err != nil || seen < epoch {
					t.Errorf("epoch %d: got fact %d", epoch, seen)
					return
				}
			}
		})
	}
	for n := 1; n <= last; n++ {
		scan.report(fact(agent, "scan", fmt.Sprint(n)))
	}
	scan.report() // taken only when the last one was
	close(written)
	readers.Wait()
	if got := tracker.Epoch(); got != last {
		t.Errorf("epoch: got %d after %d changes", got, last)
	}
}

func BenchmarkFacts(b *testing.B) {
	scan := newScript()
	tracker := posture.NewTracker(map[string]posture.Source{"scan": scan}, posture.TrackerOptions{})
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	go func() { _ = tracker.Run(ctx) }()
	for i := range 10_000 {
		scan.report(fact(fmt.Sprintf("spiffe://acme.example/agent%d", i), "scan", "pass"))
	}
	scan.report(fact(imageA, "scan", "pass"))
	now, subjects := time.Now(), []string{"spiffe://acme.example/agent77", imageA}
	b.ReportAllocs()
	for b.Loop() {
		tracker.Facts(now, subjects...)
	}
}
