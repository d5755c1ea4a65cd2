// Package fault is the one error type that crosses package borders: what a
// program acts on (Kind), what the agent's developer may read (Hint), and the
// cause that only the operator's log sees (Err).
package fault

import (
	"errors"
)

// Kind says what a caller can do about an error. It is closed: the broker has
// one table from Kind to HTTP status, JSON-RPC code and metric label.
type Kind uint8

// The zero Kind is Internal, so that an error nobody classified is never
// mistaken for one the agent can mend.
const (
	Internal        Kind = iota // our own failure
	Unauthenticated             // no evidence, or evidence that proves nothing
	Denied                      // policy said no
	Invalid                     // the request itself is malformed
	NotFound                    // no such upstream, session or path
	TooLarge                    // a size limit was passed
	Unavailable                 // something we need is down: retry later
	BadUpstream                 // the upstream broke the protocol
)

var kindNames = [...]string{"internal", "unauthenticated", "denied", "invalid", "not_found", "too_large", "unavailable", "bad_upstream"}

// String returns the label used in records and metrics.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return kindNames[Internal]
}

// Error is an error with a Kind. Hint is the only part an agent sees, so it
// never holds a secret, an internal address or another agent's name.
type Error struct {
	Op   string // step at fault: "attest", "decide", "lease", …
	Kind Kind
	Hint string
	Why  string // what the record says after the Hint, in words of our own; may be ""
	Err  error  // may be nil; it tells what Why does, and more
}

// Error joins the step, the hint and the cause: for the operator, never for the agent.
func (e *Error) Error() string {
	s := e.Op
	if e.Hint != "" {
		s += ": " + e.Hint
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// New returns an *Error without a cause.
func New(op string, kind Kind, hint string) *Error { return &Error{Op: op, Kind: kind, Hint: hint} }

// Wrap returns an *Error caused by err.
func Wrap(op string, kind Kind, hint string, err error) *Error {
	return &Error{Op: op, Kind: kind, Hint: hint, Err: err}
}

// KindOf returns the Kind of the outermost *Error in err's chain, or Internal.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return Internal
}

// WhyOf returns the Why of the outermost *Error in err's chain that has one, or "".
func WhyOf(err error) string { return outermost(err, func(e *Error) string { return e.Why }) }

// HintOf returns the Hint of the outermost *Error in err's chain that has one,
// or "" when nothing in err was written for an agent to read.
func HintOf(err error) string { return outermost(err, func(e *Error) string { return e.Hint }) }

// outermost returns what the outermost *Error in err's chain says that says anything.
func outermost(err error, said func(*Error) string) string {
	for {
		e, ok := errors.AsType[*Error](err)
		if !ok {
			return ""
		}
		if text := said(e); text != "" {
			return text
		}
		err = e.Err
	}
}
