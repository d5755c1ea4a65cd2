package broker

import (
	"container/list"
	"context"
	"hash/maphash"
	"slices"
	"sync"

	"mintmark/providers"
)

// mostVisits is how many sessions are known to be open. Past that the one that was not
// used for longest is forgotten: its agent's credential may then be given up while it
// is open, and its next call has another minted.
const mostVisits = 1 << 16

// stays are the agents that hold credentials of their own, by what they need these
// for: sessions that are open, and calls under way. When the last of both has ended
// so has the credential. An agent without either is not in it. Sessions are those of
// which the broker saw the beginning or a use: one that an agent leaves without a word
// stays until it is forgotten.
type stays struct {
	seed maphash.Seed

	mu   sync.Mutex
	of   map[workload]*stay
	open map[visit]*list.Element // of visit
	used list.List               // the last first
}

// visit is a session of an agent with an upstream, or with /mcp where that is "".
type visit struct {
	agent    workload
	upstream string
	session  uint64 // a hash of its id
}

// stay is what one agent has open.
type stay struct {
	sessions map[string]int    // by upstream
	calls    map[string]int    // under way, by provider
	over     map[string]func() // by provider: gives the credential up, once no call has it
}

func newStays() *stays {
	return &stays{seed: maphash.MakeSeed(), of: make(map[workload]*stay), open: make(map[visit]*list.Element)}
}

// perAgent returns, by upstream, the providers that have a credential for each agent
// there, and under "" all of them.
func (s *snapshot) perAgent() map[string][]string {
	owners := make(map[string][]string)
	for name, u := range s.upstreams {
		for i := range u.injections {
			provider := u.injections[i].provider
			if !s.pool.PerAgent(provider) {
				continue
			}
			for _, at := range [...]string{name, ""} {
				if !slices.Contains(owners[at], provider) {
					owners[at] = append(owners[at], provider)
				}
			}
		}
	}
	return owners
}

// begins notes that the agent of c has a session with an upstream, or goes on with one.
func (s *stays) begins(c *call, upstream, session string) {
	own := c.snap.owners[upstream]
	if len(own) == 0 || session == "" {
		return
	}
	v := visit{workloadOf(c.identity), upstream, maphash.String(s.seed, session)}
	s.mu.Lock()
	defer s.mu.Unlock()
	if e, ok := s.open[v]; ok {
		s.used.MoveToFront(e)
		return
	}
	if s.used.Len() >= mostVisits {
		s.close(s.used.Back().Value.(visit))
	}
	a := s.stay(v.agent)
	for _, provider := range own {
		delete(a.over, provider)
	}
	s.open[v] = s.used.PushFront(v)
	a.sessions[upstream]++
}

// calls notes that c is about to lease a credential of its agent's own, until its
// context ends: until then it is not given up. The caller leases after this.
func (s *stays) calls(c *call) {
	agent, provider := workloadOf(c.identity), c.injection.provider
	if c.session != "" {
		s.begins(c, c.name, c.session)
	}
	s.mu.Lock()
	s.stay(agent).calls[provider]++
	s.mu.Unlock()
	context.AfterFunc(c.ctx, func() { s.leaves(agent, provider) })
}

// leaves notes that a call has ended.
func (s *stays) leaves(agent workload, provider string) {
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
func (s *stays) ends(c *call, upstream, session string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	agent, pool := workloadOf(c.identity), c.snap.pool
	s.close(visit{agent, upstream, maphash.String(s.seed, session)})
	a := s.stay(agent)
	for _, provider := range c.snap.owners[upstream] {
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
func (a *stay) needs(provider string, snap *snapshot) bool {
	for upstream := range a.sessions {
		if slices.Contains(snap.owners[upstream], provider) {
			return true
		}
	}
	return false
}

// stay returns what agent has open. The caller holds mu.
func (s *stays) stay(agent workload) *stay {
	a := s.of[agent]
	if a == nil {
		a = &stay{sessions: make(map[string]int), calls: make(map[string]int), over: make(map[string]func())}
		s.of[agent] = a
	}
	return a
}

// close takes out a session, if it is there. The caller holds mu.
func (s *stays) close(v visit) {
	e, ok := s.open[v]
	if !ok {
		return
	}
	s.used.Remove(e)
	delete(s.open, v)
	a := s.of[v.agent]
	if a.sessions[v.upstream]--; a.sessions[v.upstream] == 0 {
		delete(a.sessions, v.upstream)
	}
	s.tidy(v.agent, a)
}

// tidy forgets an agent that has nothing open. The caller holds mu.
func (s *stays) tidy(agent workload, a *stay) {
	if len(a.sessions)+len(a.calls) == 0 {
		delete(s.of, agent)
	}
}
