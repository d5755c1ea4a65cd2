package attest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"mintmark/attest"
	"mintmark/internal/fault"
)

// An attestor that hangs, whatever becomes of its context, is waited for no longer
// than it may take, for each of the calls that wait for it; the others have their own
// turns, and it has its own back when it goes on.
func TestAnAttestorThatHangsTakesNoTurnsOfOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		free := make(chan struct{})
		a, b := newHeader("A"), newHeader("B")
		var hanging atomic.Int64
		hangs := digested{attestFunc(func(ctx context.Context, e attest.Evidence) (attest.Identity, error) {
			if _, ok := a.Digest(e); ok {
				hanging.Add(1)
				<-free
			}
			return a.Attest(ctx, e)
		}), a}
		c, err := attest.NewChain([]attest.Attestor{hangs, b}, attest.ChainOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		begun := time.Now()
		var calls sync.WaitGroup
		for range 3 * runtime.GOMAXPROCS(0) {
			calls.Go(func() {
				id, err := c.Attest(t.Context(), evidence("A", one))
				refused(t, id, err, fault.Unavailable, "could not be verified in time")
			})
		}
		synctest.Wait()
		if err := prove(t, c, evidence("B", one)); err != nil || time.Since(begun) != 0 {
			t.Errorf("another attestor: got %v after %s, want it asked at once", err, time.Since(begun))
		}
		calls.Wait()
		if got := time.Since(begun); got != 5*time.Second {
			t.Errorf("refused after %s, want 5s", got)
		}
		if got := hanging.Load(); got != int64(runtime.GOMAXPROCS(0)) {
			t.Errorf("got %d that hang, want no more than %d", got, runtime.GOMAXPROCS(0))
		}
		close(free)
		synctest.Wait()
		if err := prove(t, c, evidence("A", one)); err != nil {
			t.Errorf("once it goes on: got %v", err)
		}
	})
}

// Strangers whose evidence holds all turns, with more that wait behind them, keep no
// agent waiting whose evidence was verified before: it takes no turn. One with new
// evidence waits for its own, and is refused where none comes in time.
func TestStrangersDelayNoKnownAgent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newHeader("A")
		var hanging atomic.Int64
		hangs := digested{attestFunc(func(ctx context.Context, e attest.Evidence) (attest.Identity, error) {
			if e.Header.Get("Stranger") == "" {
				return a.Attest(ctx, e)
			}
			hanging.Add(1)
			<-ctx.Done()
			return attest.Identity{}, errors.New("expected something else")
		}), a}
		c, err := attest.NewChain([]attest.Attestor{hangs}, attest.ChainOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		known, fresh := evidence("A", one), evidence("A", two)
		if err := prove(t, c, known); err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // for the cache
		ctx, leave := context.WithCancel(t.Context())
		var strangers sync.WaitGroup
		for i := range 1000 {
			strangers.Go(func() { _, _ = c.Attest(ctx, evidence("A", fmt.Sprint("forged ", i), "Stranger", "yes")) })
		}
		synctest.Wait()
		begun := time.Now()
		for range 100 {
			if err := prove(t, c, known); err != nil || time.Since(begun) != 0 {
				t.Fatalf("a known agent among strangers: got %v after %s, want it served at once", err, time.Since(begun))
			}
		}
		if got := hanging.Load(); got != int64(runtime.GOMAXPROCS(0)) {
			t.Errorf("got %d strangers that have a turn, want all %d", got, runtime.GOMAXPROCS(0))
		}
		id, err := c.Attest(t.Context(), fresh)
		refused(t, id, err, fault.Unavailable, "could not be verified in time")
		if got := time.Since(begun); got != 5*time.Second {
			t.Errorf("new evidence: refused after %s, want 5s", got)
		}
		leave()
		strangers.Wait()
		if err := prove(t, c, fresh); err != nil {
			t.Errorf("new evidence once strangers are gone: got %v", err)
		}
	})
}

// One that gives up with its context has said nothing of the evidence.
func TestAnAttestorThatGivesUpHasNoVerdict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newHeader("A")
		var quick atomic.Bool
		gives := digested{attestFunc(func(ctx context.Context, e attest.Evidence) (attest.Identity, error) {
			if !quick.Load() {
				<-ctx.Done()
				return attest.Identity{}, ctx.Err()
			}
			return a.Attest(ctx, e)
		}), a}
		c, err := attest.NewChain([]attest.Attestor{gives}, attest.ChainOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		id, err := c.Attest(t.Context(), evidence("A", one))
		refused(t, id, err, fault.Unavailable, "could not be verified in time")
		quick.Store(true)
		if err := prove(t, c, evidence("A", one)); err != nil {
			t.Errorf("the next call: got %v, want it asked again", err)
		}
	})
}

// What an attestor throws is thrown where the call is served, and costs no turn.
func TestWhatAnAttestorThrowsIsTheCallsOwn(t *testing.T) {
	a := newHeader("A")
	const thrown = "thrown"
	throws := digested{attestFunc(func(context.Context, attest.Evidence) (attest.Identity, error) { panic(thrown) }), a}
	c := newChain(t, attest.ChainOptions{}, throws)
	for range 2 * runtime.GOMAXPROCS(0) {
		func() {
			defer func() {
				if got := recover(); got != thrown {
					t.Errorf("got %v thrown, want what the attestor threw", got)
				}
			}()
			id, err := c.Attest(t.Context(), evidence("A", one))
			t.Errorf("got %v, %v, want a panic", id, err)
		}()
	}
}

// threw is what an attestor throws: it has a value that no log may show.
type threw string

// What one throws when nobody waits for it any more is logged by its type, and its
// turn given back.
func TestWhatAnAttestorThrowsTooLateIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newHeader("A")
		var tired atomic.Bool
		throws := digested{attestFunc(func(ctx context.Context, e attest.Evidence) (attest.Identity, error) {
			if tired.Load() {
				return a.Attest(ctx, e)
			}
			<-time.After(time.Minute) // by the bubble's clock
			panic(threw("canary-5f1c2d"))
		}), a}
		var logged bytes.Buffer
		c, err := attest.NewChain([]attest.Attestor{throws}, attest.ChainOptions{Logger: slog.New(slog.NewJSONHandler(&logged, nil))})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		var calls sync.WaitGroup
		for range runtime.GOMAXPROCS(0) {
			calls.Go(func() {
				id, err := c.Attest(t.Context(), evidence("A", one))
				refused(t, id, err, fault.Unavailable, "could not be verified in time")
			})
		}
		calls.Wait()
		<-time.After(time.Minute)
		synctest.Wait()
		lines := strings.Split(strings.TrimSpace(logged.String()), "\n")
		for _, line := range lines {
			if !strings.Contains(line, `"type":"attest_test.threw"`) || !strings.Contains(line, "turn_test.go") || strings.Contains(line, "canary") {
				t.Errorf("got %s, want the type, where it was, and no value", line)
			}
		}
		if len(lines) != runtime.GOMAXPROCS(0) {
			t.Errorf("got %d lines, want one for each", len(lines))
		}
		tired.Store(true)
		if err := prove(t, c, evidence("A", one)); err != nil {
			t.Errorf("afterwards: got %v", err)
		}
	})
}
