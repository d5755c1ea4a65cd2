package broker

import (
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
// has it), a refusal an info line, our own failure an error.
func levelOf(err error) slog.Level {
	switch {
	case err == nil:
		return slog.LevelDebug
	case fault.KindOf(err) == fault.Internal && !isProtocolError(err):
		return slog.LevelError
	}
	return slog.LevelInfo
}
