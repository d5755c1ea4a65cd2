package broker

import (
	"cmp"
	"context"
	"errors"
	"net/http"

	"mintmark/injector"
	"mintmark/injector/mcp"
	"mintmark/internal/fault"
)

// outgoing makes the request to the upstream from what was judged, without
// anything that could carry the agent's own authority.
func (b *Broker) outgoing(c *call) error {
	out := &c.outgoing
	*out = injector.Outgoing{Method: c.verb, Body: c.body}
	out.Header, c.stripped = injector.Strip(c.header, c.plain, c.injection.schemeOrNil())
	if c.guards() {
		injector.StripRange(out.Header)
	}
	query, names, ok := injector.StripQuery(c.r.URL.RawQuery, c.injection.schemeOrNil())
	if !ok {
		return fault.New("receive", fault.Invalid, "expected a query of name=value pairs joined by &; servers read others differently")
	}
	c.stripped = append(c.stripped, names...)
	if err := injector.Admit(c.injection.schemeOrNil(), c.header, c.body); err != nil {
		return err
	}
	out.URL = c.upstream.send.URL(c.path, c.escaped, query)
	if c.session != "" {
		out.Header[mcp.HeaderSession] = []string{c.session}
		// Resuming is the session's: alone, an event's id could name a stream of
		// another agent that is served by the same credential.
		if last := c.header[mcp.HeaderLastEvent]; len(last) > 0 {
			out.Header[mcp.HeaderLastEvent] = last
		}
	}
	return nil
}

// forward sends the call and returns the head of an answer that may be relayed,
// with what takes the secret out of it.
func (b *Broker) forward(c *call, secrets *injector.Secrets) (*http.Response, *injector.Scrubber, error) {
	scrub, err := b.scrubber(c, secrets)
	if err != nil {
		return nil, nil, err
	}
	c.scrub, c.sent = scrub, b.clock()
	if c.asksEra != nil {
		c.asksEra.sent.Store(true)
	}
	resp, err := c.upstream.send.Send(c.ctx, &c.outgoing, c.recheck(b.clock))
	if err != nil {
		f, ok := errors.AsType[*fault.Error](err)
		c.unanswered = ok && f.Op == "forward"
		_, c.silent = errors.AsType[*injector.NoAnswer](err)
		return nil, nil, masked(c.ctx, err, scrub)
	}
	b.paced(c, resp) // before the first look at what is in it
	if err := b.acceptable(c, resp); err != nil {
		_ = resp.Body.Close()
		return nil, nil, err
	}
	return resp, scrub, nil
}

// acceptable refuses an answer that must not be relayed, whatever is in it.
func (b *Broker) acceptable(c *call, resp *http.Response) error {
	if resp.StatusCode == http.StatusPartialContent && c.guards() {
		return fault.New("forward", fault.BadUpstream, "the upstream sent a part of an answer that was not asked for; it can't be checked for secrets")
	}
	if resp.StatusCode < http.StatusOK || resp.StatusCode > 599 {
		return fault.New("forward", fault.BadUpstream, "the upstream answered with a status that ends no HTTP request")
	}
	if err := b.credentialTaken(c, resp.StatusCode); err != nil {
		return err
	}
	if c.plain {
		return nil
	}
	return cmp.Or(speaksMCP(c, resp), oneReading(resp.Header), b.checkSession(c, resp))
}

// masked returns err without what an upstream may have put into it: libraries
// quote the bytes they could not read. It returns no sooner than an answer with that text
// would be given out: the agent sees when its call fails.
func masked(ctx context.Context, err error, scrub *injector.Scrubber) error {
	f, ok := errors.AsType[*fault.Error](err)
	if !ok || f.Err == nil {
		return err
	}
	text := scrub.ErrorText(f.Err.Error())
	_ = unhurried(ctx, scrub) // where ctx ends before, that is when the call fails
	shown := *f
	shown.Err = errors.New(text[:min(len(text), 256)])
	return &shown
}
