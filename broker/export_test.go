package broker

import (
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"mintmark/attest"
	"mintmark/injector"
	"mintmark/providers"
)

// WithRestFor returns o with how long a lease may rest.
func (o Options) WithRestFor(d time.Duration) Options {
	o.restFor = d
	return o
}

// WithMintTimeout returns o with a bound of one mint.
func (o Options) WithMintTimeout(d time.Duration) Options {
	o.mintTimeout = d
	return o
}

// WithSettling returns o with a bound of what calls that were cut may take.
func (o Options) WithSettling(d time.Duration) Options {
	o.settling = d
	return o
}

// WithInputTime returns o with a bound of an agent's answer.
func (o Options) WithInputTime(d time.Duration) Options {
	o.inputTime = d
	return o
}

// WithPlaces returns o with where an escrow may be that nobody named.
func (o Options) WithPlaces(places ...string) Options {
	o.places = places
	return o
}

// Handler returns what serves the listener with the given index.
func (b *Broker) Handler(i int) http.Handler { return b.listeners[i].server.Handler }

// Admin returns what serves the metrics.
func (b *Broker) Admin() http.Handler { return b.adminHandler() }

// Owed returns what the metric mintmark_unrevoked says.
func (b *Broker) Owed() int { return b.owed() }

// CloseLog has every record from here on fail.
func (b *Broker) CloseLog() error { return b.log.Close() }

// Entering reports whether a call can begin.
func (b *Broker) Entering() bool {
	snap, ok := b.enter()
	if ok {
		snap.calls.Done()
	}
	return ok
}

// Waiting returns how many calls are under way.
func (b *Broker) Waiting() int { return len(b.slots) }

// Look looks at the answers under way, as is done four times a second.
func (b *Broker) Look() { b.streams.check(b.clock()) }

// WaitsSince returns since when the one answer under way waits for its upstream, and
// now of one that may.
func (b *Broker) WaitsSince() (since time.Time) {
	for _, c := range b.streams.hold() {
		c.pace.mu.Lock()
		if since = c.pace.since; c.pace.ReadCloser == nil {
			since = b.clock()
		}
		c.pace.mu.Unlock()
		c.snap.calls.Done()
	}
	return since
}

// DropIdle closes the connections to upstreams that no call uses.
func (b *Broker) DropIdle() {
	for _, u := range b.current.Load().upstreams {
		u.send.Close()
	}
}

// Sessions are session handles under a key of their own.
type Sessions struct{ s *sessions }

// OpenSessions returns Sessions.
func OpenSessions(t testing.TB) Sessions {
	t.Helper()
	s, err := newSessions()
	if err != nil {
		t.Fatal(err)
	}
	return Sessions{s}
}

// Seal returns a handle.
func (s Sessions) Seal(id, upstream string, owner attest.Identity) string {
	return s.s.seal(id, upstream, owner)
}

// Open returns the id in a handle.
func (s Sessions) Open(handle, upstream string, owner attest.Identity) (string, error) {
	return s.s.open(handle, upstream, owner)
}

// OriginOf returns the origin of a URL by which r reached a listener that is
// known by any name.
func OriginOf(r *http.Request, secure bool) (string, bool) {
	return (&listener{secure: secure}).origin(r)
}

// InputWaits counts the calls that wait for input.
type InputWaits struct{ w waiting }

// Enter counts one more.
func (w *InputWaits) Enter(agent attest.Identity, end ...func(error)) (leave func(), err error) {
	return w.w.enter(agent, func(why error) {
		for _, e := range end {
			e(why)
		}
	})
}

// Close ends all that wait.
func (w *InputWaits) Close() { w.w.close() }

// SessionsInUse are the sessions that agents have open with one upstream.
type SessionsInUse struct{ s *inUse }

// NewSessionsInUse returns none.
func NewSessionsInUse() SessionsInUse { return SessionsInUse{newInUse()} }

// Begins notes that agent begins a session, or goes on with one.
func (u SessionsInUse) Begins(agent attest.Identity, session string) {
	u.s.begins(u.call(agent), session)
}

// Open reports whether a session of agent is known to be open.
func (u SessionsInUse) Open(agent attest.Identity, session string) bool {
	u.s.mu.Lock()
	defer u.s.mu.Unlock()
	_, open := u.s.open[u.s.sessionOf(u.call(agent), session)]
	return open
}

// Len returns how many sessions are known to be open, of all agents and of one.
func (u SessionsInUse) Len(agent attest.Identity) (all, own int) {
	u.s.mu.Lock()
	defer u.s.mu.Unlock()
	if a := u.s.of[workloadOf(agent)]; a != nil {
		own = a.used.Len()
	}
	return u.s.used.Len(), own
}

func (u SessionsInUse) call(agent attest.Identity) *call {
	return &call{name: "mine", identity: agent, snap: &snapshot{perAgent: map[string][]string{"mine": {"own"}}}}
}

// Given is what one upstream got of late.
type Given struct{ g given }

// Add notes that agent got c, and returns how many other credentials of it are
// looked for, and how many workloads are known.
func (g *Given) Add(agent string, c providers.Credential, now time.Time) (others, known int) {
	found, _, _ := g.g.add(workload{subject: agent}, c, new(injector.Secrets), func() time.Time { return now })
	return len(found), len(g.g.late)
}

// Keep notes that agent got c, by the clock.
func (g *Given) Keep(agent string, c providers.Credential) {
	g.g.add(workload{subject: agent}, c, new(injector.Secrets), time.Now)
}

// Soon has what is over let go of soon.
func (g *Given) Soon() { g.g.soon(time.Now) }

// Kept returns how many credentials are kept.
func (g *Given) Kept() (n int) {
	g.g.mu.Lock()
	defer g.g.mu.Unlock()
	for _, e := range g.g.late {
		n += len(e.Value.(*gifts).late)
	}
	return n
}

// FillGiven has an upstream have as many credentials as can be looked for, until
// empty is called.
func (b *Broker) FillGiven(upstream string) (empty func()) {
	a := &b.current.Load().upstreams[upstream].given.all
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := 0; len(a.kept) < mostToAll; i++ {
		a.kept[fmt.Sprint("filled-", i)] = gift{}
	}
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		maps.DeleteFunc(a.kept, func(name string, _ gift) bool { return strings.HasPrefix(name, "filled-") })
	}
}

// FillGivenTo has an upstream have as many credentials of agent's own as can be looked
// for, which end at end.
func (b *Broker) FillGivenTo(upstream string, agent attest.Identity, end time.Time) {
	a := &b.current.Load().upstreams[upstream].given.all
	for i := range mostOfAgent {
		c := providers.Seal(providers.Token, providers.Material{Token: providers.NewSecret(fmt.Sprint("filled-", i))}, providers.Terms{NotAfter: end})
		a.put(fmt.Sprint("filled-", i), gift{new(injector.Secrets), c, workloadOf(agent)}, end)
	}
}

// GivenToAll returns how many credentials of an upstream the answers to all are
// searched for.
func (b *Broker) GivenToAll(upstream string) int {
	return b.current.Load().upstreams[upstream].given.all.needles.Len()
}

// SweepGiven lets go of what an upstream got and is over at now.
func (b *Broker) SweepGiven(upstream string, now time.Time) {
	b.current.Load().upstreams[upstream].given.sweep(func() time.Time { return now })
}

// SweepGivenWhile does so for the answers to all, and has something happen between what
// it finds and what it ends.
func (b *Broker) SweepGivenWhile(upstream string, now time.Time, meanwhile func()) {
	a := &b.current.Load().upstreams[upstream].given.all
	over, _ := a.over(now)
	meanwhile()
	for _, g := range over {
		a.letGo(g)
	}
}

// Barred is barred, for one issuer.
type Barred struct{ of barred }

func (b *Barred) Has(agent string, now time.Time) bool {
	return b.of.has(workload{subject: agent}, now)
}
func (b *Barred) Add(agent string) { b.of.add(workload{subject: agent}) }

// HasControls is whether an answer in JSON is none, for what is in it.
func HasControls(piece []byte) bool { return hasControls(piece) }
