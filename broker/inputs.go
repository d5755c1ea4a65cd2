package broker

import (
	"bytes"
	"context"
	"net/http"
	"time"

	"mintmark/injector/mcp"
	"mintmark/internal/fault"
)

const (
	inputWithin = 10 * time.Minute // for a person to give an answer, unless a test says less
	aliveEvery  = 15 * time.Second
	busyFor     = time.Second // before an upstream that is busy is asked again
)

// inputs asks the agent's client, in its session, for what in wants and waits for
// its answers, as long as br may go on. Only who holds the session can give them.
// Meanwhile the call is not one of limits.concurrent, and of an agent's only so
// many wait.
func (b *Broker) inputs(r *reply, br *call, in *mcp.Input) (mcp.Object, error) {
	ctx, late := context.WithTimeoutCause(br.ctx, b.inputTime,
		fault.New("answer", fault.Unavailable, "the client did not give the input that the upstream asked for in time"))
	defer late()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if len(in.Requests) == 0 {
		return nil, r.wait(ctx, busyFor)
	}
	leave, err := b.waiting.enter(r.call.identity, cancel)
	if err != nil {
		return nil, err
	}
	defer leave()
	messages := make([][]byte, len(in.Requests))
	waiting := make([]<-chan mcp.Object, len(in.Requests))
	for i, asked := range in.Requests {
		id, answer, done := b.flights.ask(r.call.bridged.digest)
		defer done()
		if messages[i], err = r.call.bridged.client.InputRequest(asked, id); err != nil {
			return nil, badAnswer(err)
		}
		waiting[i] = answer
	}
	if err := br.stillAllowed(b.clock()); err != nil {
		return nil, err
	}
	for _, message := range messages {
		if err := r.event(message); err != nil {
			return nil, r.call.cut(err)
		}
	}
	b.leaveSlot(r.call)
	given, err := r.gather(ctx, in, waiting)
	if err == nil {
		err = b.takeSlot(ctx, r.call)
	}
	return given, err
}

// gather waits for the answers and returns them by the upstream's keys.
func (r *reply) gather(ctx context.Context, in *mcp.Input, waiting []<-chan mcp.Object) (mcp.Object, error) {
	given := mcp.Object{}
	for i, asked := range in.Requests {
		answer, err := r.await(ctx, waiting[i])
		if err != nil {
			return nil, err
		}
		result := answer.Get("result")
		if result == nil {
			return nil, fault.New("answer", fault.Invalid, "the client answered "+asked.Method+" with an error, so that the upstream can't complete the request")
		}
		given = given.With(asked.Key, result)
	}
	return given, nil
}

// await waits for one answer, and shows meanwhile that the stream is alive.
func (r *reply) await(ctx context.Context, answer <-chan mcp.Object) (mcp.Object, error) {
	tick := time.NewTicker(aliveEvery)
	defer tick.Stop()
	for {
		select {
		case given := <-answer:
			return given, nil
		case <-ctx.Done():
			return nil, r.ended(ctx)
		case <-tick.C:
			if err := r.alive(); err != nil {
				return nil, r.call.cut(err)
			}
		}
	}
}

// ended says why a wait came to nothing.
func (r *reply) ended(ctx context.Context) error {
	if cause := context.Cause(ctx); isFault(cause) {
		return cause
	}
	return r.call.cut(context.Cause(ctx))
}

func (r *reply) wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return r.ended(ctx)
	}
}

// respond takes the client's answer to what it was asked.
func (b *Broker) respond(c *call) error {
	answer, err := mcp.CutObject(c.body)
	if err != nil {
		return err
	}
	if result := answer.Get("result"); result != nil && !bytes.HasPrefix(result, []byte{'{'}) {
		return fault.New("receive", fault.Invalid, "expected the result to be an object, got "+mcp.KindOf(result))
	}
	if err := b.admit(c); err != nil {
		return err
	}
	if !b.flights.deliver(c.bridged.digest, c.msg.ID, answer) {
		return fault.New("receive", fault.Invalid, "expected the id of a request that awaits an answer in this session")
	}
	b.conclude(c, http.StatusAccepted, nil)
	return nil
}
