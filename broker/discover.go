package broker

import (
	"context"
	"errors"
	"fmt"
	"io"
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

// asking is the question of an upstream's era that is under way, if one is: while
// one call asks, the others wait for what it learns.
type asking struct {
	mu  sync.Mutex
	now *eraAsked
}

// eraAsked is one question. What came of it is read when it is done.
type eraAsked struct {
	done chan struct{}
	err  error // why the upstream gave no answer, which holds for all that wait
	left bool  // who asked did not wait for it
	sent atomic.Bool
}

// unsentWait is how long a call waits for the question of another whose agent has a
// credential of its own, which may not come.
const unsentWait = time.Second

// join returns the question under way, or a new one that the caller is to ask and end.
func (a *asking) join() (q *eraAsked, own bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.now != nil {
		return a.now, false
	}
	a.now = &eraAsked{done: make(chan struct{})}
	return a.now, true
}

func (a *asking) end(q *eraAsked) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.now = nil
	close(q.done)
}

// upstreamEra returns the era that the upstream of c speaks. Where it is not
// known yet, the upstream is asked, on the agent's behalf and by its leave: where
// the agent may not ask, nothing is learned for a while, and its call passes as it
// is.
//
// Where it was never known and the upstream gives no answer, that is the error: the call
// has no form to be sent in, and would wait for the same once more. Nothing is learned
// by that, so that the next call asks again.
func (b *Broker) upstreamEra(c *call) (era, error) {
	u, ok := c.snap.upstreams[c.name]
	if !ok || u.plain {
		return eraUnknown, nil
	}
	if !u.speaks.due(b.clock()) || !b.mayDiscover(c) {
		return u.speaks.at(b.clock()), nil
	}
	q, own, err := b.joinQuestion(c, &u.speaks, b.hasOwn(c))
	switch {
	case own:
		defer u.speaks.asking.end(q)
		q.err = b.learnEra(c, q)
		q.left = c.ctx.Err() != nil
		err = q.err
	case err == nil && u.speaks.due(b.clock()): // who asked got no credential to ask with, or waits for it
		err = b.learnEra(c, nil)
	}
	return u.speaks.at(b.clock()), err
}

// joinQuestion returns a question that c is to ask, its own, or waits for the one that is
// under way and returns why that got no answer. Where who asked has left, one of those that
// wait asks in its place; one with a credential of its agent's own waits for no other's.
func (b *Broker) joinQuestion(c *call, speaks *speaks, hasOwn bool) (q *eraAsked, own bool, err error) {
	var look <-chan time.Time
	if hasOwn {
		ticker := time.NewTicker(unsentWait)
		defer ticker.Stop()
		look = ticker.C
	}
	for {
		if q, own = speaks.asking.join(); own {
			return q, true, nil
		}
		select {
		case <-q.done:
		case <-look:
			if q.sent.Load() {
				continue
			}
			return q, false, nil
		case <-c.ctx.Done():
			return q, false, gone(c.ctx)
		}
		if !q.left || !speaks.due(b.clock()) {
			return q, false, q.err
		}
	}
}

// learnEra asks, and returns why the upstream gave no answer, where nothing is known of
// it from before. The question is q where others wait for it, or nil.
func (b *Broker) learnEra(c *call, q *eraAsked) error {
	speaks := &c.snap.upstreams[c.name].speaks
	e, asked, err := b.discover(c, q)
	if err != nil && !speaks.known() {
		return err
	}
	if asked {
		speaks.learn(e, b.clock())
	}
	return nil
}

// mayDiscover reports whether c's agent may ask its upstream for the era.
func (b *Broker) mayDiscover(c *call) bool {
	u, agent := c.snap.upstreams[c.name], workloadOf(c.identity)
	if u.speaks.barred.has(agent, b.clock()) {
		return false
	}
	with, ok := u.injectionFor("")
	if !ok || !c.ask(b.clock(), "server/discover", policies.Target{}, with).Allow {
		u.speaks.barred.add(agent)
		return false // and no refusal is on record that the agent did not ask for
	}
	return true
}

// hasOwn reports whether c asks with a credential that is its agent's own.
func (b *Broker) hasOwn(c *call) bool {
	with, ok := c.snap.upstreams[c.name].injectionFor("")
	return ok && with != nil && c.snap.pool.PerAgent(with.provider)
}

// discover asks the upstream of c whether it is stateless. Such a server must
// answer (MCP 2026-07-28, server/discover), and one with sessions refuses. An error is
// why no answer came of an upstream that was asked.
//
// What one agent may not ask, or asks and does not wait for, or has no credential for,
// says nothing about the upstream, so that it counts as not asked: what is learned
// serves all agents.
func (b *Broker) discover(c *call, q *eraAsked) (found era, asked bool, err error) {
	f, err := b.fork(c, worded{upstream: c.name, body: asBroker().Discover(mcp.Quote("mintmark"))})
	if err != nil {
		return eraUnknown, false, nil //nolint:nilerr // the call itself passes
	}
	f.asksEra = q
	defer func() {
		if found == eraUnknown {
			b.noteLate(c, f)
		}
	}()
	// They are an agent's words. A server that can't take them, or a proxy before
	// it, refuses with the statuses of one with sessions.
	delete(f.header, "Traceparent")
	delete(f.header, "Tracestate")
	a, err := b.asks(f)
	if err != nil {
		if c.ctx.Err() != nil || !f.unanswered {
			asked = c.ctx.Err() == nil && fault.KindOf(err) == fault.BadUpstream
			// A credential that is not taken may be another one by the next call, which asks
			// again; this one passes, and is refused as well.
			asked = asked && (c.snap.upstreams[c.name].speaks.known() || !errors.Is(err, errNotTaken))
			return eraUnknown, asked, nil
		}
		return eraUnknown, true, undiscovered(err, f.silent)
	}
	silent := undiscovered(tooSlow(), true) // a stream may be silent for long, and others wait for what it says
	if after := f.upstream.timeout; after > 0 {
		defer time.AfterFunc(after, func() { f.end(silent) }).Stop()
	}
	m, err := a.next(b)
	for err == nil && m.Kind == mcp.None {
		m, err = a.next(b)
	}
	status, answered := a.resp.StatusCode, err == nil && m.Kind == mcp.Response
	var failed error
	switch {
	case answered && supports(m.Result, mcp.Stateless):
		found = eraStateless
	case isNotThere(a.resp):
		failed = notMCP(a.resp)
		err = failed
	case refusesRevision(status, answered) && !isDenial(err):
		found, err = eraSessions, nil
	case ofGateway(status) && !answered:
		failed = fault.New("forward", fault.Unavailable, fmt.Sprintf(
			"the upstream can't be reached: what stands before it answered with HTTP status %d; the call was not sent", status))
		err = failed
	case errors.Is(err, silent):
		failed = err
	case errors.Is(err, io.EOF):
		err = notAnswered(a.resp)
	}
	a.close(b, err)
	if c.ctx.Err() != nil {
		failed = nil
	}
	return found, c.ctx.Err() == nil, failed
}

// noteLate notes that the upstream of c, which f asked, did not say in a list's time. Where that
// was spent in waiting for the agent's own credential, or for another agent's question, it says
// nothing about the upstream.
func (b *Broker) noteLate(c, f *call) {
	now := b.clock()
	if errors.Is(context.Cause(c.ctx), errListTime) && !f.sent.IsZero() && now.Sub(f.sent) >= now.Sub(c.started)/2 {
		c.snap.upstreams[c.name].speaks.tooLate(now)
	}
}

// undiscovered is why a call whose upstream gave no answer to server/discover, or was
// silent, is not sent: unlike what the upstream was asked, the call can't have been carried out.
func undiscovered(err error, silent bool) error {
	kind, asked := fault.KindOf(err), "when it was asked which form of MCP it speaks (server/discover); the call was not sent to it"
	switch {
	case kind == fault.Unavailable:
		return err
	case !silent:
		return fault.Wrap("forward", kind, fault.HintOf(err)+"; that was "+asked, err)
	}
	return fault.Wrap("forward", kind, "the upstream gave no answer in HTTP, or none within its time limit, "+asked+
		"; where it never answers that, an operator of the broker is to register its protocol", err)
}

// withoutEra ends a call whose upstream gave no answer, for an agent that may know so.
func (b *Broker) withoutEra(c *call, err error) error {
	if denied := b.decide(c); denied != nil {
		return denied
	}
	return err
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
