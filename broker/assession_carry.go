package broker

import (
	"errors"

	"mintmark/injector/mcp"
	"mintmark/internal/fault"
)

const (
	maxRounds = 16 // of input, for one request
	maxBusy   = 3  // times that an upstream may say: try again
)

// carry sends a request of a session as the stateless revision has it, and what
// its client is asked for meanwhile to the client. The decisions that stand for it
// on record are those on the requests that are sent.
func (b *Broker) carry(c *call) error {
	message, err := c.bridged.client.ToStateless(c.body)
	if err != nil {
		return err
	}
	leave, err := b.flights.begin(c)
	if err != nil {
		return err
	}
	defer leave()
	r := newReply(c)
	if err := b.rounds(r, c, message); err != nil {
		r.fail(err)
	}
	return nil
}

// rounds asks the upstream of br what message says, and then as often again as it
// wants input that the agent's session can be asked for. An error is on record
// already.
func (b *Broker) rounds(r *reply, br *call, message []byte) error {
	defer b.streams.add(br)()
	busy := 0
	for round := 1; message != nil; round++ {
		s, err := b.say(br, message)
		if err != nil {
			return err
		}
		before := r.written
		message, err = b.round(r, br, message, s, round < maxRounds, &busy)
		s.close(b, r.written-before, err)
		if err != nil {
			return err
		}
	}
	return nil
}

// round relays what s says to message. It returns the request that follows with the
// input that s wants, and nil when there is none.
func (b *Broker) round(r *reply, br *call, message []byte, s source, more bool, busy *int) ([]byte, error) {
	in, err := b.retell(r, s)
	if in == nil || err != nil {
		return nil, r.cut(err)
	}
	if len(in.Requests) == 0 {
		*busy++
	}
	if !more || *busy > maxBusy {
		return nil, fault.New("answer", fault.BadUpstream, "the upstream asked for input too often")
	}
	return b.again(r, br, message, in)
}

// again returns the request that follows message, with the input that the upstream
// wants.
func (b *Broker) again(r *reply, br *call, message []byte, in *mcp.Input) ([]byte, error) {
	answers, err := b.inputs(r, br, in)
	if err != nil {
		return nil, err
	}
	return mcp.Again(message, newID(), answers, in)
}

// badAnswer is the refusal of an answer that breaks the protocol.
func badAnswer(err error) error {
	if e, ok := errors.AsType[*mcp.Error](err); ok {
		return fault.Wrap("answer", fault.BadUpstream, "the upstream's answer breaks the protocol: "+e.Message, errors.New(e.Message))
	}
	return err
}
