package broker

import (
	"sync"

	"mintmark/attest"
	"mintmark/internal/fault"
)

const (
	waitingOfAgent = 32
	waitingInAll   = 1024
)

// waiting counts the calls that wait for their agent's input. They hold no slot of
// limits.concurrent, but a connection to an upstream, so that they have bounds of
// their own.
type waiting struct {
	mu     sync.Mutex
	agents map[string]int
	all    int
}

// enter counts a call of this agent's until the returned func is called, which
// may be more than once. It refuses one too many.
func (w *waiting) enter(agent attest.Identity) (leave func(), err error) {
	key := workload(agent)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.all >= waitingInAll || w.agents[key] >= waitingOfAgent {
		return nil, fault.New("answer", fault.Unavailable, "too many calls wait for input; give it, or call again later")
	}
	if w.agents == nil {
		w.agents = make(map[string]int)
	}
	w.agents[key]++
	w.all++
	return sync.OnceFunc(func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.all--
		if w.agents[key]--; w.agents[key] == 0 {
			delete(w.agents, key)
		}
	}), nil
}

// workload is what tables know an agent by: a subject alone may be of two issuers.
func workload(agent attest.Identity) string { return string(binding("", agent)) }
