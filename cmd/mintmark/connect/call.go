package connect

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"

	"mintmark/injector/mcp"
)

// How many requests are at the broker at once, and how many may wait besides.
const (
	maxRunning = 64
	maxOpen    = 256
)

// errCancelled ends a call that its client waits for no more: it gets no answer.
var errCancelled = errors.New("cancelled by the client")

// call is one request of the client that has no answer yet.
type call struct {
	msg     mcp.Message
	key     string
	session *session // it is made in, or nil

	ctx  context.Context
	end  context.CancelCauseFunc
	sent chan struct{} // closed once it is on its way
	once sync.Once
	// settled is set by whoever answers, or decides that nobody does.
	settled atomic.Bool
	over    chan struct{} // closed when that is done

	// A batch is carried by a call that is none of the client's. What is answered
	// is each request in it.
	batch   []*call
	carrier *call
}

// done reports whether its answer is waited for no more: where it carries a
// batch, that of any request in it.
func (c *call) done() bool {
	if c.batch == nil {
		return c.settled.Load()
	}
	return !slices.ContainsFunc(c.batch, func(one *call) bool { return !one.settled.Load() && one.ctx.Err() == nil })
}

// callOff ends a call that its client waits for no more. The exchange of a batch
// goes on until that is so for all of it.
func (c *call) callOff() {
	c.end(errCancelled)
	if c.carrier != nil && c.carrier.done() {
		c.carrier.end(errCancelled)
	}
}

// claim reports whether the caller is the one to answer.
func (c *call) claim() bool { return c.settled.CompareAndSwap(false, true) }

// stateless reports whether the call is of a revision without sessions.
func (c *call) stateless() bool { return c.msg.Version != "" }

func (c *call) initializes() bool { return c.msg.Method == "initialize" }

func (c *call) onItsWay() { c.once.Do(func() { close(c.sent) }) }

// calls are the requests that have no answer yet.
type calls struct {
	slots chan struct{} // as many as may run
	group sync.WaitGroup

	mu   sync.Mutex
	open map[string]*call
}

// add takes in a call, unless there are too many.
func (l *calls) add(c *call) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.open) >= maxOpen {
		return false
	}
	if l.open == nil {
		l.open = make(map[string]*call)
	}
	l.open[c.key] = c
	return true
}

func (l *calls) remove(c *call) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[c.key] == c {
		delete(l.open, c.key)
	}
}

// find returns the call that an id means, or nil.
func (l *calls) find(id []byte) *call {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open[keyOf(id)]
}

// each calls fn for each call.
func (l *calls) each(fn func(*call)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.open {
		fn(c)
	}
}

// start sends a request, and returns it; nil: it was refused.
func (b *bridge) start(m mcp.Message) *call {
	c := &call{msg: m, key: keyOf(m.ID), sent: make(chan struct{}), over: make(chan struct{})}
	c.ctx, c.end = context.WithCancelCause(b.running)
	if !c.stateless() && !c.initializes() {
		c.session = b.session.Load()
	}
	if !b.calls.add(c) {
		c.end(nil)
		b.out.refuse(m.ID, tooMany())
		return nil
	}
	b.calls.group.Go(func() { b.run(c) })
	return c
}

func tooMany() error {
	return refusef(http.StatusTooManyRequests, "%d requests have no answer yet; wait for some, or cancel them", maxOpen)
}

// run sees a call through: it is answered, or cancelled.
func (b *bridge) run(c *call) {
	defer c.onItsWay() // nobody waits for it any more
	b.conclude(c, b.exchange(c))
}

// conclude ends a call whose exchange ended with err: what has no answer yet gets
// one, unless it is cancelled.
func (b *bridge) conclude(c *call, err error) {
	defer c.end(nil)
	defer b.calls.remove(c)
	if cause := context.Cause(c.ctx); errors.Is(cause, errCancelled) || !isRefusal(err) && cause != nil {
		err = cause
	}
	if !c.claim() {
		return
	}
	defer close(c.over)
	if err == nil {
		err = refusef(http.StatusBadGateway, "the server's answer ended before it was whole; whether the call was carried out is not known")
	}
	if !errors.Is(err, errCancelled) {
		b.out.refuse(c.msg.ID, err)
	}
}

// exchange sends a request and carries what comes back.
func (b *bridge) exchange(c *call) error {
	select {
	case b.calls.slots <- struct{}{}:
		defer func() { <-b.calls.slots }()
	case <-c.ctx.Done():
		return context.Cause(c.ctx)
	}
	resp, err := b.post(c.ctx, &c.msg, c.session, c.onItsWay)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if c.initializes() {
		c.session = b.newSession(resp.Header.Get(mcp.HeaderSession))
	}
	return b.answer(c, resp)
}

// post sends one message as it was read.
func (b *bridge) post(ctx context.Context, m *mcp.Message, s *session, sent func()) (*http.Response, error) {
	h := http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"}}
	if m.Version != "" {
		if err := mcp.SetHeaders(h, m); err != nil {
			return nil, err
		}
		b.params.set(h, m)
	} else {
		s.setHeaders(h)
	}
	return b.link.send(ctx, http.MethodPost, m.Raw, h, sent)
}
