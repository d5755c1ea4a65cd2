package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"mintmark/cmd/mintbench/load"
	"mintmark/providers"
)

// tripPrefix is what the clients of mintbench's own token requests begin with. It is
// as long as the names of coldName are before the number, and so are the requests.
const tripPrefix = "trip-"

func coldName(i int) string { return fmt.Sprintf("cold-%d", i) }

// cold makes the first call with each of many credentials. In turn with these, so
// that the machine is in the same state, it makes a token request by itself, and a
// call whose credential is held.
func (b *bench) cold(ctx context.Context) error {
	if b.broker == nil || !b.o.cold {
		return nil
	}
	b.say("the first call with each of %d credentials, in turn with a token request by itself and a call that needs none", coldUpstreams)
	var upstreams []string
	for i := range coldUpstreams {
		upstreams = append(upstreams, coldName(i))
	}
	first, err := b.caller(ctx, "cold", upstreams...)
	if err != nil {
		return err
	}
	cached, err := b.caller(ctx, "cached", burstUpstream) // which the burst got its credential for
	if err != nil {
		return err
	}
	var trips, added, minted []float64
	for i := range coldUpstreams {
		trip, err := b.world.tokenRequest(ctx, fmt.Sprint(tripPrefix, i))
		if err != nil {
			return err
		}
		held := cached.Next(ctx)
		call := first.Next(ctx)
		trips, added, minted = append(trips, inMicros(trip)), append(added, inMicros(call-trip)), append(minted, inMicros(call-trip-held))
	}
	b.report.ProviderRTTP50Us = rounded(medianOf(trips))
	b.report.ColdAddedUs, b.report.ColdMintUs = rounded(medianOf(added)), rounded(medianOf(minted))
	return errors.Join(b.ended(cached), b.ended(first))
}

// caller connects a caller to Mintmark that calls each of the upstreams in turn.
func (b *bench) caller(ctx context.Context, name string, upstreams ...string) (*load.Caller, error) {
	t := b.broker.target(b.world, endpoint{name: name, address: b.broker.plain})
	t.Calls = nil
	for _, u := range upstreams {
		c := load.Call{Host: b.broker.plain, Path: "/mcp/" + u, Tool: b.world.tool(), Text: b.o.body,
			Headers: []string{"Authorization: Bearer " + b.world.tokens[0]}}
		t.Calls = append(t.Calls, c.Template(t.Numbers))
	}
	return load.NewCaller(ctx, t)
}

// ended keeps what came of a caller's calls, or returns why it cannot count.
func (b *bench) ended(c *load.Caller) error {
	r := c.Finish()
	b.results[key{c.Target().Name, single}] = []load.Result{r}
	return b.verdict(c.Target(), single, r, nil)
}

// tokenRequest gets a token as a provider of Mintmark does that has not asked before:
// with a client like its own, and so over a new connection. It returns how long that
// took.
func (w *world) tokenRequest(ctx context.Context, client string) (time.Duration, error) {
	request := clientcredentials.Config{
		ClientID: client, ClientSecret: w.secret, AuthStyle: oauth2.AuthStyleInHeader, TokenURL: w.tokenURL(),
	}
	ctx = context.WithValue(ctx, oauth2.HTTPClient, providers.HTTPClient(nil))
	start := time.Now()
	_, err := request.Token(ctx)
	took := time.Since(start)
	if err != nil {
		return 0, fmt.Errorf("request a token: %w", err)
	}
	return took, nil
}

func inMicros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }
