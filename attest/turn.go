package attest

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
	"time"

	"mintmark/internal/fault"
)

// verifyWithin is how long one piece of evidence may wait for its turn and be
// verified: what can't be told by then is not known, and the call is refused.
const verifyWithin = 5 * time.Second

// turns has room for each piece of evidence that one attestor is verifying. A
// stranger's many connections must not take the processors from the calls whose
// evidence is known. Each attestor has its own: one that hangs, as over a network,
// takes none from the others.
type turns chan struct{}

func newTurns() turns { return make(turns, runtime.GOMAXPROCS(0)) }

// turn is the right to have one piece of evidence verified, once.
type turn struct {
	ctx    context.Context // of the call, and at most verifyWithin
	cancel context.CancelFunc
	call   context.Context
	m      *member
	stuck  chan verdict // that the attestor still owes, when nobody waits for it any more
}

// turn waits until m may verify a piece of evidence.
func (m *member) turn(call context.Context) (*turn, error) {
	ctx, cancel := context.WithTimeout(call, verifyWithin)
	t := &turn{ctx: ctx, cancel: cancel, call: call, m: m}
	select {
	case m.turns <- struct{}{}:
		return t, nil
	case <-ctx.Done():
		cancel()
		return nil, t.late()
	}
}

// end gives the turn back, or has it given back once the attestor ends that is not
// waited for: no more than so many are ever stuck. What that throws no call is left to
// deal with.
func (t *turn) end() {
	t.cancel()
	if t.stuck == nil {
		<-t.m.turns
		return
	}
	go func() {
		if v := <-t.stuck; v.thrown != nil {
			t.m.logPanic(v)
		}
		<-t.m.turns
	}()
}

// verdict is what an attestor said, or threw.
type verdict struct {
	id     Identity
	err    error
	thrown any
	stack  string // where that was
}

// logPanic logs what an attestor threw by its type: the value may quote what a
// stranger showed.
func (m *member) logPanic(v verdict) {
	m.logger.LogAttrs(context.Background(), slog.LevelError, "an attestor panicked after its time was over",
		slog.String("type", fmt.Sprintf("%T", v.thrown)), slog.String("stack", v.stack))
}

// verify asks the attestor. One that does not end in time is not waited for. It has
// a header of its own, since the request may end before it does.
func (t *turn) verify(e Evidence) (Identity, error) {
	e.Header = e.Header.Clone()
	said := make(chan verdict, 1)
	go func() { said <- t.ask(e) }()
	select {
	case v := <-said:
		switch {
		case v.thrown != nil:
			panic(v.thrown) // where the call's own panics are dealt with
		case v.err != nil && t.ctx.Err() != nil:
			return Identity{}, t.late() // it gave up, and says nothing of the evidence
		}
		return v.id, v.err
	case <-t.ctx.Done():
		t.stuck = said
		return Identity{}, t.late()
	}
}

func (t *turn) ask(e Evidence) (v verdict) {
	defer func() {
		if v.thrown = recover(); v.thrown != nil {
			v.stack = string(debug.Stack())
		}
	}()
	v.id, v.err = t.m.Attest(t.ctx, e)
	return v
}

// late says why the evidence was not verified.
func (t *turn) late() error {
	if err := t.call.Err(); err != nil {
		return fault.Wrap(op, fault.Unavailable, "the call ended before its evidence was verified", err)
	}
	return fault.Wrap(op, fault.Unavailable, "the evidence could not be verified in time; call again in a moment", t.ctx.Err())
}
