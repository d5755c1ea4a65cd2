package broker

import (
	"cmp"
	"errors"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"

	"mintmark/injector/mcp"
	"mintmark/internal/fault"
	"mintmark/policies"
)

// era is one of the two forms of the protocol.
type era uint32

const (
	eraUnknown   era = iota
	eraSessions      // up to 2025-11-25: initialize, sessions, a stream of the server's own
	eraStateless     // from 2026-07-28: every request by itself
)

// eraOf returns the era that a registration names, or eraUnknown for "auto".
func eraOf(protocol string) era {
	switch protocol {
	case "sessions":
		return eraSessions
	case "stateless":
		return eraStateless
	}
	return eraUnknown
}

// speaks is the era of one upstream: registered, or learned from what it
// answers. What was learned is asked again after a while, since servers are
// updated.
type speaks struct {
	registered era
	learned    atomic.Uint32
	until      atomic.Int64 // Unix seconds: when it is asked again
	barred     barred
}

// barred are the agents that policy did not let ask of late: they are not judged anew
// for each of their calls.
type barred struct {
	mu    sync.Mutex
	since time.Time
	all   map[workload]struct{}
}

const barredMost = 4096 // agents; more are judged each time

func (b *barred) has(agent workload, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now.Sub(b.since) >= unknownFor {
		clear(b.all)
		b.since = now
	}
	_, ok := b.all[agent]
	return ok
}

func (b *barred) add(agent workload) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.all == nil {
		b.all = make(map[workload]struct{})
	}
	if len(b.all) < barredMost {
		b.all[agent] = struct{}{}
	}
}

const (
	learnedFor = 5 * time.Minute
	// unknownFor bounds how often an upstream is asked that does not say.
	unknownFor = 10 * time.Second
)

func (s *speaks) at(now time.Time) era {
	if s.registered != eraUnknown {
		return s.registered
	}
	if s.due(now) {
		return eraUnknown
	}
	return era(s.learned.Load())
}

// due reports whether the upstream should be asked.
func (s *speaks) due(now time.Time) bool {
	return s.registered == eraUnknown && now.Unix() >= s.until.Load()
}

func (s *speaks) learn(e era, now time.Time) {
	age := learnedFor
	if e == eraUnknown { // what was known before stands until it is known otherwise
		age = unknownFor
	} else {
		s.learned.Store(uint32(e))
	}
	s.until.Store(now.Add(age).Unix())
}

// era returns the one that the agent speaks in this call. A notification need
// not state its revision, so that its header counts.
func (c *call) era() era {
	if c.msg.Version != "" || c.msg.Kind == mcp.Notification && c.header.Get(mcp.HeaderVersion) == mcp.Stateless {
		return eraStateless
	}
	return eraSessions
}

// registeredEra returns the era that the upstream of c is registered with, or
// eraUnknown.
func (b *Broker) registeredEra(c *call) era {
	if u, ok := c.snap.upstreams[c.name]; ok && !u.plain {
		return u.speaks.registered
	}
	return eraUnknown
}

// oneEra reports whether the upstream of c serves agents of its own era alone.
func (b *Broker) oneEra(c *call) bool {
	u, ok := c.snap.upstreams[c.name]
	return ok && u.oneEra
}

// otherEra refuses a call to an upstream that speaks another era, and is not to be
// bridged to.
func (b *Broker) otherEra(c *call, speaks era) error {
	if err := b.decide(c); err != nil {
		return err
	}
	supported := slices.DeleteFunc(slices.Clone(mcp.Versions()), func(v string) bool { return (v >= mcp.Stateless) != (speaks == eraStateless) })
	return fault.Wrap("forward", fault.Invalid, "", mcp.OnlyVersions(cmp.Or(c.msg.Version, c.msg.Initialize, c.header.Get(mcp.HeaderVersion)), supported))
}

// upstreamEra returns the era that the upstream of c speaks. Where it is not
// known yet, the upstream is asked, on the agent's behalf and by its leave: where
// the agent may not ask, nothing is learned for a while, and its call passes as it
// is.
func (b *Broker) upstreamEra(c *call) era {
	u, ok := c.snap.upstreams[c.name]
	if !ok || u.plain {
		return eraUnknown
	}
	if u.speaks.due(b.clock()) {
		if e, asked := b.discover(c); asked {
			u.speaks.learn(e, b.clock())
		}
	}
	return u.speaks.at(b.clock())
}

// discover asks the upstream of c whether it is stateless. Such a server must
// answer (MCP 2026-07-28, server/discover), and one with sessions refuses.
//
// What one agent may not ask, or asks and does not wait for, says nothing about
// the upstream, so that it counts as not asked: what is learned serves all agents.
func (b *Broker) discover(c *call) (found era, asked bool) {
	u := c.snap.upstreams[c.name]
	agent := workloadOf(c.identity)
	if u.speaks.barred.has(agent, b.clock()) {
		return eraUnknown, false
	}
	with, ok := u.injectionFor("")
	if !ok || !c.ask(b.clock(), "server/discover", policies.Target{}, with).Allow {
		u.speaks.barred.add(agent)
		return eraUnknown, false // and no refusal is on record that the agent did not ask for
	}
	f, err := b.fork(c, worded{upstream: c.name, body: asBroker().Discover(mcp.Quote("mintmark"))})
	if err != nil {
		return eraUnknown, false
	}
	// They are an agent's words. A server that can't take them, or a proxy before
	// it, refuses with the statuses of one with sessions.
	delete(f.header, "Traceparent")
	delete(f.header, "Tracestate")
	a, err := b.asks(f)
	if err != nil {
		return eraUnknown, c.ctx.Err() == nil
	}
	m, err := a.next(b)
	for err == nil && m.Kind == mcp.None {
		m, err = a.next(b)
	}
	switch {
	case err == nil && m.Kind == mcp.Response && supports(m.Result, mcp.Stateless):
		found = eraStateless
	case refusesRevision(a.resp.StatusCode, err == nil && m.Kind == mcp.Response) && !isDenial(err):
		found, err = eraSessions, nil
	}
	a.close(b, err)
	return found, c.ctx.Err() == nil
}

// refusesRevision reports whether a status is what servers with sessions answer
// server/discover with. A refusal of the caller, or of anyone for now, is not.
func refusesRevision(status int, answered bool) bool {
	switch status {
	case http.StatusBadRequest, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotAcceptable, http.StatusUnsupportedMediaType:
		return true
	}
	return answered && status < http.StatusMultipleChoices
}

func isDenial(err error) bool {
	f, ok := errors.AsType[*fault.Error](err)
	return ok && f.Kind != fault.BadUpstream
}

// supports reports whether the result of server/discover names a revision.
func supports(result mcp.Object, revision string) bool {
	var versions []string
	return json.Unmarshal(result.Get("supportedVersions"), &versions) == nil && slices.Contains(versions, revision)
}

// asBroker is who the broker says it is where it asks on nobody's behalf.
func asBroker() mcp.Client {
	return mcp.Client{Info: []byte(`{"name":"mintmark","version":"1"}`), Capabilities: []byte(`{}`)}
}
