// Package stdlog keeps what libraries print by the standard logger out of sight.
package stdlog

import (
	"context"
	"log"
	"log/slog"
)

// Hush has the standard logger of this process report to logger no more than how
// much was printed, until restore is called. net/http prints what a server sends
// out of turn on an idle connection, which may repeat a credential, and it has no
// other way to be told not to. So every program that embeds the broker calls this
// first, or sees to its standard logger itself.
func Hush(logger *slog.Logger) (restore func()) {
	before := log.Writer()
	log.SetOutput(writer{logger})
	return func() { log.SetOutput(before) }
}

type writer struct{ logger *slog.Logger }

// Write implements io.Writer.
func (w writer) Write(p []byte) (int, error) {
	w.logger.LogAttrs(context.Background(), slog.LevelWarn, "a library printed something, which is not shown since it may hold a secret", slog.Int("bytes", len(p)))
	return len(p), nil
}
