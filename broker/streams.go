package broker

import (
	"context"
	"sync"
	"time"
)

// watchEvery is how soon an idle stream is cut after it may go on no longer.
const watchEvery = 250 * time.Millisecond

// streams are the answers under way that may last. A stream that sends nothing
// must end too when posture, policy hours or a fact's age turn against it, so
// one goroutine watches over all of them.
type streams struct {
	mu   sync.Mutex
	open map[*call]struct{}
}

// add puts c under watch until the returned func is called.
func (s *streams) add(c *call) (remove func()) {
	s.put(c)
	return func() { s.remove(c) }
}

// put puts c under watch until remove takes it away.
func (s *streams) put(c *call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		s.open = make(map[*call]struct{})
	}
	s.open[c] = struct{}{}
}

func (s *streams) remove(c *call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, c)
}

// supervise ends the streams that may go on no longer, until ctx ends.
func (s *streams) supervise(ctx context.Context, clock func() time.Time) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.check(clock())
		}
	}
}

// check judges outside of the lock, since no answer that begins or ends has to wait
// for that. Where an attestor has to be asked the others do not wait either: what is
// known of them is judged at once.
func (s *streams) check(now time.Time) {
	for _, c := range s.hold() {
		behind := c.pace.behind(now)
		switch {
		case behind != nil:
			c.end(behind)
			c.snap.calls.Done()
		case !c.judging.TryLock(): // its own goroutine judges it, and acts on that
			c.snap.calls.Done()
		case c.mustProve():
			go c.cutUnless(now)
		default:
			c.cutUnless(now)
		}
	}
}

// cutUnless ends c unless it still stands, and where it can't be said: a panic must
// not end the broker. The caller has locked judging and counted the call, which ends
// here.
func (c *call) cutUnless(now time.Time) {
	defer c.snap.calls.Done()
	defer c.judging.Unlock()
	defer func() {
		if v := recover(); v != nil {
			c.end(unjudged(v))
		}
	}()
	if err := c.stands(now); err != nil {
		c.end(err)
	}
}

// hold returns the answers under way. Each counts as a call of its snapshot until
// it is judged, so that nothing it is judged by ends meanwhile.
func (s *streams) hold() []*call {
	s.mu.Lock()
	defer s.mu.Unlock()
	held := make([]*call, 0, len(s.open))
	for c := range s.open {
		c.snap.calls.Add(1) // what put c under watch holds it above zero
		held = append(held, c)
	}
	return held
}
