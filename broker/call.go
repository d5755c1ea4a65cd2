package broker

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"mintmark/attest"
	"mintmark/broker/audit"
	"mintmark/injector"
	"mintmark/injector/mcp"
	"mintmark/internal/fault"
	"mintmark/policies"
	"mintmark/providers"
)

// call is one call on its way through the broker. Each step fills in what the
// next ones read.
type call struct {
	w       http.ResponseWriter // head, which notes when the answer has begun
	head    head
	control http.ResponseController // of the connection to the agent
	r       *http.Request
	from    *listener
	snap    *snapshot
	id      string // 32 hex characters, in every record and refusal
	started time.Time
	slotted bool // it is one of limits.concurrent

	// ctx ends when the agent leaves, and with a *fault.Error as its cause when
	// the call may go on no longer.
	ctx context.Context
	end context.CancelCauseFunc

	// route, before anything else
	name  string // upstream as the path names it
	allow string // the HTTP methods of the path, when it was called by another

	identity attest.Identity // attest

	// receive
	plain   bool        // /http/NAME, not MCP
	path    string      // plain: decoded path, "/" first
	escaped string      // plain: the same path as it was sent
	method  string      // policy action
	verb    string      // HTTP method, as it is sent
	header  http.Header // as the agent sent it, or as a message that the broker words needs it
	body    []byte
	lent    *[trusted]byte // the memory of body; nil: it is body's alone
	whole   bool           // the body was read to its end
	msg     mcp.Message
	batch   []*entry // instead of msg, for several messages

	// decide
	upstream  *upstream
	session   string      // the upstream's own session id, or ""
	mirrored  http.Header // what the agent repeats of its arguments, for a stateless upstream
	bridged   *bridged    // the session that the agent has with the broker alone, or nil
	injection *injection  // nil when the upstream needs no credential
	decision  policies.Decision
	judging   sync.Mutex // of the three below: a dial that the call no longer waits for asks too
	epoch     uint64     // of posture, when it was last allowed
	judged    time.Time  // when it was last allowed
	// waits is until when it may wait for its agent's input; nil when it does not.
	waits   atomic.Pointer[time.Time]
	trusted uint64 // generation of the trust under which the evidence last held

	// lease
	credential providers.Credential
	cached     bool

	// record
	out      *injector.Outgoing
	outgoing injector.Outgoing // what out points at
	stripped []string
	written  written
	recorded bool // the allowed decision is in the log; of a batch, one of them

	// answer
	relayed      bool               // it came, and the agent has all of it
	scrub        *injector.Scrubber // of what the upstream says; nil until it was sent something
	pace         pace               // of the answer that is read
	relay        relay              // of its body
	hits         int                // of it, that were told of
	hitsOfOthers int                // among them: of other credentials than its own
}

// serve is the one way through: attest, receive, then an exchange with the
// upstream, and its answer back without the secret. Evidence is judged before the
// body is read, so that a stranger can't make the broker hold one. An error is a
// refusal that was not answered yet.
func (b *Broker) serve(c *call) error {
	misrouted := route(c) // known for the record, and said to nobody who proved nothing
	if err := b.attest(c); err != nil {
		return err
	}
	if err := b.receive(c, misrouted); err != nil {
		return err
	}
	if c.batch != nil {
		return b.serveBatch(c)
	}
	if err := c.known(); err != nil {
		return err
	}
	if c.verb == http.MethodDelete && !c.plain {
		defer b.departed(c) // whatever its upstream says to that, the agent has done with it
	}
	if c.name == "" {
		return b.merge(c)
	}
	switch {
	case b.bridges(c):
		if b.oneEra(c) {
			return b.otherEra(c, eraStateless)
		}
		return b.asSession(c)
	case c.era() == eraStateless && b.upstreamEra(c) == eraSessions:
		if b.oneEra(c) {
			return b.otherEra(c, eraSessions)
		}
		return b.asStateless(c)
	}
	err := b.pass(c)
	if err == nil {
		b.bodies.takeBack(c)
	}
	return err
}

// pass makes an exchange and answers with what comes of it.
func (b *Broker) pass(c *call) error {
	resp, scrub, err := b.exchange(c)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if begun, err := b.beginsInstead(c, resp); begun {
		return err
	}
	err = b.answer(c, resp, scrub)
	c.relayed = err == nil
	return err
}

// exchange is the one way to an upstream: decide, lease, record, inject,
// forward. The order is fixed here and held by types: no credential opens without
// the receipt of its record. The caller closes the answer's body, and gives the
// agent nothing of it that the scrubber has not seen.
func (b *Broker) exchange(c *call) (*http.Response, *injector.Scrubber, error) {
	if err := b.decide(c); err != nil {
		return nil, nil, err
	}
	if err := b.lease(c); err != nil {
		return nil, nil, err
	}
	receipt, err := b.record(c)
	if err != nil {
		return nil, nil, err
	}
	secrets, err := b.inject(c, receipt)
	if err != nil {
		return nil, nil, err
	}
	return b.forward(c, secrets)
}

// attest establishes who calls, from the head and the connection alone.
func (b *Broker) attest(c *call) (err error) {
	c.trusted = c.snap.chain.Generation() // before: a change in between costs one look too many
	c.identity, err = c.snap.chain.Attest(c.ctx, attest.Evidence{TLS: c.r.TLS, Header: c.r.Header})
	return err
}

// decide finds the upstream and the credential that would serve the call, and
// asks policy.
func (b *Broker) decide(c *call) error {
	if err := b.openSession(c); err != nil {
		return err
	}
	if u, ok := c.snap.upstreams[c.name]; ok && u.plain == c.plain {
		c.upstream = u
	}
	if c.batch != nil {
		return b.decideBatch(c)
	}
	return b.decideOne(c)
}

// decideOne decides on one message.
func (b *Broker) decideOne(c *call) error {
	if c.upstream == nil {
		return b.withheld(c, fault.New("decide", fault.NotFound, "no upstream of this name and kind is registered"))
	}
	var ok bool
	c.injection, ok = c.upstream.injectionFor(c.target().Name)
	if !ok {
		return b.withheld(c, fault.New("decide", fault.Denied, "no credential is registered for this call to this upstream"))
	}
	// Read before the facts: a change in between costs one decision too many,
	// never one too few.
	c.epoch = c.snap.tracker.Epoch()
	c.judged = b.clock()
	c.decision = c.judge(c.judged)
	if !c.decision.Allow {
		return b.withheld(c, fault.New("decide", fault.Denied, c.decision.Reason))
	}
	return b.pinned(c, &c.msg, "")
}

// known refuses a request of a method that policies do not know in the protocol's
// own words: clients ask for what they can do without. A message that has for its
// method what policies call something else by would be judged as that.
func (c *call) known() error {
	switch c.msg.Kind {
	case mcp.Request:
		if c.snap.policies.Knows(c.msg.Method) && !isWordOfPolicy(c.msg.Method) {
			return nil
		}
	case mcp.Notification:
		if !isWordOfPolicy(c.msg.Method) {
			return nil
		}
	default:
		return nil
	}
	return fault.Wrap("decide", fault.Denied, "", mcp.UnknownMethod(&c.msg))
}

// isWordOfPolicy reports whether an action stands for what is no message with a
// method: a GET, a DELETE, the answer to a server's request, a plain call.
func isWordOfPolicy(action string) bool {
	return action == "stream" || action == "end" || action == "response" || strings.HasPrefix(action, "http/")
}

// lease gets the credential, held or minted. While it is minted, the connection to the
// upstream is made.
func (b *Broker) lease(c *call) (err error) {
	if c.injection == nil {
		return nil
	}
	if c.snap.pool.PerAgent(c.injection.provider) {
		b.inUse.calls(c)
	}
	from, request := c.injection.provider, providers.Request{Agent: c.identity}
	if c.credential, c.cached = c.snap.pool.Held(from, request); c.cached {
		return nil
	}
	c.upstream.ready(c.injection)
	c.credential, c.cached, err = c.snap.pool.Lease(c.ctx, from, request)
	return err
}

// record prepares what will be sent, strips it, and puts the use of the
// credential on record.
func (b *Broker) record(c *call) (audit.Receipt, error) {
	out, err := b.outgoing(c)
	if err != nil {
		return audit.Receipt{}, err
	}
	c.out = out
	if c.batch != nil {
		return b.recordBatch(c)
	}
	rec := c.writeDecision(&c.written)
	rec.Allow = true
	receipt, err := b.log.Append(c.ctx, rec)
	c.recorded = err == nil
	return receipt, err
}

// outgoing makes the request to the upstream from what was judged, without
// anything that could carry the agent's own authority.
func (b *Broker) outgoing(c *call) (*injector.Outgoing, error) {
	out := &c.outgoing
	*out = injector.Outgoing{Method: c.verb, Body: c.body}
	out.Header, c.stripped = injector.Strip(c.header, c.plain, c.injection.schemeOrNil())
	if c.guards() {
		injector.StripRange(out.Header)
	}
	query, names, ok := injector.StripQuery(c.r.URL.RawQuery, c.injection.schemeOrNil())
	if !ok {
		return nil, fault.New("receive", fault.Invalid, "expected a query of name=value pairs joined by &; servers read others differently")
	}
	c.stripped = append(c.stripped, names...)
	if err := injector.Admit(c.injection.schemeOrNil(), c.header, c.body); err != nil {
		return nil, err
	}
	out.URL = c.upstream.send.URL(c.path, c.escaped, query)
	if c.session != "" {
		out.Header[mcp.HeaderSession] = []string{c.session}
		// Resuming is the session's: alone, an event's id could name a stream of
		// another agent that is served by the same credential.
		if last := c.header[mcp.HeaderLastEvent]; len(last) > 0 {
			out.Header[mcp.HeaderLastEvent] = last
		}
	}
	return out, nil
}

// openSession finds the upstream's own session id behind the agent's handle.
func (b *Broker) openSession(c *call) (err error) {
	handle := c.handle()
	if handle == "" || c.bridged != nil {
		return nil
	}
	c.session, err = b.sessions.open(handle, c.name, c.identity)
	return err
}

// handle returns the agent's session handle, or "".
func (c *call) handle() string {
	if c.plain || c.msg.Version != "" { // the stateless revisions have no sessions
		return ""
	}
	return c.header.Get(mcp.HeaderSession)
}

// inject opens the credential against its receipt.
func (b *Broker) inject(c *call, receipt audit.Receipt) (*injector.Secrets, error) {
	if c.injection == nil {
		return nil, nil
	}
	return injector.Inject(c.out, c.injection.scheme, c.credential, receipt)
}

// forward sends the call and returns the head of an answer that may be relayed,
// with what takes the secret out of it.
func (b *Broker) forward(c *call, secrets *injector.Secrets) (*http.Response, *injector.Scrubber, error) {
	scrub, err := b.scrubber(c, secrets)
	if err != nil {
		return nil, nil, err
	}
	c.scrub = scrub
	resp, err := c.upstream.send.Send(c.ctx, c.out, c.recheck(b.clock))
	if err != nil {
		return nil, nil, masked(err, scrub)
	}
	if err := b.acceptable(c, resp); err != nil {
		_ = resp.Body.Close()
		return nil, nil, err
	}
	b.paced(c, resp)
	return resp, scrub, nil
}

// acceptable refuses an answer that must not be relayed, whatever is in it.
func (b *Broker) acceptable(c *call, resp *http.Response) error {
	if resp.StatusCode == http.StatusPartialContent && c.guards() {
		return fault.New("forward", fault.BadUpstream, "the upstream sent a part of an answer that was not asked for; it can't be checked for secrets")
	}
	if resp.StatusCode < http.StatusOK || resp.StatusCode > 599 {
		return fault.New("forward", fault.BadUpstream, "the upstream answered with a status that ends no HTTP request")
	}
	if err := b.credentialTaken(c, resp.StatusCode); err != nil {
		return err
	}
	if c.plain {
		return nil
	}
	return cmp.Or(oneReading(resp.Header), b.checkSession(c, resp))
}

// masked returns err without what an upstream may have put into it: libraries
// quote the bytes they could not read.
func masked(err error, scrub *injector.Scrubber) error {
	f, ok := errors.AsType[*fault.Error](err)
	if !ok || f.Err == nil {
		return err
	}
	text := scrub.ErrorText(f.Err.Error())
	return fault.Wrap(f.Op, f.Kind, f.Hint, errors.New(text[:min(len(text), 256)]))
}
