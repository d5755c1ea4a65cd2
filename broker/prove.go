package broker

import (
	"context"
	"fmt"
	"time"

	"mintmark/attest"
	"mintmark/internal/fault"
)

const (
	// proveWithin is how long a stream goes on while its evidence is judged anew,
	// its turn included: a fact that nobody can confirm by then is none.
	proveWithin = 5 * time.Second
	// proveAtOnce is for how many streams attestors are asked at once.
	proveAtOnce = 64
)

// proveAgain asks the attestors about the evidence that opened c, and returns an
// error where they can't say in time. One that ignores its context is not waited
// for; it keeps its turn, so that no more than so many are ever stuck, and what it is
// asked in, so that this does not end under it.
func (c *call) proveAgain() error {
	ctx, cancel := context.WithTimeout(c.ctx, proveWithin)
	select {
	case c.snap.proving <- struct{}{}:
	case <-ctx.Done():
		cancel()
		return unproven(ctx)
	}
	c.snap.calls.Add(1) // c is one of them still
	said := make(chan error, 1)
	evidence := attest.Evidence{TLS: c.r.TLS, Header: c.r.Header.Clone()} // the request may end before this does
	go func() {
		defer cancel()
		defer c.snap.calls.Done()
		defer func() { <-c.snap.proving }()
		said <- asked(ctx, c.snap.chain, evidence)
	}()
	select {
	case err := <-said:
		return err
	case <-ctx.Done():
		return unproven(ctx)
	}
}

// asked asks the chain. A panic proves nothing.
func asked(ctx context.Context, chain *attest.Chain, e attest.Evidence) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = unjudged(v)
		}
	}()
	_, err = chain.Attest(ctx, e)
	return err
}

// unjudged is of a panic. What was thrown may hold anything, so that only its type is
// kept.
func unjudged(thrown any) error {
	return fault.Wrap("decide", fault.Internal, "the call could not be judged again", fmt.Errorf("panic of type %T", thrown))
}

func unproven(ctx context.Context) error {
	return fault.Wrap("attest", fault.Unavailable, "the agent's evidence could not be judged again in time", ctx.Err())
}
