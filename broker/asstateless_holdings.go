package broker

import (
	"crypto/sha256"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"mintmark/injector/mcp"
	"mintmark/internal/fault"
)

const (
	sessionIdle     = 10 * time.Minute // after which a session is ended, and made anew when it is wanted
	sessionForget   = 2 * sessionIdle  // after which a session is forgotten whose agent does not call
	sessionsOfAgent = 64               // an agent that says it is another client each time must not fill the table
	sessionsInAll   = 4096
	idsBurnt        = 1024 // of calls that were cut; the upstream may still be at work on them
)

// holdingKey is whom a session is held for. Nothing of it is shared: not between
// identities, nor between clients of one identity that can be asked other things,
// nor between credentials.
type holdingKey struct {
	agent    workload
	session  string // of the agent's own with /mcp, or ""
	provider string
	client   [sha256.Size]byte // of clientInfo and capabilities
}

// holding is a session with an upstream that the broker holds for an agent.
type holding struct {
	key   holdingKey
	ready chan struct{} // closed when the five below stand
	err   error         // why there is no session

	id        string // "": the upstream gave none
	discovery mcp.Discovery

	// Guarded by the table.
	used  time.Time
	open  int                 // requests under way, or waiting for their agent
	taken map[string]struct{} // their ids, and those of requests that were cut
	made  int                 // ids that the broker made

	leveling chan struct{} // has room for the one that may look at level, and change it
	level    string        // of the log messages that the upstream was told to send
}

// holdings are the sessions that the broker holds with one upstream. They end
// with the bundle: what a session was opened under may no longer hold.
type holdings struct {
	ending atomic.Int64 // that are being ended aside

	mu    sync.Mutex
	byKey map[holdingKey]*holding
}

// get returns the session of key, and whether it is the caller who is to begin
// it. ended are sessions of the same agent that are no longer wanted.
func (t *holdings) get(key holdingKey, now time.Time) (h *holding, first bool, ended []*holding, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if h := t.byKey[key]; h != nil && (h.open > 0 || now.Sub(h.used) < sessionIdle) {
		h.used = now
		return h, false, nil, nil
	}
	ended, room := t.sweep(key.agent, now)
	if !room || len(t.byKey) >= sessionsInAll {
		return nil, false, ended, fault.New("forward", fault.Unavailable, "the broker holds as many sessions with this upstream as it may; call again in a moment")
	}
	h = &holding{key: key, ready: make(chan struct{}), used: now, taken: map[string]struct{}{}, leveling: make(chan struct{}, 1)}
	if t.byKey == nil {
		t.byKey = map[holdingKey]*holding{}
	}
	t.byKey[key] = h
	return h, true, ended, nil
}

// sweep takes out what is idle, and of this agent the least used when it holds
// as many as it may. It returns those of this agent, and whether it may hold one
// more: one that is being begun stays, since that goes on when its agent leaves.
func (t *holdings) sweep(agent workload, now time.Time) (ended []*holding, room bool) {
	var least *holding
	own := 0
	for key, h := range t.byKey {
		idle := now.Sub(h.used)
		switch mine := key.agent == agent; {
		case h.open == 0 && idle >= sessionIdle && mine:
			ended = append(ended, h)
			delete(t.byKey, key)
		case h.open == 0 && idle >= sessionForget:
			delete(t.byKey, key)
		case mine:
			own++
			if h.begun() && (least == nil || h.used.Before(least.used)) {
				least = h
			}
		}
	}
	if own < sessionsOfAgent {
		return ended, true
	}
	if least == nil {
		return ended, false
	}
	delete(t.byKey, least.key)
	if least.open == 0 { // else it is forgotten, and what is under way in it goes on
		ended = append(ended, least)
	}
	return ended, true
}

// begun reports whether it is known what became of h's beginning.
func (h *holding) begun() bool {
	select {
	case <-h.ready:
		return true
	default:
		return false
	}
}

// drop takes h out, so that the next call begins another.
func (t *holdings) drop(h *holding) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byKey[h.key] == h {
		delete(t.byKey, h.key)
	}
}

// take takes out the sessions that are held for one of an agent's own with /mcp.
func (t *holdings) take(agent workload, session string) (taken []*holding) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for key, h := range t.byKey {
		if key.agent == agent && key.session == session {
			delete(t.byKey, key)
			taken = append(taken, h)
		}
	}
	return taken
}

// claim returns the id that a request has in the session: its own, unless
// another is under way under it, as happens when two processes of one agent
// count alike.
func (t *holdings) claim(h *holding, id []byte, now time.Time) []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	h.open++
	h.used = now
	for {
		key := mcp.IDKey(id)
		if _, taken := h.taken[key]; !taken {
			h.taken[key] = struct{}{}
			return id
		}
		h.made++
		id = mcp.Quote(fmt.Sprintf("mintmark-%d", h.made))
	}
}

// release ends a request. The id of one that was not answered stays taken.
func (t *holdings) release(h *holding, id []byte, answered bool, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	h.open--
	h.used = now
	if answered {
		delete(h.taken, mcp.IDKey(id))
	}
	if len(h.taken) > h.open+idsBurnt && t.byKey[h.key] == h {
		delete(t.byKey, h.key)
	}
}
