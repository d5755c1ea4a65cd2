package oauth

import (
	"context"
	"net/http"
	"time"

	"mintmark/providers"
)

// metadataLife is how long metadata is used before it is read again.
const metadataLife = 10 * time.Minute

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
	until time.Time
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
	issuer := d.issuer
	if d.resource != "" {
		named, err := d.resourceIssuer(ctx)
		if err != nil {
			return endpoints{}, err
		}
		issuer = named
	}
	found, err := d.serverMetadata(ctx, issuer)
	if err != nil {
		return endpoints{}, err
	}
	d.found, d.until = found, now.Add(metadataLife)
	return found, nil
}
