package broker

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"mintmark/attest"
	"mintmark/broker/audit"
	"mintmark/injector"
	"mintmark/injector/mcp"
	"mintmark/policies"
	"mintmark/providers"
)

// call is one call on its way through the broker. Each step fills in what the
// next ones read.
type call struct {
	w       http.ResponseWriter // head, which notes when the answer has begun
	head    head
	r       *http.Request
	from    *listener
	snap    *snapshot
	id      string // 32 hex characters, in every record and refusal
	started time.Time

	// ctx ends when the agent leaves, and with a *fault.Error as its cause when
	// the call may go on no longer.
	ctx context.Context
	end context.CancelCauseFunc

	// Flags stand together: one between the others would take the room of eight.
	slotted  bool // it is one of limits.concurrent
	plain    bool // /http/NAME, not MCP
	whole    bool // the body was read to its end
	cached   bool // the credential was held
	recorded bool // the allowed decision is in the log; of a batch, one of them
	relayed  bool // the answer came, and the agent has all of it

	unanswered bool // the upstream can't be reached, or gave no answer that is one
	silent     bool // of these: it gave none in HTTP, or none in time

	name string // upstream as the path names it; before anything else

	identity attest.Identity // attest

	// receive
	path    string      // plain: decoded path, "/" first
	escaped string      // plain: the same path as it was sent
	method  string      // policy action
	verb    string      // HTTP method, as it is sent
	header  http.Header // as the agent sent it, or as a message that the broker words needs it
	body    []byte
	lent    *[trusted]byte // the memory of body; nil: it is body's alone
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

	credential providers.Credential // lease

	// record
	outgoing injector.Outgoing // what is sent; with no URL before it was made
	stripped []string
	sent     time.Time // when it was begun to be sent; zero before
	asksEra  *eraAsked // that it asks, while others wait; or nil

	// answer
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
	case c.era() == eraStateless:
		speaks, err := b.upstreamEra(c)
		if err != nil {
			return b.withoutEra(c, err)
		}
		if speaks == eraSessions && b.oneEra(c) {
			return b.otherEra(c, eraSessions)
		}
		if speaks == eraSessions {
			return b.asStateless(c)
		}
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
	if err := c.proven(); err != nil {
		c.credential = providers.Credential{} // it is not used
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
	if c.credential, c.cached = c.snap.pool.Cached(from, request); c.cached {
		return nil
	}
	c.upstream.ready(c.injection)
	c.credential, c.cached, err = c.snap.pool.Lease(c.ctx, from, request)
	return err
}

// record prepares what will be sent, strips it, and puts the use of the
// credential on record.
func (b *Broker) record(c *call) (audit.Receipt, error) {
	if err := b.outgoing(c); err != nil {
		return audit.Receipt{}, err
	}
	if c.batch != nil {
		return b.recordBatch(c)
	}
	rec := c.decisionRecord()
	rec.Allow = true
	receipt, err := b.log.Append(c.ctx, &rec)
	c.recorded = err == nil
	return receipt, err
}

// inject opens the credential against its receipt.
func (b *Broker) inject(c *call, receipt audit.Receipt) (*injector.Secrets, error) {
	if c.injection == nil {
		return nil, nil
	}
	return injector.Inject(&c.outgoing, c.injection.scheme, c.credential, receipt)
}
