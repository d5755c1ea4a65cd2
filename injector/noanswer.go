package injector

import (
	"mintmark/internal/fault"
	"mintmark/internal/unreached"
)

// NoAnswer is within the error of a Send that got nothing in HTTP, or nothing in time, where
// the upstream may have the call.
type NoAnswer struct{ err error }

func (e *NoAnswer) Error() string { return e.err.Error() }
func (e *NoAnswer) Unwrap() error { return e.err }

// unanswered returns an error with a NoAnswer in it, which hint tells an agent of.
func unanswered(hint string, err error) error {
	f := fault.Wrap("forward", fault.BadUpstream, hint, &NoAnswer{err})
	if why := unreached.Why(err); why == unreached.Alert { // in TLS 1.3 it comes when the call was written
		f.Why = onRecord(why)
	}
	return f
}
