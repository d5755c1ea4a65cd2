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
	for round := 1; ; round++ {
		s, err := b.say(br, message)
		if err != nil {
			return err
		}
		in, err := b.retold(r, s)
		if in == nil || err != nil {
			return err
		}
		if len(in.Requests) == 0 {
			busy++
		}
		if round == maxRounds || busy > maxBusy {
			err = fault.New("answer", fault.BadUpstream, "the upstream asked for input too often")
		} else {
			message, err = b.again(r, br, message, in)
		}
		if err != nil {
			b.unanswered(s, err)
			return err
		}
	}
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

// unanswered ends what s left open for input that will not come, and puts on
// record why.
func (b *Broker) unanswered(s source, err error) {
	if t, ok := s.talk.(*turn); ok && t.parked != "" {
		b.forsake(t.parked, err)
		return
	}
	b.recordFailure(s.sent, refusalOf(err))
}

// badAnswer is the refusal of an answer that breaks the protocol.
func badAnswer(err error) error {
	if e, ok := errors.AsType[*mcp.Error](err); ok {
		return fault.Wrap("answer", fault.BadUpstream, "the upstream's answer breaks the protocol: "+e.Message, errors.New(e.Message))
	}
	return err
}
