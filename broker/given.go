package broker

import (
	"container/list"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"mintmark/broker/bundle"
	"mintmark/injector"
	"mintmark/internal/fault"
	"mintmark/providers"
)

const (
	givenToOne  = 4       // credentials of a workload that are remembered, in all their forms
	givenToMost = 1 << 16 // workloads
)

// given are the credentials that an upstream got of late, by the workload that they
// served. A server may keep one, as of the request that began a session, and say it
// in the answer to another: that of a renewed one, or of one for certain tools. A
// workload that was served lately takes the place of the one that was least so; what it
// got stays among those that are looked for in the answers to all.
type given struct {
	all  toAll
	mu   sync.Mutex
	late map[workload]*list.Element // of *gifts
	used list.List                  // the last first

	timer *time.Timer // nil: nothing that is kept has an end
	wakes time.Time   // the end for which it is due, or zero
}

// gifts are what one workload got. An answer under way looks for what is added to
// them meanwhile.
type gifts struct {
	of    workload
	count atomic.Uint64 // of additions
	mu    sync.Mutex
	late  []gift
}

type gift struct {
	secrets    *injector.Secrets
	credential providers.Credential
	of         workload // whose own it is: nobody's where agents share one
}

// lasting is for how long what has no end of its own is looked for once the broker
// took it from its store the last time.
const lasting = 24 * time.Hour

// end returns until when the credential is looked for, and zero for ever.
func (g gift) end() time.Time {
	end := g.credential.GoodUntil()
	if !end.IsZero() && g.credential.Endless() {
		return end.Add(lasting)
	}
	return end
}

// over reports whether nobody can use the credential any more. One that the broker
// no longer uses may still be good at its system, and is not over before its end.
func (g gift) over(now time.Time) bool {
	end := g.end()
	return g.credential.Revoked() || !end.IsZero() && now.After(end)
}

// givenBy returns what the upstream of a name got of late: the same server still has
// it when another bundle is in force.
func givenBy(old *snapshot, name string, u bundle.Upstream) *given {
	if old != nil {
		if before, ok := old.bundle.Config.Upstreams[name]; ok && reflect.DeepEqual(before.URL, u.URL) {
			return old.upstreams[name].given
		}
	}
	return newGiven()
}

func newGiven() *given { return &given{all: toAll{needles: injector.NewNeedles()}} }

// scrubber returns what takes the secrets of this call out of its answer, those of
// what the upstream got for the agent before, or gets while the answer goes on, and
// those of what it got for others. Where they are too many to look for, it returns a
// *fault.Error instead.
func (b *Broker) scrubber(c *call, secrets *injector.Secrets) (*injector.Scrubber, error) {
	given := c.upstream.given
	if secrets == nil { // what a registration before this one had it sent may come back
		return given.all.needles.NewScrubber(), nil
	}
	one, err := b.keepGiven(c, secrets)
	if err != nil {
		return nil, err
	}
	others, late, count := given.add(workloadOf(c.identity), c.credential, one.secrets, b.clock)
	scrub := one.secrets.NewScrubber(others...)
	scrub.Watch(late, count)
	scrub.Beside(given.all.needles)
	return scrub, nil
}

// keepGiven has the answers to all searched for the credential of c. Where they are
// too many, of its agent or of all, it returns a *fault.Error.
func (b *Broker) keepGiven(c *call, secrets *injector.Secrets) (gift, error) {
	one, all := gift{secrets: secrets, credential: c.credential}, &c.upstream.given.all
	if kept, ok := all.has(one); ok {
		return kept, nil
	}
	if slices.Contains(c.snap.perAgent[c.name], c.injection.provider) {
		one.of = workloadOf(c.identity)
	}
	kept, room := all.add(one, b.clock)
	switch room {
	case full:
		return gift{}, b.tooMany(c, room, "this upstream has too many credentials that are still good to search its answers for all of them; call again when some have ended")
	case fullOfAgent:
		return gift{}, b.tooMany(c, room, fmt.Sprintf("this upstream has %d credentials of this agent that are still good, which is as many as its answers are searched for; "+
			"call again when some have ended, and keep a session instead of beginning one for each call", mostOfAgent))
	default:
		return kept, nil
	}
}

func (b *Broker) tooMany(c *call, r room, hint string) error {
	b.metrics.tooMany.WithLabelValues(c.name, string(r)).Inc()
	return fault.New("forward", fault.Unavailable, hint)
}

// guards reports whether there may be a secret in the answer to c that its agent is not
// to see: the one that goes with it, or what a registration before this one had the
// upstream sent.
func (c *call) guards() bool {
	return c.injection != nil || c.upstream.given.all.needles.Len() > 0
}

// add notes that agent was served by c, whose secrets these are. It returns those
// of the others that still hold, and the workload's gifts with their count as of
// then.
func (g *given) add(agent workload, c providers.Credential, secrets *injector.Secrets, clock func() time.Time) (others []*injector.Secrets, to *gifts, count uint64) {
	one, now := gift{secrets: secrets, credential: c}, clock()
	to = g.to(agent, one.end(), clock)
	others, count = to.add(one, now)
	return others, to, count
}

// to returns what agent got, and makes room for it and one more, which ends at end.
func (g *given) to(agent workload, end time.Time, clock func() time.Time) *gifts {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ends(end, clock)
	if e, ok := g.late[agent]; ok {
		g.used.MoveToFront(e)
		return e.Value.(*gifts)
	}
	// One that has nothing left stays until there is need of room: an answer under
	// way may look there for what comes next.
	if last := g.used.Back(); last != nil && g.used.Len() >= givenToMost {
		delete(g.late, g.used.Remove(last).(*gifts).of)
	}
	if g.late == nil {
		g.late = make(map[workload]*list.Element)
	}
	to := &gifts{of: agent}
	g.late[agent] = g.used.PushFront(to)
	return to
}

func (to *gifts) add(one gift, now time.Time) (others []*injector.Secrets, count uint64) {
	to.mu.Lock()
	defer to.mu.Unlock()
	fresh := true
	to.late = slices.DeleteFunc(to.late, func(g gift) bool {
		same := g.credential.Fingerprint() == one.credential.Fingerprint()
		fresh = fresh && !same
		return same || g.over(now)
	})
	for _, g := range to.late {
		others = append(others, g.secrets)
	}
	if len(to.late) == givenToOne {
		to.late = slices.Delete(to.late, 0, 1)
	}
	to.late = append(to.late, one)
	if fresh {
		to.count.Add(1)
	}
	return others, to.count.Load()
}

// Since implements injector.Late.
func (to *gifts) Since(seen uint64) (all []*injector.Secrets, count uint64) {
	if count = to.count.Load(); count == seen {
		return nil, count
	}
	to.mu.Lock()
	defer to.mu.Unlock()
	for _, g := range to.late {
		all = append(all, g.secrets)
	}
	return all, to.count.Load()
}
