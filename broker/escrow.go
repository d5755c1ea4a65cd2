package broker

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"syscall"

	"mintmark/broker/bundle"
	"mintmark/broker/escrow"
	"mintmark/providers"
)

// openEscrow opens where tokens are kept, sealed, that their system revokes only where
// it is shown them: for the next start, should this process be killed. What the process
// before left there and put on no record is on record when it returns.
func (b *Broker) openEscrow(ctx context.Context, o Options) error {
	named := o.Bundle.Config.Escrow
	if named == bundle.NoEscrow {
		return nil
	}
	places := o.places
	if places == nil {
		places = escrow.Places()
	}
	kept, err := b.findEscrow(named, places)
	if err != nil {
		return err
	}
	if kept == nil {
		b.logger.WarnContext(ctx, "no file system in memory is here to keep tokens in: those that their system revokes only where it is shown them end by themselves after a crash; name one by escrow")
		return nil
	}
	b.escrow, b.closeEscrow = kept, kept.Close
	b.logger.InfoContext(ctx, "escrow open", slog.String("directory", kept.Directory()))
	left := providers.Unrecorded(kept, kept.Names(), b.orphans, b.clock(), b.logger)
	for i := range left {
		b.log.Note(&left[i])
	}
	b.orphans = append(b.orphans, left...)
	return b.log.Flush(ctx)
}

// findEscrow opens what was named, or else the first of the places that is in memory and
// can be written; nil: there is none.
func (b *Broker) findEscrow(named bundle.Escrow, places []string) (*escrow.Escrow, error) {
	if named != "" {
		return escrow.Open(escrow.Options{Directory: string(named), Key: b.escrowKey, Logger: b.logger})
	}
	for _, place := range places {
		kept, err := escrow.Open(escrow.Options{Directory: place, Key: b.escrowKey, Logger: b.logger})
		if err == nil || !unsuitable(err) {
			return kept, err
		}
	}
	return nil, nil
}

// unsuitable reports whether err says that nothing can be kept in memory there, rather
// than that somebody has a hand in it.
func unsuitable(err error) bool {
	return errors.Is(err, escrow.ErrNoMemory) || errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) || errors.Is(err, fs.ErrNotExist)
}
