package broker

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"mintmark/broker/audit"
	"mintmark/injector"
	"mintmark/internal/fault"
)

// Why a record says that a secret was masked.
const (
	maskedOwn   = "the upstream sent an injected secret back"
	maskedOther = "the upstream showed a secret that it got for another workload, or for an earlier call"
)

// noticed tells of what was masked in the answer to c so far, at once: a stream
// may go on for days. The first of an answer is a record of its own, and the first
// of another credential one more. The answer's outcome has the number of all.
func (b *Broker) noticed(c *call) {
	if c.scrub == nil || c.scrub.Hits() == c.hits {
		return
	}
	hits, others := c.scrub.Hits(), c.scrub.HitsOfOthers()
	b.metrics.masked(c, hits-c.hits)
	if hits > others && c.hits == c.hitsOfOthers {
		b.tellMasked(c, c.credential.ID(), maskedOwn)
	}
	if others > 0 && c.hitsOfOthers == 0 {
		b.tellMasked(c, c.scrub.OfOthers(), maskedOther)
	}
	c.hits, c.hitsOfOthers = hits, others
}

// tellMasked tells that the answer to c had a secret of the credential in it.
func (b *Broker) tellMasked(c *call, credential, why string) {
	b.log.Write(&audit.Record{
		Kind: audit.Admin, Event: "secret_masked", Call: c.id, Agent: c.identity.Subject(), Upstream: c.name, Method: c.method,
		Tool: c.object(), Credential: credential, Reason: why,
	})
	b.logger.WarnContext(context.WithoutCancel(c.r.Context()), "the upstream sent an injected secret back, and it was masked",
		slog.String("call", c.id), slog.String("upstream", c.name), slog.String("credential", credential), slog.String("reason", why))
}

// inParts has the secrets followed from part to part of an answer that is made of
// messages which clients join, as they do a model's words. Some look for their media
// types anywhere in a header that can't be read. It reports whether the answer is such.
func inParts(resp *http.Response, scrub *injector.Scrubber) bool {
	said := strings.ToLower(strings.Join(resp.Header["Content-Type"], ", "))
	for _, kind := range messageTypes() {
		if strings.Contains(said, kind) {
			scrub.AcrossParts()
			return true
		}
	}
	return false
}

// inMessages reports whether an answer is of messages that come when they come.
func inMessages(resp *http.Response) bool {
	types := messageTypes()
	return slices.Contains(types[:], mediaType(resp))
}

func messageTypes() [5]string {
	return [...]string{"text/event-stream", "application/x-ndjson", "application/ndjson", "application/jsonl", "application/json-seq"}
}

// unhurried waits until what was searched last may be given out: the time that the search
// takes would tell an agent which of its guesses are right.
func unhurried(ctx context.Context, scrub *injector.Scrubber) error {
	due := scrub.NotBefore()
	if due.IsZero() {
		return nil
	}
	wait := time.Until(due)
	if wait <= 0 {
		return nil
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// unfit returns why nothing more of an answer may be given out, or nil.
func unfit(scrub *injector.Scrubber) error {
	switch {
	case scrub.Spent():
		return fault.New("answer", fault.BadUpstream, "the upstream's answer can't be searched for secrets in good time")
	case scrub.Cut():
		return fault.New("answer", fault.BadUpstream, "the upstream's answer has the beginning of its credential in it")
	}
	return nil
}
