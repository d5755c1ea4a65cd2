package trust

import "time"

const (
	// outageFirst is when an outage is told of again, and half of when after that.
	outageFirst = time.Minute
	// outageLongest bounds the doubling.
	outageLongest = time.Hour
)

// outage says when to tell of what lasts: at its beginning, and at intervals that
// double. The zero outage is one that is about to begin.
type outage struct {
	first    time.Duration // until it is told of again; zero: outageFirst
	failures int
	next     time.Time // zero: at once
	interval time.Duration
}

// due reports whether to tell of it at now, and if so counts on that it is told.
func (o *outage) due(now time.Time) bool {
	if now.Before(o.next) {
		return false
	}
	switch {
	case o.interval > 0:
		o.interval = min(2*o.interval, outageLongest)
	case o.first > 0:
		o.interval = o.first
	default:
		o.interval = outageFirst
	}
	o.next = now.Add(o.interval)
	return true
}
