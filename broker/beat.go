package broker

import (
	"sync"
	"time"
)

// beatAfter is how long what came of an answer without a stated length is held back for
// what may come after it, and at most twice that. The pieces of one message come in less,
// so that a secret in it is not split; and who reads a watch, or a model's words, does not
// notice it.
const beatAfter = 25 * time.Millisecond

// beat gives the agent what came of an answer and was held back, though nothing more
// comes. What it gives out came a beat before, whatever it is and whatever came since.
// A nil beat is of an answer that has none: one goroutine alone gives the agent
// anything then.
type beat struct {
	relay *relay

	mu    sync.Mutex // of all that gives the agent anything
	timer *time.Timer
	upto  int64 // what had come of the answer when the timer was set
	set   bool
	ended bool
	err   error // of a write that the timer made
}

// newBeat starts the beat of r, which end ends.
func newBeat(r *relay) *beat {
	b := &beat{relay: r, set: true}
	b.mu.Lock() // it may strike before all is set
	defer b.mu.Unlock()
	b.timer = time.AfterFunc(beatAfter, b.strike)
	return b
}

// lock is held by whoever gives the agent anything of the answer.
func (b *beat) lock() {
	if b != nil {
		b.mu.Lock()
	}
}

func (b *beat) unlock() {
	if b != nil {
		b.mu.Unlock()
	}
}

// failed returns why a beat could not give out what it had, or nil. The caller has
// locked it, as for the two that follow.
func (b *beat) failed() error {
	if b == nil {
		return nil
	}
	return b.err
}

// over says whether no beat is to give out anything any more.
func (b *beat) over(ended bool) {
	if b != nil {
		b.ended = ended
	}
}

// came has what came given out with the beat.
func (b *beat) came() {
	if b != nil && b.timer != nil && !b.set {
		b.again()
	}
}

func (b *beat) again() {
	b.upto, b.set = b.relay.scrub.Came(), true
	b.timer.Reset(beatAfter)
}

// strike is called by the timer. An error ends the wait for more of the answer.
func (b *beat) strike() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended {
		return
	}
	defer func() { // a panic must not end the broker
		if v := recover(); v != nil {
			b.fail(unjudged(v))
		}
	}()
	b.set = false
	if err := b.relay.give(b.relay.scrub.Due(b.upto)); err != nil {
		b.fail(err)
		return
	}
	if b.relay.scrub.Waits() {
		b.again()
	}
}

func (b *beat) fail(err error) {
	b.err = err
	b.relay.call.end(err)
}

// end ends the beat: nothing is given out by it after it returns.
func (b *beat) end() {
	b.lock()
	defer b.unlock()
	b.over(true)
	if b != nil && b.timer != nil {
		b.timer.Stop()
	}
}
