// Package posture keeps what is known about the health of workloads: facts
// with an age. A fact that is unknown or stale is absent, so that no policy can
// be satisfied by it.
package posture

import (
	"context"
	"log/slog"
	"time"
)

// Fact is one thing a source observed about a subject.
type Fact struct {
	Subject    string // a SPIFFE ID, or a digest "sha256:<64 hex>" of an image or binary
	Name       string // the name policies use: "scan"
	Value      string // "pass", "fail", …; "" retracts the fact
	ObservedAt time.Time
	MaxAge     time.Duration // older than this, the fact does not exist
	Issuer     string        // who said so: the source's registered name and tool
}

// FreshAt reports whether f counts at now: it has a value, is not from the
// future beyond a minute of clock skew, and is not older than MaxAge.
func (f Fact) FreshAt(now time.Time) bool {
	age := now.Sub(f.ObservedAt)
	return f.Value != "" && age >= -time.Minute && age <= f.MaxAge
}

// Age returns how old f is at now, never negative.
func (f Fact) Age(now time.Time) time.Duration { return max(0, now.Sub(f.ObservedAt)) }

// Seconds returns the age in whole seconds, rounded up: what policies compare
// and records say never looks younger than it is.
func (f Fact) Seconds(now time.Time) int64 {
	return int64((f.Age(now) + time.Second - 1) / time.Second)
}

// Source watches one place where facts come from. Watch calls report for each
// fact as it is found and as it changes, and with an empty Value when the
// source no longer vouches for it, until ctx ends; it then returns ctx's
// error. It blocks: the Tracker owns the goroutine and the retry.
//
// Watch reports the zero Fact once it has reported everything that was already
// there, so that the Tracker knows absent from not yet read. A Watch that
// starts again begins with nothing reported.
type Source interface {
	Watch(ctx context.Context, report func(Fact)) error
}

// Logging is a Source that has something to say to the operator beside facts:
// which of what it found says nothing, and why. The Tracker calls SetLogger
// once, before Watch.
type Logging interface {
	SetLogger(l *slog.Logger)
}

// Valued is the settings of a Source whose facts have one of few values, so that a
// policy that compares one with another is a slip.
type Valued interface {
	Values() []string
}

// Resolver is a Source that also knows under which other subjects a workload's
// facts are kept.
type Resolver interface {
	// Subjects returns id itself, followed by the digests registered for it, or nil
	// where there are none. The result is read only.
	Subjects(id string) []string
}
