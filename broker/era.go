package broker

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"mintmark/injector/mcp"
	"mintmark/internal/fault"
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
	late       atomic.Int64 // Unix seconds: until when no list waits to know
	barred     barred
	asking     asking
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

// known reports whether the upstream's era was ever learned.
func (s *speaks) known() bool { return era(s.learned.Load()) != eraUnknown }

func (s *speaks) learn(e era, now time.Time) {
	age := learnedFor
	if e == eraUnknown { // what was known before stands until it is known otherwise
		age = unknownFor
	} else {
		s.learned.Store(uint32(e))
	}
	s.until.Store(now.Add(age).Unix())
}

// tooLate notes that a list waited in vain to know. What was known before stands for a while;
// where nothing was, the lists of a while do without. A call, which waits longer, asks in any case.
func (s *speaks) tooLate(now time.Time) {
	if s.known() {
		s.learn(eraUnknown, now)
		return
	}
	s.late.Store(now.Add(unknownFor).Unix())
}

// lateNow reports whether a list waited in vain of late, and nothing was learned since.
func (s *speaks) lateNow(now time.Time) bool {
	return s.registered == eraUnknown && !s.known() && now.Unix() < s.late.Load()
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

// asBroker is who the broker says it is where it asks on nobody's behalf.
func asBroker() mcp.Client {
	return mcp.Client{Info: []byte(`{"name":"mintmark","version":"1"}`), Capabilities: []byte(`{}`)}
}
