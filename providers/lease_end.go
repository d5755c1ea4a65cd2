package providers

import (
	"fmt"
	"time"

	"mintmark/broker/audit"
)

// lastEnd returns when the system has ended l by itself in any case; zero: never.
func (l *lease) lastEnd() time.Time {
	end := l.span.Load().systemEnd
	if longer := l.ifProlonged.Load(); longer != nil && !end.IsZero() && end.Before(*longer) {
		return *longer
	}
	return end
}

// revocable reports whether revoking l changes anything at now.
func (l *lease) revocable(now time.Time) bool {
	end := l.lastEnd()
	return l.reg.revoker != nil && l.credential.known() && (end.IsZero() || now.Before(end))
}

// systemEnd returns when the system ends l by itself, where the next start could have
// it end before; else zero.
func (l *lease) systemEnd() time.Time {
	if !l.traceable() {
		return time.Time{}
	}
	return l.lastEnd().Round(0)
}

// traceable reports whether the next start could have l ended: by its handle, or by its
// secret.
func (l *lease) traceable() bool { return l.credential.Lease() != "" || l.escrowed }

// livesOn adds to why l may not be used that it is good at its system all the same, which can't be told
// to end it, and until when.
func (l *lease) livesOn(now time.Time, cause error) error {
	end := l.span.Load().systemEnd
	if stated := l.credential.lease.terms().systemEnd; !stated.IsZero() { // and not in doubt
		end = stated
	}
	switch {
	case l.reg.stored || l.revocable(now) || !end.IsZero() && !now.Before(end):
		return cause
	case end.IsZero():
		return fmt.Errorf("%w: it was issued, and its system can't be told to end it: nobody here knows until when it is good there", cause)
	}
	return fmt.Errorf("%w: it was issued, and its system can't be told to end it: it is good there until %s", cause, end.UTC().Format(time.RFC3339))
}

// endedWith names what ends with l at its system: the same for as long as l lives, for a renewal keeps
// its handle.
func (l *lease) endedWith() string {
	return endedWith(&audit.Record{Provider: l.reg.name, Fingerprint: l.credential.Fingerprint(), Lease: l.credential.Lease(), Issuer: l.reg.issuer()})
}
