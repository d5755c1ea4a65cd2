package providers

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"mintmark/internal/fault"
)

const (
	firstDelay  = 250 * time.Millisecond
	longDelay   = 10 * time.Second
	longWait    = 5 * time.Minute // the longest that a system can ask for
	maxFailures = 1 << 12         // remembered at once
)

// RetryAfter is wrapped by the cause of a fault where the system said how long it
// wants to be left alone (RFC 9110, section 10.2.3). The Pool obeys it, for at most
// five minutes.
type RetryAfter time.Duration

// Error says how long.
func (r RetryAfter) Error() string {
	return fmt.Sprintf("asks to wait %d s", time.Duration(r)/time.Second)
}

// failures remembers which mints failed just now, so that a system in trouble
// is asked ever more rarely, and by one caller at a time. What is wrong with the
// system is remembered for every agent, what is wrong with one key for that key.
type failures map[key]failure

type failure struct {
	err   error
	delay time.Duration
	until time.Time
}

// refuse returns the remembered error, and for how long it stands, or nil.
func (f failures) refuse(k key, now time.Time) (wait time.Duration, err error) {
	for _, k := range []key{k.wide(), k} {
		if last, ok := f[k]; ok && now.Before(last.until) {
			return last.until.Sub(now), last.err
		}
	}
	return 0, nil
}

// probe lets the mint that is about to start find out alone, until the given
// time at the latest, whether a failing system has recovered.
func (f failures) probe(k key, until time.Time) {
	for _, k := range []key{k.wide(), k} {
		if last, ok := f[k]; ok {
			last.until = until
			f[k] = last
		}
	}
}

// note remembers how a mint ended, and returns how long the next is put off.
func (f failures) note(k key, err error, now time.Time) time.Duration {
	at, other := k, k.wide()
	if fault.KindOf(err) == fault.Unavailable {
		at, other = other, at
	}
	if other != at { // the system answered, or this key's own trouble is not known any more
		delete(f, other)
	}
	if err == nil {
		delete(f, at)
		return 0
	}
	f.prune(now)
	delay := min(max(firstDelay, 2*f[at].delay), longDelay)
	wait := time.Duration(float64(delay) * (0.75 + rand.Float64()/2)) //nolint:gosec // jitter is no secret
	if asked, ok := errors.AsType[RetryAfter](err); ok {
		wait = max(wait, min(time.Duration(asked), longWait))
	}
	f[at] = failure{err: err, delay: delay, until: now.Add(wait)}
	return wait
}

// prune forgets what has long stopped mattering, when there is much of it.
func (f failures) prune(now time.Time) {
	if len(f) < maxFailures {
		return
	}
	for k, last := range f {
		if now.Sub(last.until) > longDelay {
			delete(f, k)
		}
	}
}

// forget drops what is remembered of a registration, which is given a new start.
func (p *Pool) forget(reg *registration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for k := range p.failures {
		if k.provider == reg.name {
			delete(p.failures, k)
		}
	}
}
