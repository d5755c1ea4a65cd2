package broker

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"

	"mintmark/broker/bundle"
)

// Stale reports whether the directory of the bundle in force says something
// else now, be it something that can't be read.
func (b *Broker) Stale() bool {
	bd, err := b.readAgain(context.Background())
	return err != nil || bd.Digest != b.Digest()
}

// Reload reads the directory of the bundle in force again and applies what it
// says now. It does nothing, and returns false, when that is in force already.
// A refusal is counted wherever it comes from: a directory that can't be read
// as much as a bundle that can't be applied.
func (b *Broker) Reload(ctx context.Context) (applied bool, err error) {
	bd, err := b.readAgain(ctx)
	if err != nil {
		// Again, for what is wrong with the policies beside it.
		if all := b.readAll(ctx); all != nil {
			err = all
		}
		b.metrics.reloads.WithLabelValues("refused").Inc()
		return false, err
	}
	if bd.Digest == b.Digest() {
		return false, nil
	}
	if err := b.Apply(ctx, bd); err != nil {
		return false, err
	}
	return true, nil
}

func (b *Broker) readAgain(ctx context.Context) (_ *bundle.Bundle, err error) {
	defer b.guard(ctx, "read a bundle", &err)
	return bundle.Load(b.current.Load().bundle.Dir, b.kinds.Settings())
}

func (b *Broker) readAll(ctx context.Context) (err error) {
	defer b.guard(ctx, "read a bundle", &err)
	_, _, err = Load(b.current.Load().bundle.Dir, b.kinds.Settings())
	return err
}

// guard makes a panic over a bundle an error, so that the bundle is refused and the
// one in force goes on. What was thrown may hold anything, so that only its type
// is kept. It is deferred.
func (b *Broker) guard(ctx context.Context, what string, err *error) {
	if v := recover(); v != nil {
		b.logger.ErrorContext(ctx, "a change of the bundle panicked", slog.String("type", fmt.Sprintf("%T", v)), slog.String("stack", string(debug.Stack())))
		*err = fmt.Errorf("%s: panic of type %T: this is a fault of the broker; its log has where", what, v)
	}
}
