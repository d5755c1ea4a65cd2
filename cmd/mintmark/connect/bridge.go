package connect

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"mintmark/broker/bundle"
	"mintmark/injector/mcp"
)

// bridge carries messages between one client and the broker.
type bridge struct {
	link   *link
	reader *mcp.Reader
	out    *output
	logger *slog.Logger
	limit  int64

	running context.Context // of all that it began
	stop    context.CancelCauseFunc

	calls      calls
	background sync.WaitGroup // streams, and the ends of sessions
	session    atomic.Pointer[session]
	params     params
	failed     chan error // why it can't go on; holds the first
}

// fail ends the bridge. Only the first reason counts: calls hear of it before
// anybody ends them for another.
func (b *bridge) fail(err error) {
	b.stop(err)
	select {
	case b.failed <- err:
	default:
	}
}

// pump takes the client's messages until there are no more, ctx ends, or the
// bridge can't go on. Only the last is an error.
func (b *bridge) pump(ctx context.Context, in *input) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-b.failed:
			return err
		case l, ok := <-in.lines:
			if !ok {
				return in.err
			}
			b.take(ctx, in, l)
		}
	}
}

// take sends one message on. Requests do not wait for each other, but what
// follows an initialize waits for its answer, and what follows a notification
// or an answer for that to have arrived, within limits.
func (b *bridge) take(ctx context.Context, in *input, l line) {
	if l.long != nil {
		b.refuseLine(ctx, l.long, refusef(http.StatusRequestEntityTooLarge,
			"expected a message of at most %s, got a longer one; --max-message and the broker's limits.body set it", bundle.Size(b.limit)))
		return
	}
	if mcp.IsBatch(l.text) {
		b.takeBatch(ctx, in, l.text)
		return
	}
	m, err := b.reader.Read(l.text)
	switch {
	case isBlank(l.text):
	case err != nil:
		found := new(skim)
		found.feed(l.text)
		b.refuseLine(ctx, found, err)
	case m.Kind == mcp.Request:
		if c := b.start(m); c != nil && c.initializes() {
			b.await(ctx, in, c.over, nil)
		}
	default:
		b.forward(ctx, in, m)
	}
}

func isBlank(text []byte) bool {
	for _, c := range text {
		if c != ' ' && c != '\t' && c != '\r' {
			return false
		}
	}
	return true
}

// refuseLine answers what can't be sent. An answer to the server that can't be
// sent is only logged: its id is none of the client's.
func (b *bridge) refuseLine(ctx context.Context, found *skim, err error) {
	b.logger.WarnContext(ctx, "a message was not sent", errAttr(err))
	if !found.answer {
		b.out.refuse(found.request(), err)
	}
}

// arrival is how long what follows a notification waits for it.
const arrival = 5 * time.Second

// forward sends a notification or an answer of the client.
func (b *bridge) forward(ctx context.Context, in *input, m mcp.Message) {
	if m.Method == "notifications/cancelled" {
		b.cancel(m)
		return
	}
	b.arrive(ctx, in, m, b.session.Load())
}

// arrive sends what has no answer, and waits for it to have arrived.
func (b *bridge) arrive(ctx context.Context, in *input, m mcp.Message, s *session) {
	arrived := make(chan struct{})
	b.calls.group.Go(func() {
		defer close(arrived)
		b.deliver(m, s)
	})
	timer := time.NewTimer(arrival)
	defer timer.Stop()
	b.await(ctx, in, arrived, timer.C)
}

// await waits for done, as long as it is worth while: the client may still send
// something, and may have it sent.
func (b *bridge) await(ctx context.Context, in *input, done <-chan struct{}, limit <-chan time.Time) {
	select {
	case <-done:
	case <-limit:
	case <-in.ended:
	case <-ctx.Done():
	case <-b.running.Done():
	}
}

// deliver sends a notification or an answer of the client. There is nobody to
// tell when that fails, so the log is told.
func (b *bridge) deliver(m mcp.Message, s *session) {
	ctx, cancel := context.WithTimeout(b.running, time.Minute)
	defer cancel()
	resp, err := b.post(ctx, &m, s, func() {})
	if err != nil {
		b.logger.WarnContext(ctx, "a message did not arrive", slog.String("method", m.Method), errAttr(err))
		return
	}
	defer func() { _ = resp.Body.Close() }()
	switch {
	case resp.StatusCode == http.StatusNotFound && m.Version == "" && s.lasts():
		_ = b.lost(s, wordsOf(resp)) // it ends the bridge
	case resp.StatusCode >= http.StatusMultipleChoices:
		b.logger.WarnContext(ctx, "a message was refused", slog.String("method", m.Method), slog.Int("status", resp.StatusCode), errAttr(wordsOf(resp)))
	case m.Method == "notifications/initialized" && s != nil:
		b.listenTo(s)
	}
}

// listenTo opens the server's own stream of a session, once.
func (b *bridge) listenTo(s *session) {
	s.listen.Do(func() { b.background.Go(func() { b.listen(s) }) })
}

// headStart is how long a call is on its way before its cancellation is: they
// may take two connections, and a server ignores what cancels a call that it has
// not got.
const headStart = 100 * time.Millisecond

// cancel ends a call. The revisions without sessions have the end of its
// exchange for that; in the others the server is told, once it has got the call.
func (b *bridge) cancel(m mcp.Message) {
	c, s := b.calls.find(cancelledID(m.Raw)), b.session.Load()
	switch {
	case c == nil && s == nil: // it has its answer, and there is nobody to tell
	case c == nil:
		b.calls.group.Go(func() { b.deliver(m, s) })
	case c.initializes(): // which is not to be cancelled
	case c.stateless():
		c.end(errCancelled)
	default:
		b.calls.group.Go(func() {
			select {
			case <-c.sent:
				pause(c.ctx, headStart)
			case <-b.running.Done():
			}
			b.deliver(m, s)
			c.callOff()
		})
	}
}

// end lets what is under way come to its end, for as long as a client may be
// expected to wait, and cuts the rest: at once when both the client has closed
// its end and the process was told to stop.
func (b *bridge) end(ctx context.Context, in *input, failed error) {
	b.calls.each(func(c *call) {
		if c.msg.Method == "subscriptions/listen" { // which has no end of its own
			c.end(errCancelled)
		}
	})
	cut := ctx.Done()
	if ctx.Err() != nil {
		cut = in.ended
	}
	if failed == nil {
		within(b.calls.group.Wait, grace, cut)
	}
	b.stop(refusef(http.StatusServiceUnavailable, "this program was stopped before the answer; whether the call was carried out is not known"))
	over := within(func() {
		b.calls.group.Wait()
		b.background.Wait()
	}, clearing, nil)
	if !over {
		b.logger.WarnContext(ctx, "the client does not read what was answered")
	}
	if s := b.session.Load(); s != nil {
		b.leave(s)
	}
}

// within waits for something to end, and reports whether it did.
func within(wait func(), limit time.Duration, cut <-chan struct{}) bool {
	done := make(chan struct{})
	go func() {
		defer close(done)
		wait()
	}()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-cut:
	case <-timer.C:
	}
	return false
}

// errAttr is an error in the log, with its cause where that is not in its text.
func errAttr(err error) slog.Attr {
	if cause := errors.Unwrap(err); cause != nil {
		return slog.String("error", fmt.Sprintf("%v: %v", err, cause))
	}
	return slog.String("error", err.Error())
}
