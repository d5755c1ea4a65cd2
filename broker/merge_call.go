package broker

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"

	"mintmark/injector/mcp"
	"mintmark/internal/fault"
)

// mergeCall sends a call to the upstream that it names, by the upstream's own
// names, and answers with what comes of it. The decision that stands for it on
// record is the one on what is sent.
func (b *Broker) mergeCall(c *call, client mcp.Object) error {
	name, message, err := mcp.Unprefix(c.body)
	if err == nil {
		message, err = mcp.WithoutTasks(message)
	}
	if u, ok := c.snap.upstreams[name]; err == nil && (!ok || u.plain) {
		err = mcp.UnknownPrefix(c.msg.Target)
	}
	if err == nil && c.era() == eraSessions {
		message, err = mcp.Stated(message, client)
	}
	if err != nil {
		return err
	}
	leave, err := b.underWay(c)
	if err != nil {
		return err
	}
	defer leave()
	br := branch(c, name)
	defer br.end(nil)
	r := newMergedReply(c)
	a, err := b.say(br, message)
	if err == nil {
		err = b.mergedAnswer(r, br, a)
	}
	if err != nil {
		r.fail(err)
	}
	return nil
}

// say asks the upstream of br what message says: a request of the stateless
// revision, of which an upstream with sessions hears what it knows. What would be
// denied is denied before the upstream is asked anything. An error is on record
// already.
func (b *Broker) say(br *call, message []byte) (*answered, error) {
	f, err := b.fork(br, worded{upstream: br.name, body: message})
	if err != nil {
		return nil, b.stopped(br, err)
	}
	if err := b.decide(f); err != nil {
		f.end(nil)
		return nil, b.stopped(f, err)
	}
	speaks := b.upstreamEra(br)
	if cause := context.Cause(br.ctx); cause != nil {
		f.end(nil)
		return nil, b.stopped(f, br.leftAt(cause))
	}
	if speaks == eraUnknown { // it could not be asked, so that the agent's own has to do
		speaks = br.era()
	}
	if speaks == eraSessions {
		f.end(nil)
		return b.sayInSession(br, message)
	}
	if br.era() == eraStateless {
		// They repeat single arguments, which stay as they are.
		for name, values := range br.header {
			if strings.HasPrefix(name, mcp.PrefixParam) {
				f.header[name] = values
			}
		}
	}
	return b.sends(f)
}

// sends makes the exchange of a fork. An error is on record, and counted.
func (b *Broker) sends(f *call) (*answered, error) {
	a, err := b.asks(f)
	if err != nil {
		b.tallied(f, err)
	}
	return a, err
}

// words makes a fork of br and its exchange.
func (b *Broker) words(br *call, m worded) (*answered, error) {
	f, err := b.fork(br, m)
	if err != nil {
		return nil, b.stopped(br, err)
	}
	return b.sends(f)
}

// stopped puts on record, and counts, what never became an exchange.
func (b *Broker) stopped(f *call, err error) error {
	b.recordRefusal(f, refusalOf(err))
	b.tallied(f, err)
	return err
}

// tallied counts and logs a fork that came to no answer, as refuse does for a call.
func (b *Broker) tallied(f *call, err error) {
	r, outcome, now := refusalOf(err), "deny", b.clock()
	if f.recorded {
		outcome = "fail"
	}
	b.metrics.ended(f, now, outcome, r.Step, 0)
	b.logger.LogAttrs(f.r.Context(), levelOf(err), "call", append(f.attrs(now, outcome, r.Status), errAttrs(r, err)...)...)
}

// mergedAnswer relays what an upstream answers, as it comes, and puts on record
// how it ended.
func (b *Broker) mergedAnswer(r *mergedReply, br *call, a *answered) error {
	defer b.streams.add(a.call)()
	err := b.relayMerged(r, br, a)
	if err != nil && r.call.r.Context().Err() != nil {
		err = a.call.cut(err)
	}
	a.close(b, err)
	if err != nil {
		b.callOff(br, a.call)
	}
	return err
}

func (b *Broker) relayMerged(r *mergedReply, br *call, a *answered) error {
	if isStream(a.resp) && a.resp.StatusCode == http.StatusOK {
		if err := r.begin(); err != nil {
			return err
		}
	}
	for {
		m, err := a.next(b)
		switch {
		case errors.Is(err, io.EOF):
			return a.without()
		case err != nil:
			return err
		case m.Kind == mcp.Response && !a.isReply(m):
			return errOther()
		case m.Kind == mcp.Response:
			return r.last(a, m)
		case m.Kind == mcp.Request:
			b.turnAway(br, a, m)
		default:
			if err := r.notice(a, m); err != nil {
				return err
			}
		}
	}
}

// turnAway answers a request that an upstream makes in its session: clients can't
// be asked anything through /mcp, and said so. The upstream goes on without.
func (b *Broker) turnAway(br *call, a *answered, m mcp.Answer) {
	if a.call.msg.Version != "" {
		return // its revision has no such requests
	}
	answer := mcp.Object{}.With("jsonrpc", mcp.Quote("2.0")).With("id", m.ID)
	if m.Method == "ping" {
		answer = answer.With("result", []byte(`{}`))
	} else {
		answer = answer.With("error", []byte(`{"code":-32601,"message":"mintmark: this client can't be asked, as several servers are one to it"}`))
	}
	told, err := b.words(br, worded{upstream: br.name, body: answer.JSON(), session: a.call.session, revision: a.call.header.Get(mcp.HeaderVersion)})
	if err != nil {
		b.logger.InfoContext(br.r.Context(), "an upstream's request could not be answered", slog.String("call", br.id), slog.String("upstream", br.name))
		return
	}
	told.close(b, nil)
}

// notice tells the agent what the upstream tells it.
func (r *mergedReply) notice(a *answered, m mcp.Answer) error {
	told, err := mcp.PrefixNotification(a.call.name, m)
	if err != nil {
		return unreadable(err)
	}
	return r.event(told.JSON())
}

// last answers the agent's request with m.
func (r *mergedReply) last(a *answered, m mcp.Answer) error {
	status, text := http.StatusOK, m.Text.With("id", r.call.msg.ID)
	stateless := r.call.era() == eraStateless
	if m.Result != nil {
		result, err := r.result(a, m.Result)
		if err != nil {
			return err
		}
		text = text.With("result", result.JSON())
	} else if stateless && a.call.msg.Version != "" && a.resp.StatusCode >= 400 && a.resp.StatusCode < 500 {
		status = a.resp.StatusCode
	}
	if r.begun {
		defer r.within() // set at the end: the server writes the last of the answer later
		return r.event(text.JSON())
	}
	r.whole(status, text.JSON())
	return nil
}

// result is an upstream's result as the agent's revision and /mcp have it.
func (r *mergedReply) result(a *answered, result mcp.Object) (mcp.Object, error) {
	kind := result.Text("resultType")
	stateless := r.call.era() == eraStateless
	switch {
	case kind == "task":
		return nil, fault.New("answer", fault.BadUpstream, "the upstream answered with a task, which it was not asked for; tasks are served at /mcp/NAME")
	case kind == "input_required" && !stateless:
		return nil, fault.New("answer", fault.BadUpstream, "the upstream asks the client for input, which needs MCP "+mcp.Stateless+" at /mcp; call /mcp/"+a.call.name)
	case !stateless:
		result = result.Without("resultType", "ttlMs", "cacheScope")
	case kind == "" && r.call.method == "resources/read":
		result = cacheable(result)
	case kind == "":
		result = result.With("resultType", mcp.Quote("complete"))
	case result.Get("cacheScope") != nil:
		result = result.With("cacheScope", mcp.Quote("private"))
	}
	result, err := mcp.PrefixResult(r.call.method, a.call.name, result)
	if err != nil {
		return nil, unreadable(err)
	}
	return result, nil
}
