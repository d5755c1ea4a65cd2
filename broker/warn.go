package broker

import (
	"context"
	"log/slog"

	"mintmark/broker/bundle"
)

// warn reminds the operator of what a bundle should not keep for ever.
func (b *Broker) warn(ctx context.Context, bd *bundle.Bundle) {
	for _, w := range bd.Warnings(b.clock()) {
		b.logger.LogAttrs(ctx, slog.LevelWarn, "registration that should not stay as it is",
			slog.String("file", w.File), slog.Int("line", w.Line), slog.String("registration", w.Path), slog.String("warning", w.Text))
	}
}
