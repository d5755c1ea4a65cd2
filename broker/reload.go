package broker

import (
	"context"

	"mintmark/broker/bundle"
)

// Stale reports whether the directory of the bundle in force says something
// else now, be it something that can't be read.
func (b *Broker) Stale() bool {
	bd, err := b.readAgain()
	return err != nil || bd.Digest != b.Digest()
}

// Reload reads the directory of the bundle in force again and applies what it
// says now. It does nothing, and returns false, when that is in force already.
// A refusal is counted wherever it comes from: a directory that can't be read
// as much as a bundle that can't be applied.
func (b *Broker) Reload(ctx context.Context) (applied bool, err error) {
	bd, err := b.readAgain()
	if err != nil {
		// Again, for what is wrong with the policies beside it.
		if _, _, all := Load(b.current.Load().bundle.Dir, b.kinds.Settings()); all != nil {
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

func (b *Broker) readAgain() (*bundle.Bundle, error) {
	return bundle.Load(b.current.Load().bundle.Dir, b.kinds.Settings())
}
