package oauth

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"mintmark/internal/fault"
	"mintmark/providers"
)

const (
	// metadataLife is how long metadata is used before it is read again.
	metadataLife = 10 * time.Minute
	// staleLife is how much longer it is used where it can't be read again.
	staleLife = time.Hour
	// staleRetry is how soon after that it is tried again.
	staleRetry = 30 * time.Second
	// staleWait bounds the try, so that a mint has time left to use what is known.
	staleWait = 3 * time.Second
)

// discovery finds the endpoints of one authorization server, and keeps those it
// found last.
type discovery struct {
	client   *http.Client
	fixed    endpoints // where an operator named them
	issuer   string    // whose metadata to read; "": what resource names
	resource string    // whose metadata to read first; "": none
	mtls     bool
	dpop     bool
	env      providers.Env

	turn  chan struct{} // of one slot: a lock that a context can leave
	found endpoints
	read  time.Time // when found was; zero: never
	until time.Time // when to read again
}

// find returns where to ask. Callers wait for one lookup.
func (d *discovery) find(ctx context.Context) (endpoints, error) {
	if d.fixed.token != "" {
		return d.fixed, nil
	}
	select {
	case d.turn <- struct{}{}:
		defer func() { <-d.turn }()
	case <-ctx.Done():
		return endpoints{}, providers.Unreachable(server, ctx.Err())
	}
	now := d.env.Now()
	if now.Before(d.until) {
		return d.found, nil
	}
	found, err := d.lookUp(ctx, now)
	if err != nil && d.stale(err, now) {
		d.until = now.Add(staleRetry)
		d.env.Log().LogAttrs(ctx, slog.LevelWarn, "the metadata of an authorization server can't be read again; what was read before is used",
			slog.String("issuer", or(d.issuer, providers.Origin(d.found.issuer))), slog.Time("read", d.read), slog.Time("used_until", d.staleEnd()), slog.Any("error", err))
		return d.found, nil
	}
	if err != nil {
		d.read = time.Time{} // an outage later does not bring back what was contradicted
		return endpoints{}, err
	}
	d.found, d.read, d.until = found, now, now.Add(metadataLife)
	return found, nil
}

// lookUp reads the metadata.
func (d *discovery) lookUp(ctx context.Context, now time.Time) (endpoints, error) {
	if now.Before(d.staleEnd()) {
		brief, cancel := context.WithTimeout(ctx, staleWait)
		defer cancel()
		ctx = brief
	}
	issuer := d.issuer
	if d.resource != "" {
		named, err := d.resourceIssuer(ctx)
		if err != nil {
			return endpoints{}, err
		}
		issuer = named
	}
	found, err := d.serverMetadata(ctx, issuer)
	if err != nil && d.found.issuer != issuer {
		d.read = time.Time{} // what was found is of a server that is asked no more
	}
	return found, err
}

func (d *discovery) staleEnd() time.Time { return d.read.Add(metadataLife + staleLife) }

// stale reports whether what was found goes on after err, as RFC 5861, section 4, has
// it: the server is down, in trouble or hidden behind a page of another's, and says
// nothing about what it said before. A document that can be read and is wrong (another
// issuer, an endpoint that can't be) is the server's present word, or that of whoever
// speaks in its place: to go on with the old one would be to overlook just the change
// that the checks are there for. So it fails closed, as does a server that says that
// it has no document any more.
func (d *discovery) stale(err error, now time.Time) bool {
	return fault.KindOf(err) == fault.Unavailable && !errors.Is(err, errMisfit) && now.Before(d.staleEnd())
}
