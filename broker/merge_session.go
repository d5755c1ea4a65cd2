package broker

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"mintmark/injector/mcp"
	"mintmark/internal/fault"
)

// Upstreams with sessions want one before anything else. The broker holds one for
// each agent and upstream, and for each of the agent's own sessions with /mcp, so
// that what an upstream keeps in a session is never shared between agents.

// maxHeld bounds the sessions that are held, and maxHeldEach those of one
// workload, so that none can have the others' forgotten. Beyond it the one that
// was used longest ago is forgotten, and its upstream forgets it too in its time.
const (
	maxHeld     = 1024
	maxHeldEach = 64
)

// heldKey is what one session is for.
type heldKey struct {
	upstream        string
	issuer, subject string
	session         string // the agent's own with /mcp, or ""
}

// held is one session with an upstream. What follows turn is read and written by
// whoever has it.
type held struct {
	used     time.Time // under merged.mu
	turn     chan struct{}
	upstream *upstream // that it was begun with; a changed registration needs another
	begun    bool
	id       string // the upstream's own, or "" where it has none
	revision string
}

// hold returns the session for a key, begun or not.
func (m *merged) hold(key heldKey, now time.Time) *held {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.held == nil {
		m.held = make(map[heldKey]*held)
	}
	h := m.held[key]
	if h == nil {
		m.forgetOldest(maxHeldEach, func(k heldKey) bool { return k.issuer == key.issuer && k.subject == key.subject })
		m.forgetOldest(maxHeld, func(heldKey) bool { return true })
		h = &held{turn: make(chan struct{}, 1)}
		m.held[key] = h
	}
	h.used = now
	return h
}

// forgetOldest makes room for one more of those that count.
func (m *merged) forgetOldest(most int, counts func(heldKey) bool) {
	var oldest heldKey
	var since time.Time
	n := 0
	for key, h := range m.held {
		if !counts(key) {
			continue
		}
		if n++; n == 1 || h.used.Before(since) {
			oldest, since = key, h.used
		}
	}
	if n >= most {
		delete(m.held, oldest)
	}
}

// sayInSession asks an upstream with sessions. A session that the upstream no
// longer knows is begun anew, once: nothing was carried out in it.
func (b *Broker) sayInSession(br *call, message []byte) (*answered, error) {
	plain, client, err := mcp.Unstated(message)
	if err != nil {
		return nil, b.stopped(br, fault.Wrap("receive", fault.Internal, "", err))
	}
	h := b.merged.hold(keyOf(br), b.clock())
	var over string
	for range 2 {
		var m worded
		if m, err = b.heldSession(br, h, client, over); err != nil {
			return nil, err
		}
		m.body = plain
		var a *answered
		if a, err = b.saysHeld(br, m); !errors.Is(err, errSession) {
			return a, err
		}
		over = m.session
	}
	return nil, fault.New("forward", fault.BadUpstream, "the upstream ends each session that it begins")
}

// saysHeld makes the exchange of m. Agents of one workload share a session and
// choose ids alike, so that each request gets one that is used once.
func (b *Broker) saysHeld(br *call, m worded) (*answered, error) {
	var err error
	if m.body, err = mcp.WithID(m.body, mcp.Quote("mintmark-"+newID())); err != nil {
		return nil, b.stopped(br, fault.Wrap("receive", fault.Internal, "", err))
	}
	f, err := b.fork(br, m)
	if err != nil {
		return nil, b.stopped(br, err)
	}
	a, err := b.sends(f)
	if err != nil {
		b.callOff(br, f)
	}
	return a, err
}

// callOff tells an upstream with sessions that what f asked is no longer wanted,
// where the agent left: to such a server the end of a connection says nothing.
func (b *Broker) callOff(br, f *call) {
	if br.ctx.Err() == nil || !f.recorded || f.msg.Version != "" {
		return
	}
	within, cancel := context.WithTimeout(context.WithoutCancel(br.ctx), listWithin)
	defer cancel()
	left := branch(br, br.name)
	left.ctx, left.end = context.WithCancelCause(within)
	defer left.end(nil)
	body := []byte(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":` + string(f.msg.ID) + `}}`)
	if a, err := b.words(left, worded{upstream: br.name, body: body, session: f.session, revision: f.header.Get(mcp.HeaderVersion)}); err == nil {
		a.close(b, nil)
	}
}

func keyOf(br *call) heldKey {
	key := heldKey{upstream: br.name, issuer: br.identity.Issuer(), subject: br.identity.Subject()}
	if br.era() == eraSessions {
		key.session = br.sessionKey()
	}
	return key
}

// heldSession returns where to say something in a session that is begun, and is
// not the one that is over. An error is on record already.
func (b *Broker) heldSession(br *call, h *held, client mcp.Object, over string) (_ worded, err error) {
	select {
	case h.turn <- struct{}{}:
		defer func() { <-h.turn }()
	case <-br.ctx.Done():
		return worded{}, b.stopped(br, br.leftAt(context.Cause(br.ctx)))
	}
	u := br.snap.upstreams[br.name]
	if h.begun && h.upstream == u && (over == "" || h.id != over) {
		return worded{upstream: br.name, session: h.id, revision: h.revision}, nil
	}
	h.begun = false
	if h.id, h.revision, err = b.beginHeld(br, client); err != nil {
		return worded{}, err
	}
	h.upstream, h.begun = u, true
	return worded{upstream: br.name, session: h.id, revision: h.revision}, nil
}

// beginHeld begins a session with the upstream of br, in the name of client,
// which can be asked for nothing.
func (b *Broker) beginHeld(br *call, client mcp.Object) (id, revision string, err error) {
	a, err := b.words(br, worded{upstream: br.name, body: initializeMessage(client)})
	if err != nil {
		return "", "", err
	}
	m, err := b.replyIn(a)
	id, revision = a.resp.Header.Get(mcp.HeaderSession), m.Result.Text("protocolVersion")
	if err == nil && (revision >= mcp.Stateless || !slices.Contains(mcp.Versions(), revision)) {
		err = fault.New("answer", fault.BadUpstream, "the upstream begins no session of a revision that is known")
	}
	a.close(b, err)
	if err != nil {
		return "", "", err
	}
	told, err := b.words(br, worded{upstream: br.name, body: []byte(`{"jsonrpc":"2.0","method":"notifications/initialized"}`), session: id, revision: revision})
	if err != nil {
		return "", "", err
	}
	told.close(b, nil)
	return id, revision, nil
}

func initializeMessage(client mcp.Object) []byte {
	if len(client) == 0 {
		client = mcp.Object{}.With("name", mcp.Quote("mintmark")).With("version", mcp.Quote("1"))
	}
	params := mcp.Object{}.With("protocolVersion", mcp.Quote(mcp.Versions()[1])).With("capabilities", []byte(`{}`)).With("clientInfo", client.JSON())
	return mcp.Object{}.With("jsonrpc", mcp.Quote("2.0")).With("id", mcp.Quote("mintmark")).With("method", mcp.Quote("initialize")).With("params", params.JSON()).JSON()
}

// endMerged ends the session of c: what is under way in it, and the sessions with
// upstreams that are held for it, as far as these agree to it in time. The handle
// itself stays good: what it opens is who the client is, and nothing else.
func (b *Broker) endMerged(c *call) error {
	if _, err := b.permitting(c); err != nil {
		return err
	}
	var ended sync.WaitGroup
	for name, h := range b.merged.drop(c) {
		ended.Go(func() { b.endHeld(c, name, h) })
	}
	ended.Wait()
	return b.mergedLocal(c, http.StatusOK, nil)
}

// drop cancels what is under way in the session of c, and returns what was held
// for it by the names of its upstreams.
func (m *merged) drop(c *call) map[string]*held {
	session, dropped := c.sessionKey(), map[string]*held{}
	m.mu.Lock()
	defer m.mu.Unlock()
	for key, running := range m.running {
		if strings.HasPrefix(key, session) {
			running.end(errLeft)
		}
	}
	for key, h := range m.held {
		if key.session == session {
			delete(m.held, key)
			dropped[key.upstream] = h
		}
	}
	return dropped
}

func (b *Broker) endHeld(c *call, name string, h *held) {
	br := branch(c, name)
	defer br.end(nil)
	timer := time.AfterFunc(listWithin, func() {
		br.end(fault.New("forward", fault.BadUpstream, "the upstream did not end its session in time"))
	})
	defer timer.Stop()
	select {
	case h.turn <- struct{}{}:
		defer func() { <-h.turn }()
	case <-br.ctx.Done():
		return
	}
	if !h.begun || h.id == "" {
		return
	}
	h.begun = false
	if a, err := b.words(br, worded{upstream: name, verb: http.MethodDelete, session: h.id, revision: h.revision}); err == nil {
		a.close(b, nil)
	}
}
