package broker

import (
	"context"
	"crypto/sha256"
	"net/http"
	"sync"
	"time"

	"mintmark/injector/mcp"
	"mintmark/internal/fault"
)

// parkedFor is how long an upstream's open answer waits for the agent's input.
const parkedFor = 5 * time.Minute

// parking holds the conversations in which an upstream asked for input, until
// the agent repeats its request with it. Each stays under the supervision of
// streams, and ends when it may go on no longer. What the agent gets is sealed to
// its identity, the upstream and the very call, and serves once.
type parking struct {
	states *sessions // under a key of its own: a state is never a session's handle

	mu   sync.Mutex
	byID map[string]*waits
}

// waits is a conversation that waits for input.
type waits struct {
	*conversation
	question mcp.Answer
	leave    func()      // of those that wait
	forget   func() bool // no longer ends it when its context does
}

func newParking() (*parking, error) {
	states, err := newSessions()
	return &parking{states: states, byID: map[string]*waits{}}, err
}

// asksFor is what a state is sealed to beside the agent: the upstream and the
// very call.
func (c *call) asksFor() string {
	call := sha256.New()
	call.Write([]byte(c.name + "\x00" + c.method + "\x00" + c.msg.Target + "\x00")) // none holds a control character
	call.Write(c.msg.Arguments)
	return string(call.Sum(nil))
}

// asked has the agent asked what the upstream asks, which is the answer to its
// call, or says in its place that it is not to be asked, which is none.
func (b *Broker) asked(t *turn, m mcp.Answer) (said, error) {
	c := t.by
	if !t.asks.AllowN(b.clock(), 1) {
		return said{}, fault.New("answer", fault.BadUpstream, "the upstream asks its client too often")
	}
	if m.Method == "ping" {
		return said{}, b.tellServer(c, t.held.words(c, mcp.Reply(m.ID, []byte("{}"))))
	}
	code, why := t.sender.Wants(m)
	if code != 0 {
		t.lacking = m.Needs()
	}
	if code == 0 && c.method != "tools/call" && c.method != "prompts/get" && c.method != "resources/read" {
		code, why = mcp.CodeMethodNotFound, "a client of revision "+mcp.Stateless+" can't be asked for input while it asks for this"
	}
	if code != 0 {
		return said{}, b.tellServer(c, t.held.words(c, mcp.ReplyError(m.ID, code, why)))
	}
	if _, err := b.reader.Read(mcp.Reply(m.ID, []byte("{}"))); err != nil {
		return said{}, unreadable(err)
	}
	return b.park(t, m)
}

// park answers the call of t with the question and lets the conversation wait.
func (b *Broker) park(t *turn, m mcp.Answer) (said, error) {
	c, id := t.by, newID()
	message, err := m.InputRequired(c.msg.ID, b.parking.states.seal(id, c.asksFor(), c.identity))
	if err != nil {
		return said{}, unreadable(err)
	}
	leave, err := b.waiting.enter(c.identity, t.answer.call.end)
	if err != nil {
		return said{}, err
	}
	if !t.unlink() {
		leave()
		return said{}, gone(c.ctx)
	}
	until := b.clock().Add(parkedFor)
	t.answer.call.waits.Store(&until)
	if err := b.parking.put(b, id, &waits{conversation: t.conversation, question: m, leave: leave}); err != nil {
		leave()
		return said{}, err
	}
	t.parked = id
	return saying(message, http.StatusOK)
}

// put lets w wait. It ends by itself when its context does.
func (p *parking) put(b *Broker, id string, w *waits) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := w.answer.call
	if b.current.Load() != f.snap {
		return fault.New("answer", fault.Unavailable, "another bundle is in force; call again")
	}
	p.byID[id] = w
	w.forget = context.AfterFunc(f.ctx, func() {
		if p.take(id) != nil {
			defer b.caught(f)
			w.end(b, context.Cause(f.ctx), false)
		}
	})
	return nil
}

// take returns what waits under id and no longer lets it, or nil. It serves one
// caller.
func (p *parking) take(id string) *waits {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := p.byID[id]
	if w == nil {
		return nil
	}
	delete(p.byID, id)
	w.leave()
	w.forget()
	return w
}

// waiting returns what waits under id, and leaves it there, or nil.
func (p *parking) waiting(id string) *waits {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.byID[id]
}

// end ends all that waits in snap.
func (p *parking) end(snap *snapshot) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, w := range p.byID {
		if f := w.answer.call; f.snap == snap {
			f.end(fault.New("answer", fault.Unavailable, "another bundle is in force; call again"))
		}
	}
}

// resume goes on with the conversation that the agent's input is for. The call
// was judged like any other before it comes here.
func (b *Broker) resume(c *call, sender mcp.Sender) (source, error) {
	input := sender.Responses.Get(mcp.InputKey)
	if input == nil {
		return b.askAgain(c, sender.State)
	}
	w := b.taken(c, sender.State)
	if w == nil {
		return source{}, notResumed()
	}
	w.link(c)
	w.answer.call.waits.Store(nil)
	err := b.admit(c)
	if err == nil {
		err = b.tellServer(c, w.held.words(c, mcp.Reply(w.question.ID, input)))
	}
	if err != nil {
		w.end(b, err, false)
		return source{}, err
	}
	return inTurn(w.conversation, c, sender), nil
}

// taken returns what waits for c by the state that c repeats, or nil.
func (b *Broker) taken(c *call, state string) *waits {
	id, err := b.parking.states.open(state, c.asksFor(), c.identity)
	if err != nil {
		return nil
	}
	w := b.parking.take(id)
	if w != nil && w.answer.call.snap != c.snap { // a bundle came between
		w.end(b, fault.New("answer", fault.Unavailable, "another bundle is in force"), false)
		return nil
	}
	return w
}

// askAgain asks once more what the agent's call did not answer. The state goes on
// to serve.
func (b *Broker) askAgain(c *call, state string) (source, error) {
	id, err := b.parking.states.open(state, c.asksFor(), c.identity)
	if err != nil {
		return source{}, notResumed()
	}
	w := b.parking.waiting(id)
	if w == nil {
		return source{}, notResumed()
	}
	message, err := w.question.InputRequired(c.msg.ID, state)
	if err != nil {
		return source{}, unreadable(err)
	}
	if err := b.admit(c); err != nil {
		return source{}, err
	}
	return source{talk: &repeated{by: c, message: message}, sent: c}, nil
}

// repeated is a question that is asked again, for which the upstream is not.
type repeated struct {
	by      *call
	message []byte
}

func (r *repeated) next(*Broker) (said, error) { return saying(r.message, http.StatusOK) }

func (r *repeated) close(b *Broker, written int64, err error) { b.ownOutcome(r.by, written, err) }

func notResumed() error {
	return fault.Wrap("receive", fault.Invalid, "", &mcp.Error{Code: mcp.CodeInvalidParams, Status: http.StatusBadRequest,
		Message: "expected params.requestState as it came with the question, once, from the same agent, for the same call and in time; call again without it"})
}
