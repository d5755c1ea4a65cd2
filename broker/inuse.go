package broker

import (
	"container/list"
	"context"
	"hash/maphash"
	"slices"
	"sync"

	"mintmark/providers"
)

// So many sessions are known to be open, and so many of one agent, that it can't have
// others' forgotten. Past that the one that was not used for longest is forgotten, of
// the agent's own or of all: its agent's credential may then be given up while it is
// open, and its next call has another minted. None is refused for it, since few clients
// end the sessions that they leave.
const (
	mostOpen        = 1 << 16
	mostOpenOfAgent = mostOpen / 64
)

// inUse knows what agents' own credentials (per_agent) are in use for: sessions that
// are open, and calls under way. When the last of both has ended the credential is
// given up. An agent without either is not in it. Sessions are those of which the
// broker saw the beginning or a use: one that an agent leaves without a word is open
// until it is forgotten.
type inUse struct {
	seed maphash.Seed

	mu   sync.Mutex
	of   map[workload]*agentUse
	open map[openSession]usedAt
	used list.List // of openSession, the last first
}

// usedAt is the place of a session among all, and among its agent's.
type usedAt struct{ ofAll, ofAgent *list.Element }

// openSession is a session of an agent with an upstream, or with /mcp where that is "".
type openSession struct {
	agent    workload
	upstream string
	session  uint64 // a hash of its id
}

// agentUse is what one agent has open and under way.
type agentUse struct {
	sessions map[string]int    // by upstream
	used     list.List         // of openSession, the last first
	calls    map[string]int    // under way, by provider
	over     map[string]func() // by provider: gives the credential up, once no call has it
}

func newInUse() *inUse {
	return &inUse{seed: maphash.MakeSeed(), of: make(map[workload]*agentUse), open: make(map[openSession]usedAt)}
}

// findPerAgent returns, by upstream, the providers that have a credential for each agent
// there, and under "" all of them.
func (s *snapshot) findPerAgent() map[string][]string {
	found := make(map[string][]string)
	for name, u := range s.upstreams {
		for i := range u.injections {
			provider := u.injections[i].provider
			if !s.pool.PerAgent(provider) {
				continue
			}
			for _, at := range [...]string{name, ""} {
				if !slices.Contains(found[at], provider) {
					found[at] = append(found[at], provider)
				}
			}
		}
	}
	return found
}

// begins notes that the agent of c has a session with its upstream, or goes on with one.
func (s *inUse) begins(c *call, session string) {
	own := c.snap.perAgent[c.name]
	if len(own) == 0 || session == "" {
		return
	}
	begun := s.sessionOf(c, session)
	s.mu.Lock()
	defer s.mu.Unlock()
	if at, ok := s.open[begun]; ok {
		s.used.MoveToFront(at.ofAll)
		s.of[begun.agent].used.MoveToFront(at.ofAgent)
		return
	}
	s.makeRoom(begun.agent)
	a := s.agent(begun.agent)
	for _, provider := range own {
		delete(a.over, provider)
	}
	s.open[begun] = usedAt{s.used.PushFront(begun), a.used.PushFront(begun)}
	a.sessions[c.name]++
}

// makeRoom forgets a session where there is no room for one more of agent's. The
// caller holds mu.
func (s *inUse) makeRoom(agent workload) {
	if a := s.of[agent]; a != nil && a.used.Len() >= mostOpenOfAgent {
		s.close(a.used.Back().Value.(openSession))
	} else if s.used.Len() >= mostOpen {
		s.close(s.used.Back().Value.(openSession))
	}
}

// calls notes that c is about to lease a credential of its agent's own, until its
// context ends: until then it is not given up. The caller leases after this.
func (s *inUse) calls(c *call) {
	agent, provider := workloadOf(c.identity), c.injection.provider
	if c.session != "" {
		s.begins(c, c.session)
	}
	s.mu.Lock()
	s.agent(agent).calls[provider]++
	s.mu.Unlock()
	context.AfterFunc(c.ctx, func() { s.leaves(agent, provider) })
}

// leaves notes that a call has ended.
func (s *inUse) leaves(agent workload, provider string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.of[agent]
	if a.calls[provider]--; a.calls[provider] == 0 {
		delete(a.calls, provider)
		if giveUp := a.over[provider]; giveUp != nil {
			delete(a.over, provider)
			giveUp() // with mu held: a call that begins now has another minted
		}
	}
	s.tidy(agent, a)
}

// ends notes that the agent of c has no such session any more, and gives up what it
// needs for nothing else. What another session may need rests instead: that may have
// been left behind.
func (s *inUse) ends(c *call, session string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	agent, pool := workloadOf(c.identity), c.snap.pool
	s.close(s.sessionOf(c, session))
	a := s.agent(agent)
	for _, provider := range c.snap.perAgent[c.name] {
		req := providers.Request{Agent: c.identity}
		switch {
		case a.needs(provider, c.snap):
			pool.Rest(provider, req)
		case a.calls[provider] > 0:
			a.over[provider] = func() { pool.GiveUp(provider, req) }
		default:
			pool.GiveUp(provider, req)
		}
	}
	s.tidy(agent, a)
}

// needs reports whether a session is open that the provider may serve.
func (a *agentUse) needs(provider string, snap *snapshot) bool {
	for upstream := range a.sessions {
		if slices.Contains(snap.perAgent[upstream], provider) {
			return true
		}
	}
	return false
}

// sessionOf returns a session of c's agent with its upstream.
func (s *inUse) sessionOf(c *call, session string) openSession {
	return openSession{workloadOf(c.identity), c.name, maphash.String(s.seed, session)}
}

// agent returns what an agent has open and under way. The caller holds mu.
func (s *inUse) agent(agent workload) *agentUse {
	a := s.of[agent]
	if a == nil {
		a = &agentUse{sessions: make(map[string]int), calls: make(map[string]int), over: make(map[string]func())}
		s.of[agent] = a
	}
	return a
}

// close takes out a session, if it is there. The caller holds mu.
func (s *inUse) close(ended openSession) {
	at, ok := s.open[ended]
	if !ok {
		return
	}
	a := s.of[ended.agent]
	s.used.Remove(at.ofAll)
	a.used.Remove(at.ofAgent)
	delete(s.open, ended)
	if a.sessions[ended.upstream]--; a.sessions[ended.upstream] == 0 {
		delete(a.sessions, ended.upstream)
	}
	s.tidy(ended.agent, a)
}

// tidy forgets an agent that has nothing open. The caller holds mu.
func (s *inUse) tidy(agent workload, a *agentUse) {
	if len(a.sessions)+len(a.calls) == 0 {
		delete(s.of, agent)
	}
}
