package broker

import (
	"context"
	"net/http"
	"time"

	"mintmark/attest/posture"
	"mintmark/injector"
	"mintmark/injector/mcp"
)

// Relayed is an answer on its way to an agent, of which each step is the test's.
type Relayed struct{ r relay }

// Relay returns such an answer to the request with this id. It has no timer.
func Relay(w http.ResponseWriter, id string) *Relayed {
	now := time.Now()
	c := &call{ctx: context.Background(), end: func(error) {}, snap: &snapshot{tracker: posture.NewTracker(nil, posture.TrackerOptions{})}, judged: now}
	c.head = head{ResponseWriter: w}
	c.w, c.epoch = &c.head, c.snap.tracker.Epoch()
	a := &Relayed{relay{
		broker: &Broker{clock: func() time.Time { return now }}, call: c, scrub: (*injector.Secrets)(nil).NewScrubber(),
		own: mcp.NewOwn("application/json", []byte(id)),
	}}
	a.r.beat = &beat{relay: &a.r}
	return a
}

// Piece takes what the upstream sent.
func (a *Relayed) Piece(piece string) error { return a.r.piece([]byte(piece), false) }

// Strike is what the timer calls.
func (a *Relayed) Strike() { a.r.beat.strike() }
