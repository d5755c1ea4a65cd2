package broker

import (
	"context"
	"time"

	"mintmark/attest"
	"mintmark/attest/posture"
)

// noOne is an attestor that finds nothing.
type noOne struct{}

// Attest implements attest.Attestor.
func (noOne) Attest(context.Context, attest.Evidence) (attest.Identity, error) {
	return attest.Identity{}, attest.ErrNoEvidence
}

// Watched is a stream under way that is judged for as long as its clock takes.
type Watched struct {
	s     streams
	c     *call
	Ended context.Context
}

// Watch returns such a stream, under watch.
func Watch(clock func() time.Time) (*Watched, error) {
	chain, err := attest.NewChain([]attest.Attestor{noOne{}}, attest.ChainOptions{Clock: clock})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	snap := &snapshot{chain: chain, tracker: posture.NewTracker(nil, posture.TrackerOptions{})}
	snap.calls.Add(1)
	w := &Watched{c: &call{ctx: ctx, end: cancel, method: "stream", snap: snap}, Ended: ctx}
	w.s.put(w.c)
	return w, nil
}

// Check judges what is under watch.
func (w *Watched) Check() { w.s.check(time.Now()) }

// Another puts another under watch and takes it away.
func (w *Watched) Another() { w.s.add(&call{snap: w.c.snap})() }

// End ends the stream by itself.
func (w *Watched) End() {
	w.s.remove(w.c)
	w.c.snap.calls.Done()
}

// Wait waits until nothing needs what it is judged by.
func (w *Watched) Wait() { w.c.snap.calls.Wait() }
