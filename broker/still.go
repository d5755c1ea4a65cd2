package broker

import (
	"time"

	"mintmark/injector"
	"mintmark/internal/fault"
)

// recheck returns the check that runs right before the write: everything the
// decision stood on must still stand.
func (c *call) recheck(clock func() time.Time) injector.Recheck {
	return func() error {
		if err := c.snap.chain.Check(c.identity); err != nil {
			return err
		}
		if c.injection != nil && !c.snap.pool.Valid(c.credential) {
			return fault.New("lease", fault.Unavailable, "the credential ended while the call was under way; call again")
		}
		return c.stillAllowed(clock())
	}
}

// stillAllowed decides again when posture changed since the decision, and at
// least once a second: hours end, and facts grow stale.
func (c *call) stillAllowed(now time.Time) error {
	c.judging.Lock()
	defer c.judging.Unlock()
	return c.stands(now)
}

// stands is stillAllowed for who holds judging.
func (c *call) stands(now time.Time) error {
	if until := c.waits.Load(); until != nil && now.After(*until) {
		return fault.New("answer", fault.Unavailable, "the agent did not give the input that the upstream asked for in time")
	}
	epoch := c.snap.tracker.Epoch()
	if epoch == c.epoch && now.Sub(c.judged) < time.Second {
		return nil
	}
	if c.openEnded() {
		if err := c.stillProven(); err != nil {
			return err
		}
	}
	if d := c.judge(now); !d.Allow {
		return fault.New("decide", fault.Denied, d.Reason)
	}
	c.epoch, c.judged = epoch, now // only now, so that a denial stands whoever asks next
	return nil
}

// proven is stillProven before anything is sent: a body may come slowly, and minting
// takes a while.
func (c *call) proven() error {
	c.judging.Lock()
	defer c.judging.Unlock()
	return c.stillProven()
}

// trustedAt returns the generation of the trust under which the evidence last held.
func (c *call) trustedAt() uint64 {
	c.judging.Lock()
	defer c.judging.Unlock()
	return c.trusted
}

// stillProven returns nil when the evidence that began a call would begin it now: it
// may have ended, and so may the trust in who signed it. The caller holds judging.
func (c *call) stillProven() error {
	if err := c.snap.chain.Check(c.identity); err != nil {
		return err
	}
	trusted := c.snap.chain.Generation()
	if trusted == c.trusted {
		return nil
	}
	if err := c.proveAgain(); err != nil {
		return err
	}
	c.trusted = trusted
	return nil
}

// mustProve reports whether an attestor is to be asked before the stream goes on,
// which may take its time. The caller holds judging.
func (c *call) mustProve() bool {
	return c.openEnded() && c.trusted != c.snap.chain.Generation()
}

// openEnded reports whether the answer is a stream that by its nature does not
// end, or one that waits while nobody calls. It lasts no longer than the evidence it was opened with; the answer to a
// call may, since the call was made in time.
func (c *call) openEnded() bool {
	return c.method == "stream" || c.method == "subscriptions/listen" || c.waits.Load() != nil
}
