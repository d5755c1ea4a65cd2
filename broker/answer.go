package broker

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"mintmark/broker/audit"
	"mintmark/injector"
	"mintmark/injector/mcp"
	"mintmark/internal/fault"
)

// answer relays the upstream's answer, scrubbed, at the pace it comes, and
// puts its outcome on record. Once its head is written no error is returned:
// what fails later cuts the answer short.
func (b *Broker) answer(c *call, resp *http.Response, scrub *injector.Scrubber) error {
	err := b.legible(c, resp)
	if err == nil {
		err = b.filter(c, resp, scrub)
	}
	if err != nil {
		return masked(c.ctx, err, scrub)
	}
	b.answerHead(c, resp, scrub)
	if err := unhurried(c.ctx, scrub); err != nil {
		clear(c.w.Header()) // what is said instead has its own
		return c.cut(err)
	}
	c.w.WriteHeader(resp.StatusCode)
	written, err := b.answerBody(c, resp, scrub)
	err = c.cut(err)
	b.outcome(c, resp.StatusCode, written, err)
	if err != nil {
		panic(http.ErrAbortHandler) // the only way to show an agent that its answer is not whole
	}
	return nil
}

// answerHead copies the headers that may pass, scrubbed.
func (b *Broker) answerHead(c *call, resp *http.Response, scrub *injector.Scrubber) {
	h := c.w.Header()
	for name, values := range resp.Header {
		if !answerPasses(name, c.plain) {
			continue
		}
		h[name] = scrubbed(values, scrub)
	}
	if id := resp.Header.Get(mcp.HeaderSession); id != "" && !c.plain {
		h.Set(mcp.HeaderSession, b.handle(c, id))
	}
	if isStream(resp) {
		h.Set("X-Accel-Buffering", "no")
		h.Del("Content-Length")
	}
}

// scrubbed returns values without secrets: themselves where there are none.
func scrubbed(values []string, scrub *injector.Scrubber) []string {
	out := values
	for i, v := range values {
		clean := scrub.String(v)
		if clean != v && &out[0] == &values[0] {
			out = slices.Clone(values)
		}
		out[i] = clean
	}
	return out
}

// handle returns what the agent knows an upstream's session by. Within a session
// it is always the agent's own: clients end one whose id changes.
func (b *Broker) handle(c *call, id string) string {
	if id == c.session {
		return c.r.Header.Get(mcp.HeaderSession)
	}
	b.inUse.begins(c, id)
	return b.sessions.seal(id, c.name, c.identity)
}

// answerPasses is the list of what an upstream may say to an agent. Cookies and
// authentication challenges are not on it: an agent holds no authority there.
func answerPasses(name string, plain bool) bool {
	switch name {
	case "Content-Type", "Content-Length", "Cache-Control", "Retry-After", "Allow", "Location", mcp.HeaderVersion:
		return true
	case "Etag", "Last-Modified", "Content-Range", "Accept-Ranges", "Content-Disposition", "Content-Language", "Expires", "Vary", "Link":
		return plain
	}
	return false
}

func isStream(resp *http.Response) bool { return mediaType(resp) == "text/event-stream" }

// cut says why an answer could not be relayed whole. Where the agent is gone,
// the upstream's request was cancelled for it, and its error says nothing.
func (c *call) cut(err error) error {
	kind := fault.KindOf(err)
	if err == nil || kind == fault.Denied || kind == fault.Unauthenticated || isFault(err) && c.r.Context().Err() == nil {
		return err
	}
	return fault.Wrap("answer", fault.Unavailable, "the agent's connection ended before the answer was whole", err)
}

// outcome records how an allowed call ended.
func (b *Broker) outcome(c *call, status int, written int64, err error) {
	now := b.clock()
	b.noticed(c)
	rec := &audit.Record{
		Kind: audit.Outcome, Call: c.id, Agent: c.identity.Subject(), Upstream: c.name, Method: c.method, Tool: c.object(),
		Credential: c.credential.ID(), Allow: true, Status: status, Bytes: written, ScrubHits: c.hits, Duration: now.Sub(c.started),
	}
	if err != nil {
		rec.Fault, rec.Step, rec.Reason = fault.KindOf(err).String(), "answer", fault.HintOf(err)
	}
	b.metrics.ended(c, now, "allow", "") // before the record, so that who has read that reads this too
	b.log.Note(rec)
	if level := levelOf(c.r.Context(), err); b.logger.Enabled(c.r.Context(), level) {
		attrs := c.attrs(now, "allow", status)
		if err != nil { // what a hint does not say may be an upstream's own words
			attrs = append(attrs, slog.String("step", rec.Step), slog.String("kind", rec.Fault), slog.String("reason", rec.Reason))
		}
		b.logger.LogAttrs(c.r.Context(), level, "call", attrs...)
	}
}

// refuse answers a call that ended with err, and puts that on record.
func (b *Broker) refuse(c *call, err error) {
	r := refusalOf(err).challenge(c)
	outcome := "deny"
	if c.recorded {
		outcome = "fail" // it was allowed, and did not come to an answer
	}
	now := b.clock()
	b.noticed(c)
	b.metrics.ended(c, now, outcome, r.Step)
	switch {
	case !c.identity.IsZero():
		b.tell(c, r, now, outcome, err)
	case b.strangers.admit():
		c.name, c.path = shorten(c.name), shorten(c.path)
		short := r
		short.Text = shorten(r.Text)
		b.tell(c, short, now, outcome, shortened{err})
	}
	if !c.head.sent {
		r.write(c)
	}
}

// tell puts a refusal on record and into the log.
func (b *Broker) tell(c *call, r refusal, now time.Time, outcome string, err error) {
	b.recordRefusal(c, r)
	b.logger.LogAttrs(c.r.Context(), levelOf(c.r.Context(), err), "call", append(c.attrs(now, outcome, r.Status), errAttrs(r, err)...)...)
}

// recordRefusal puts a refusal on record. A refusal stands whether or not the
// log can take it; the log counts what it could not.
func (b *Broker) recordRefusal(c *call, r refusal) {
	if c.batch != nil {
		b.recordBatchRefusal(c, r)
		return
	}
	if c.recorded {
		b.recordFailure(c, r)
		return
	}
	if skipped := b.strangers.count(); skipped != nil {
		b.log.Note(skipped)
	}
	rec := c.decisionRecord()
	kind, reason := r.truth()
	rec.Fault, rec.Step, rec.Reason, rec.Status = kind.String(), r.Step, reason, r.Status
	rec.Duration = b.clock().Sub(c.started)
	// The agent may be gone; its refusal is recorded all the same.
	if _, err := b.log.Append(context.WithoutCancel(c.r.Context()), &rec); err != nil {
		b.logger.ErrorContext(c.r.Context(), "refusal not on record", slog.String("call", c.id), slog.Any("err", err))
	}
}

// recordFailure puts on record why an allowed call came to no answer.
func (b *Broker) recordFailure(c *call, r refusal) {
	b.noticed(c)
	kind, reason := r.truth()
	b.log.Note(&audit.Record{
		Kind: audit.Outcome, Call: c.id, Agent: c.identity.Subject(), Upstream: c.name, Method: c.method, Tool: c.object(),
		Credential: c.credential.ID(), Status: r.Status, ScrubHits: c.hits, Duration: b.clock().Sub(c.started),
		Fault: kind.String(), Step: r.Step, Reason: reason,
	})
}
