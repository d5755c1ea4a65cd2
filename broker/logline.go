package broker

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"mintmark/internal/fault"
)

// attrs are the keys of the log line of a call: the same words as its record.
func (c *call) attrs(now time.Time, outcome string, status int) []slog.Attr {
	return []slog.Attr{
		slog.String("call", c.id), slog.String("outcome", outcome), slog.String("agent", c.identity.Subject()),
		slog.String("upstream", c.name), slog.String("method", c.method), slog.String("tool", c.object()),
		slog.String("credential", c.credential.ID()), slog.Bool("cached", c.cached),
		slog.Int("status", status), slog.Duration("duration", now.Sub(c.started)),
	}
}

func errAttrs(r refusal, err error) []slog.Attr {
	kind, reason := r.truth()
	return []slog.Attr{slog.String("step", r.Step), slog.String("kind", kind.String()), slog.String("reason", reason), slog.String("err", err.Error())}
}

// levelOf keeps the log readable: an allowed call is a debug line (the record
// has it), what a caller brought upon itself an info line, what an operator may have
// to see to (an upstream or an issuing system that is down, or breaks the protocol) a
// warning, our own failure an error. ctx is of the caller's request: what ends with
// it is no trouble of the operator's.
func levelOf(ctx context.Context, err error) slog.Level {
	if err == nil {
		return slog.LevelDebug
	}
	left := ctx.Err() != nil || errors.Is(err, context.Canceled) || errors.Is(err, errCancelled)
	switch kind := fault.KindOf(err); {
	case kind == fault.Internal && !isProtocolError(err):
		return slog.LevelError
	case (kind == fault.Unavailable || kind == fault.BadUpstream) && !left:
		return slog.LevelWarn
	}
	return slog.LevelInfo
}
