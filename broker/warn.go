package broker

import (
	"context"
	"log/slog"
)

// warn reminds the operator of what a bundle should not keep for ever, and of policies
// that are hardly meant as they are, and of posture that is of nobody.
func (b *Broker) warn(ctx context.Context, snap *snapshot) {
	for _, w := range snap.bundle.Warnings(b.clock()) {
		b.logger.LogAttrs(ctx, slog.LevelWarn, "registration that should not stay as it is",
			slog.String("file", w.File), slog.Int("line", w.Line), slog.String("registration", w.Path), slog.String("warning", w.Text))
	}
	for _, w := range snap.policies.Warnings() {
		b.logger.LogAttrs(ctx, slog.LevelWarn, "policy that may not do what it says", slog.String("file", w.File), slog.Int("line", w.Line), slog.String("warning", w.Text))
	}
	b.warnOfNobody(ctx, snap)
}
