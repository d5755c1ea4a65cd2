package broker

import (
	"fmt"
	"net/http"
	"time"

	"mintmark/broker/audit"
	"mintmark/injector/mcp"
	"mintmark/internal/fault"
	"mintmark/policies"
)

// A batch is several messages in one request, which revision 2025-03-26 has. It
// is sent as it came, so that it goes whole or not at all: each message is read,
// judged and recorded as one that comes alone, and one that is refused keeps all
// of them here.
//
// The call that carries a batch has one entry for each message, which is a call
// of its own up to its record. All of them have the carrier's id. They are sent
// with one credential, which opens against the receipt of the last record: it is
// written after those of the others.

// batchMethod is what the outcome of a batch is of.
const batchMethod = "batch"

// entry is one message of a batch.
type entry struct {
	call
	refused error // why it alone would be refused, or nil
}

// readBatch reads the messages of a batch.
func (b *Broker) readBatch(c *call) error {
	if err := mcp.CheckBatch(c.r.Header); err != nil {
		return err
	}
	messages, err := b.reader.ReadBatch(c.body)
	if err != nil {
		return err
	}
	c.method = batchMethod
	for _, m := range messages {
		c.batch = append(c.batch, &entry{call: call{
			r: c.r, from: c.from, snap: c.snap, id: c.id, started: c.started, ctx: c.ctx,
			identity: c.identity, trusted: c.trusted, name: c.name, header: c.header, msg: m, method: m.Method,
		}})
	}
	return nil
}

// serveBatch sends a batch to the upstream that it is for. It goes nowhere that
// a single message would go in another form.
func (b *Broker) serveBatch(c *call) error {
	if c.name == "" {
		return fault.New("receive", fault.Invalid, "expected a batch at /mcp/NAME, got one at /mcp, where each message may be for another upstream; send each in its own POST")
	}
	if b.bridges(c) {
		return b.orWithheld(c, fault.New("forward", fault.Invalid, "expected one message, got a batch for an upstream that speaks MCP 2026-07-28, which has none; send each in its own POST"))
	}
	return b.pass(c)
}

// decideBatch decides on each message of a batch, and whether they can be sent
// together.
func (b *Broker) decideBatch(c *call) error {
	var first *entry // that policy allows
	for _, e := range c.batch {
		e.upstream = c.upstream
		if e.refused = e.known(); e.refused == nil {
			e.refused = b.decideOne(&e.call)
		}
		switch {
		case e.refused != nil:
		case e.openEnded():
			e.refused = fault.New("decide", fault.Denied, "the answer to this call is a stream without an end; send it in its own POST")
		case first == nil:
			first = e
		case e.injection != first.injection:
			e.refused = fault.New("decide", fault.Denied, "another credential is registered for this call than for the ones before it in the batch, and a batch is sent with one; send it in its own POST")
		}
	}
	for i, e := range c.batch {
		if e.refused != nil {
			return fault.New("decide", fault.Denied, fmt.Sprintf("message %d of the batch was refused, and nothing of it was sent: %s", i+1, refusalOf(e.refused).Text))
		}
	}
	c.injection, c.epoch, c.judged = first.injection, first.epoch, first.judged
	return nil
}

// judgeBatch asks policy about the messages of a batch as things stand at now,
// and returns the first denial, or that all are allowed.
func (c *call) judgeBatch(now time.Time) (d policies.Decision) {
	for _, e := range c.batch {
		if d = e.judge(now); !d.Allow {
			return d
		}
	}
	return d
}

// recordBatch puts the use of the credential for each message on record, and
// returns the receipt of the last.
func (b *Broker) recordBatch(c *call) (receipt audit.Receipt, err error) {
	for _, e := range c.batch {
		e.credential, e.cached, e.stripped = c.credential, c.cached, c.stripped
		rec := e.decisionRecord()
		rec.Allow = true
		if receipt, err = b.log.Append(c.ctx, &rec); err != nil {
			return audit.Receipt{}, err
		}
		e.recorded, c.recorded = true, true
	}
	return receipt, nil
}

// recordBatchRefusal puts the refusal of a batch on record: a decision on each
// message that has none, and the outcome of the call when any was allowed.
func (b *Broker) recordBatchRefusal(c *call, r refusal) {
	for _, e := range c.batch {
		if !e.recorded {
			b.recordRefusal(&e.call, e.refusal(r))
		}
	}
	if c.recorded {
		b.recordFailure(c, r)
	}
}

// refusal returns why e was refused: for what is wrong with it alone, or
// because its batch was.
func (e *entry) refusal(batch refusal) refusal {
	if e.refused == nil {
		return batch
	}
	return refusalOf(e.refused)
}

// writeBatch answers a batch that was refused with one error for each of its
// requests. A batch without any is answered as a notification is.
func (r refusal) writeBatch(c *call) {
	answers, status := []byte{'['}, http.StatusOK
	for _, e := range c.batch {
		if e.msg.Kind != mcp.Request {
			continue
		}
		if len(answers) > 1 {
			answers = append(answers, ',')
		}
		one := e.refusal(r)
		answers = append(answers, one.rpc(&e.call)...)
		if s := one.status(mcp.Request); status == http.StatusOK {
			status = s
		}
	}
	if len(answers) == 1 {
		r.writeRPC(c, r.Status, r.rpc(c))
		return
	}
	r.writeRPC(c, status, append(answers, ']'))
}
