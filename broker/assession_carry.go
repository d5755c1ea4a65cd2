package broker

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"

	"mintmark/injector/mcp"
	"mintmark/internal/fault"
)

const (
	maxRounds = 16 // of input, for one request
	maxBusy   = 3  // times that an upstream may say: try again
)

// carry sends a request as the upstream's revision has it, and what its client
// is asked for meanwhile to the client. The decisions that stand for it on
// record are those on the requests that are sent.
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
	defer b.streams.add(c)()
	f, err := b.same(c, message)
	if err != nil {
		return err
	}
	r := newReply(c)
	if err := b.rounds(r, f); err != nil {
		r.fail(err)
	}
	return nil
}

// same returns the fork of c that says message, which must act on the very same
// as what the agent said.
func (b *Broker) same(c *call, message []byte) (*call, error) {
	f, err := b.fork(c, worded{upstream: c.name, body: message})
	if err != nil {
		return nil, err
	}
	was, is := &c.msg, &f.msg
	if is.Kind != was.Kind || is.Method != was.Method || is.TargetOf != was.TargetOf || is.Target != was.Target || !bytes.Equal(is.Arguments, was.Arguments) {
		f.end(nil)
		return nil, fault.New("receive", fault.Internal, "")
	}
	f.bridged = c.bridged
	return f, nil
}

// rounds sends f, and then as often again as the upstream wants input. An error
// is on record already.
func (b *Broker) rounds(r *reply, f *call) error {
	busy := 0
	for round := 1; ; round++ {
		in, err := b.round(r, f)
		if in == nil || err != nil {
			return err
		}
		if len(in.Requests) == 0 {
			busy++
		}
		if round == maxRounds || busy > maxBusy {
			err = fault.New("answer", fault.BadUpstream, "the upstream asked for input too often")
		} else {
			f, err = b.again(r, f, in)
		}
		if err != nil {
			b.recordFailure(r.call, refusalOf(err))
			return err
		}
	}
}

// again returns the request that follows f, with the input that the upstream
// wants: judged anew, as any.
func (b *Broker) again(r *reply, f *call, in *mcp.Input) (*call, error) {
	answers, err := b.inputs(r, in)
	if err != nil {
		return nil, err
	}
	message, err := mcp.Again(f.body, newID(), answers, in)
	if err != nil {
		return nil, err
	}
	return b.same(r.call, message)
}

// round makes one exchange. It returns what the upstream wants, or nil when the
// request is answered.
func (b *Broker) round(r *reply, f *call) (*mcp.Input, error) {
	a, err := b.asks(f)
	if err != nil {
		b.tallied(f, err)
		return nil, err
	}
	in, err := b.readRound(r, a)
	switch {
	case err != nil && r.call.cancelled():
		err = errCancelled
	case err != nil:
		err = f.cut(err)
	}
	a.close(b, err)
	return in, err
}

func (b *Broker) readRound(r *reply, a *answered) (*mcp.Input, error) {
	if isStream(a.resp) && a.resp.StatusCode == http.StatusOK {
		if err := r.begin(); err != nil {
			return nil, err
		}
	}
	for {
		m, err := a.next(b)
		switch {
		case errors.Is(err, io.EOF):
			return nil, a.unanswered()
		case err != nil:
			return nil, err
		case m.Kind == mcp.Request:
			return nil, fault.New("answer", fault.BadUpstream, "the upstream sent a request of its own, which its revision does not have")
		case m.Kind == mcp.Response:
			return b.lastOf(r, a, m)
		case m.Method == "notifications/progress" || m.Method == "notifications/message":
			if err := r.event(m.Text.JSON()); err != nil {
				return nil, err
			}
		}
	}
}

// lastOf gives the agent the answer of a round, unless it asks for input.
func (b *Broker) lastOf(r *reply, a *answered, m mcp.Answer) (*mcp.Input, error) {
	f := a.call
	if !answers(m, f.msg.ID) {
		return nil, fault.New("answer", fault.BadUpstream, "the upstream answered another request than was sent")
	}
	in, err := mcp.Inputs(f.method, m.Result)
	if in != nil || err != nil {
		return in, badAnswer(err)
	}
	message := mcp.FromStateless(m, r.call.msg.ID)
	if mcp.Lists(f.method) {
		if message, err = b.shown(f, message); err != nil {
			return nil, unreadable(err)
		}
		direct := func(e mcp.Entry) bool { return e.Method != "tools/call" || !mcp.MirrorsArguments(e.Raw) }
		if message, err = mcp.FilterLists(message, direct); err != nil {
			return nil, unreadable(err)
		}
	}
	return nil, r.last(message)
}

// answers reports whether m answers the request of this id. A failure may have
// none, where a server did not come to read it.
func answers(m mcp.Answer, id []byte) bool {
	if m.Failure != nil && (m.ID == nil || string(m.ID) == "null") {
		return true
	}
	return mcp.SameID(m.ID, id)
}

// badAnswer is the refusal of an answer that breaks the protocol.
func badAnswer(err error) error {
	if e, ok := errors.AsType[*mcp.Error](err); ok {
		return fault.Wrap("answer", fault.BadUpstream, "the upstream's answer breaks the protocol: "+e.Message, errors.New(e.Message))
	}
	return err
}

func (a *answered) unanswered() error {
	return fault.New("answer", fault.BadUpstream, fmt.Sprintf("the upstream ended without an answer to the request (HTTP status %d)", a.resp.StatusCode))
}

// response returns the response in an answer of which nothing else matters.
func (a *answered) response(b *Broker) (mcp.Answer, error) {
	for {
		m, err := a.next(b)
		if errors.Is(err, io.EOF) {
			err = a.unanswered()
		}
		if err != nil || m.Kind == mcp.Response {
			return m, err
		}
	}
}
