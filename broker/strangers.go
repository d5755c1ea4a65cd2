package broker

import (
	"strings"
	"sync/atomic"
	"unicode"

	"golang.org/x/time/rate"

	"mintmark/broker/audit"
)

// strangers bounds how many records and log lines callers without an identity
// can make: else anyone who reaches the socket could fill the disk under the
// log, and so stop every call. What is not recorded singly is counted, and the count recorded.
type strangers struct {
	limit   *rate.Limiter
	skipped atomic.Int64
}

const (
	strangersPerSecond = 10
	strangersAtOnce    = 500
)

func newStrangers() *strangers {
	return &strangers{limit: rate.NewLimiter(strangersPerSecond, strangersAtOnce)}
}

// admit reports whether a stranger's refusal gets a record and a line of its own.
func (s *strangers) admit() bool {
	if s.limit.Allow() {
		return true
	}
	s.skipped.Add(1)
	return false
}

// shorten bounds what a caller without an identity can have written into the
// record and the log by one call: an attestor's words may quote what it showed.
// What would be escaped takes six times its room there, so it is left out.
func shorten(text string) string {
	const longest = 200
	if len(text) > longest {
		text = strings.ToValidUTF8(text[:longest], "") + "…"
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
}

// shortened is an error whose text is short, and which stays of its kind.
type shortened struct{ err error }

// Error returns the text, shortened.
func (s shortened) Error() string { return shorten(s.err.Error()) }

// Unwrap returns the error.
func (s shortened) Unwrap() error { return s.err }

// count returns the record of what was skipped since the last, or nil.
func (s *strangers) count() *audit.Record {
	n := s.skipped.Swap(0)
	if n == 0 {
		return nil
	}
	return &audit.Record{Kind: audit.Admin, Event: "strangers_skipped", Count: n,
		Reason: "refusals of callers without an identity that have no record of their own"}
}
