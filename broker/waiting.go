package broker

import (
	"context"
	"sync"

	"mintmark/attest"
	"mintmark/internal/fault"
)

const (
	waitingOfAgent = 32
	waitingInAll   = 1024
)

// waiting are the calls that wait for their agent's input. They hold no slot of
// limits.concurrent, but a connection to an upstream, so that they have bounds of
// their own.
type waiting struct {
	mu     sync.Mutex
	agents map[workload]int
	calls  map[*context.CancelCauseFunc]struct{} // each ends one
	closed bool
}

// enter counts a call of this agent's, which end ends, until the returned func is
// called. That may be more than once. It refuses one too many, and any once the
// broker stops: nobody may take that long.
func (w *waiting) enter(agent attest.Identity, end context.CancelCauseFunc) (leave func(), err error) {
	key := workloadOf(agent)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return nil, errStopping
	}
	if len(w.calls) >= waitingInAll || w.agents[key] >= waitingOfAgent {
		return nil, fault.New("answer", fault.Unavailable, "too many calls wait for input; give it, or call again later")
	}
	if w.agents == nil {
		w.agents, w.calls = make(map[workload]int), make(map[*context.CancelCauseFunc]struct{})
	}
	w.agents[key]++
	w.calls[&end] = struct{}{}
	return sync.OnceFunc(func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.calls, &end)
		if w.agents[key]--; w.agents[key] == 0 {
			delete(w.agents, key)
		}
	}), nil
}

// close ends all that wait, and lets none in.
func (w *waiting) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	for end := range w.calls {
		(*end)(errStopping)
	}
}

// errStopping ends what would hold up the broker's end.
var errStopping = fault.New("answer", fault.Unavailable, "the broker is stopping; call again")

// workload is what tables know an agent by: a subject alone may be of two issuers.
type workload struct{ issuer, subject string }

func workloadOf(agent attest.Identity) workload { return workload{agent.Issuer(), agent.Subject()} }
