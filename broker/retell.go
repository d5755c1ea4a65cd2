package broker

import (
	"net/http"

	"mintmark/injector/mcp"
	"mintmark/internal/fault"
)

// retold relays what s says to an agent that is not asked in a session, and puts on
// record how it ended.
func (b *Broker) retold(r *reply, s source) error {
	before := r.written
	_, err := b.retell(r, s)
	err = r.cut(err)
	s.close(b, r.written-before, err)
	return err
}

// retell relays what s says as it comes, in the agent's revision and by the names
// that it was given, and answers with the last of it. Where that asks for input,
// and the agent is in a session, it is returned instead: a session asks.
func (b *Broker) retell(r *reply, s source) (*mcp.Input, error) {
	if s.streamed {
		if err := r.begin(); err != nil {
			return nil, err
		}
	}
	for {
		m, err := s.next(b)
		switch {
		case err != nil:
			return nil, err
		case m.Kind == mcp.Response:
			return b.retellLast(r, s.sent, m)
		case m.Kind == mcp.None && r.stream:
			err = r.alive()
		case m.Kind == mcp.Notification:
			err = retellNotice(r, s.sent, m)
		}
		if err != nil {
			return nil, err
		}
	}
}

// retellNotice gives the agent a notification. In a session it knows two that are
// of a request.
func retellNotice(r *reply, f *call, m said) error {
	if r.call.bridged != nil && m.Method != "notifications/progress" && m.Method != "notifications/message" {
		return nil
	}
	text := m.Text
	if r.call.name == "" {
		var err error
		if text, err = mcp.PrefixNotification(f.name, m.Answer); err != nil {
			return unreadable(err)
		}
	}
	return r.event(text.JSON())
}

// retellLast answers the agent's request with m, unless that asks for input that a
// session can ask for.
func (b *Broker) retellLast(r *reply, f *call, m said) (*mcp.Input, error) {
	c := r.call
	if c.name == "" && m.Result.Text("resultType") == "task" {
		return nil, fault.New("answer", fault.BadUpstream, "the upstream answered with a task, which it was not asked for; tasks are served at /mcp/NAME")
	}
	if c.bridged != nil {
		in, err := mcp.Inputs(f.method, m.Result)
		if in != nil || err != nil {
			return in, badAnswer(err)
		}
	}
	answer := m.Answer
	if c.name == "" && answer.Result != nil {
		result, err := mergedResult(c, f, answer.Result)
		if err != nil {
			return nil, err
		}
		answer.Result, answer.Text = result, answer.Text.With("result", result.JSON())
	}
	message, status := answer.Text.With("id", c.msg.ID).JSON(), m.status
	if c.bridged != nil {
		message, status = mcp.FromStateless(answer, c.msg.ID), http.StatusOK
	}
	if mcp.Lists(f.method) {
		var err error
		if message, err = b.listed(c, f, message); err != nil {
			return nil, unreadable(err)
		}
	}
	return nil, r.last(status, message)
}

// listed returns a message of f's upstream with its lists as the agent of c may
// see them and can call what is in them.
func (b *Broker) listed(c, f *call, message []byte) ([]byte, error) {
	message, err := b.shown(f, message)
	if err != nil {
		return nil, err
	}
	// In a session a client does not repeat arguments in headers, and a stateless
	// server refuses a call without. Neither bridge carries tasks, nor does /mcp.
	unmirrored := c.bridged != nil && f.msg.Version != ""
	return mcp.FilterLists(message, func(e mcp.Entry) bool {
		return !e.NeedsTask() && (!unmirrored || e.Method != "tools/call" || !mcp.MirrorsArguments(e.Raw))
	})
}
