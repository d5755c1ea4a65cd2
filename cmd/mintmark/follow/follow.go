// Package follow keeps a running broker at what its directory says.
package follow

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"

	"mintmark/broker"
)

// rest is how long the files must not change before they are read, so that an
// editor's several writes are one change and none is read half written.
const rest = 200 * time.Millisecond

// Options is what a Directory depends on.
type Options struct {
	Logger *slog.Logger // required
	// Rescan is how often the files are compared with what is in force without
	// any notice of a change: behind a symbolic link, in a directory that was
	// replaced and on some file systems there is none. 0: every 30 s.
	Rescan time.Duration
}

// Directory is a directory that is watched. It is made by Open, and closed
// after Run.
type Directory struct {
	name    string
	logger  *slog.Logger
	rescan  time.Duration
	watcher *fsnotify.Watcher

	refused string // why, as last logged; "" when nothing is
	amiss   bool   // the last that was logged of the bundle is a refusal
}

// Open begins to watch dir. It comes before the first reading of dir: so Run
// learns of whatever changed since.
func Open(dir string, o Options) (*Directory, error) {
	d := &Directory{name: filepath.Clean(dir), logger: o.Logger, rescan: o.Rescan}
	if d.rescan == 0 {
		d.rescan = 30 * time.Second
	}
	var err error
	if d.watcher, err = fsnotify.NewWatcher(); err != nil {
		return nil, fmt.Errorf("watch %s: %w", dir, err)
	}
	if err := d.watcher.Add(d.name); err != nil {
		_ = d.watcher.Close()
		return nil, fmt.Errorf("watch %s: %w", dir, err)
	}
	return d, nil
}

// Close ends the watch.
func (d *Directory) Close() error { return d.watcher.Close() }

// Run keeps b, which was opened from the directory, at what the directory says,
// until ctx ends. Whatever comes from asked makes it look at once; asked may be
// nil.
func (d *Directory) Run(ctx context.Context, b *broker.Broker, asked <-chan os.Signal) {
	settled, waiting := time.NewTimer(rest), true // set from the start: b may have been opened before a change
	defer settled.Stop()
	rescan := time.NewTicker(d.rescan)
	defer rescan.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-d.watcher.Events:
			if isSource(e.Name) {
				d.refused = "" // what is refused again after a change is said again
				settled.Reset(rest)
				waiting = true
			}
		case err := <-d.watcher.Errors: // such as a full queue: changes may have been missed
			d.logger.WarnContext(ctx, "watch disturbed; the files are compared instead", slog.String("dir", d.name), slog.Any("err", err))
			settled.Reset(rest)
			waiting = true
		case <-rescan.C:
			if !waiting && (d.amiss || b.Stale()) { // one that waits must not be put off again and again
				settled.Reset(rest)
				waiting = true
			}
		case <-asked:
			d.refused = ""
			d.reload(ctx, b)
		case <-settled.C:
			waiting = false
			d.reload(ctx, b)
		}
	}
}

// reload applies what the directory says now. A directory that stays refused is
// tried at every rescan and logged once.
func (d *Directory) reload(ctx context.Context, b *broker.Broker) {
	applied, err := b.Reload(ctx)
	if err != nil {
		if d.refused != err.Error() {
			d.refused, d.amiss = err.Error(), true
			d.logger.ErrorContext(ctx, "bundle refused; the old one stays in force", slog.String("dir", d.name), slog.String("bundle", b.Digest()), slog.Any("err", err))
		}
		return
	}
	switch {
	case applied:
		d.logger.InfoContext(ctx, "bundle applied", slog.String("bundle", b.Digest()))
	case d.amiss:
		d.logger.InfoContext(ctx, "what was refused is gone; the bundle in force is what the files say", slog.String("dir", d.name), slog.String("bundle", b.Digest()))
	}
	d.refused, d.amiss = "", false
}

// isSource reports whether a file is part of a bundle. Kubernetes swaps a whole
// directory by the link ..data.
func isSource(name string) bool {
	base := filepath.Base(name)
	return base == "mintmark.yaml" || filepath.Ext(base) == ".cedar" || base == "..data"
}
