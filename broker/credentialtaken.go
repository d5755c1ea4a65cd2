package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"

	"mintmark/internal/fault"
)

// errNotTaken is what the upstream says to a credential that it does not take.
var errNotTaken = errors.New("status 401")

// credentialTaken refuses an answer of 401 to an injected credential: how to log in
// is none of the agent's affair. It may call again where another credential is minted
// then. A key that somebody stored is read anew, and stays the same until somebody
// replaces it: calling again is of no use, and only an operator can mend that.
//
// A 403 is relayed, since it may be about what was asked for. An operator hears that
// it came to a stored key, which may have lost what it was allowed to do.
func (b *Broker) credentialTaken(c *call, status int) error {
	if status != http.StatusUnauthorized && status != http.StatusForbidden {
		return nil
	}
	if c.injection == nil {
		if status == http.StatusUnauthorized {
			b.warnOfOpen(c)
		}
		return nil
	}
	b.metrics.refused.WithLabelValues(c.name, c.injection.provider, strconv.Itoa(status)).Inc()
	stored := c.credential.Stored()
	if status == http.StatusForbidden {
		if stored && c.injection.warns.Allow() {
			b.logger.WarnContext(context.WithoutCancel(c.r.Context()),
				"the upstream answered 403 to a stored key: either the call is not for it, or the key was revoked or may do less than before",
				slog.String("call", c.id), slog.String("upstream", c.name), slog.String("provider", c.injection.provider))
		}
		return nil
	}
	c.snap.pool.Refused(c.ctx, c.credential)
	hint, what := "the upstream refused the credential that was minted for it; call again in a moment, a fresh one may serve", "a credential"
	if stored {
		hint, what = "the upstream refused the stored key that is registered for it; calling again is of no use until an operator of the broker has replaced that key", "the stored key"
	}
	return fault.Wrap("forward", fault.BadUpstream, hint,
		fmt.Errorf("%w to %s of provider %s, put there by scheme %s", errNotTaken, what, c.injection.provider, c.injection.name))
}

// warnOfOpen tells an operator, once for each bundle, of an upstream that answers 401 and is
// registered as needing no credential. What it says goes to the agent as it is.
func (b *Broker) warnOfOpen(c *call) {
	if c.upstream.warned.Swap(true) {
		return
	}
	b.logger.WarnContext(context.WithoutCancel(c.r.Context()),
		"the upstream answered 401, and is registered as needing no credential: register a provider, and credentials in place of unauthenticated: true",
		slog.String("call", c.id), slog.String("upstream", c.name))
}
