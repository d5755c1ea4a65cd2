// Package trivy states posture facts from a folder of Trivy scan reports: a
// workload whose newest report has no finding of a failing severity passes,
// one that has such a finding fails, and one without a readable report is
// unknown.
//
// Whoever can write to the folder decides what passes. What cannot be read, is
// too large, has no time or one in the future, or leads out of the folder by a
// symbolic link, says nothing; and as long as it lies there, nothing is known
// about what it was about either, because it may be the newer report.
package trivy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"

	"mintmark/attest/posture"
)

const (
	// rescanEvery is the safety net under the notifications, which some file
	// systems do not send and a full queue drops.
	rescanEvery = 30 * time.Second
	// settle is how long a burst of notifications is let run before reading.
	settle = 20 * time.Millisecond
)

// Source is a watched folder of reports. It is safe for concurrent use, but
// for Watch, which runs once at a time.
type Source struct {
	config   Config
	name     string
	subjects map[string][]string // by SPIFFE ID: itself and its digests
	clock    func() time.Time
	logger   *slog.Logger
}

// Open checks cfg and makes the source that states facts of the given name.
// The folder must exist. There is nothing to close.
func Open(cfg Config, name string) (*Source, error) {
	cfg = cfg.withDefaults()
	if err := cfg.err(); err != nil {
		return nil, err
	}
	info, err := os.Stat(string(cfg.Folder))
	if err != nil {
		return nil, unread("open folder of reports", err)
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("folder: got the file %q, want a directory: name the one that the reports are in", cfg.Folder)
	}
	s := &Source{config: cfg, name: name, subjects: map[string][]string{}, clock: time.Now, logger: slog.New(slog.DiscardHandler)}
	for _, w := range cfg.Workloads {
		id := w.SPIFFEID.String()
		if s.subjects[id] == nil {
			s.subjects[id] = []string{id}
		}
		s.subjects[id] = append(s.subjects[id], w.Digest)
	}
	return s, nil
}

// Subjects implements posture.Resolver.
func (s *Source) Subjects(id string) []string { return s.subjects[id] }

// SetLogger implements posture.Logging.
func (s *Source) SetLogger(l *slog.Logger) { s.logger = l }

// Watch implements posture.Source.
func (s *Source) Watch(ctx context.Context, report func(posture.Fact)) error {
	notify, err := fsnotify.NewWatcher()
	if err != nil {
		return unread("watch folder of reports", err)
	}
	defer func() { _ = notify.Close() }()
	w := &watch{source: s, notify: notify, report: report, files: map[string]file{}, stated: map[string]posture.Fact{}}
	if err := w.scan(ctx); err != nil {
		return err
	}
	report(posture.Fact{})
	return w.follow(ctx)
}

// watch is the state of one Watch.
type watch struct {
	source *Source
	notify *fsnotify.Watcher
	report func(posture.Fact)
	files  map[string]file         // by path in the folder
	stated map[string]posture.Fact // by subject
}

// follow rescans at each notification and at each turn of the safety net.
func (w *watch) follow(ctx context.Context) error {
	net := time.NewTicker(rescanEvery)
	defer net.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-net.C:
		case e, ok := <-w.notify.Events:
			if !ok {
				return errors.New("watch folder of reports: notifications ended")
			}
			if err := w.burst(ctx, e); err != nil {
				return err
			}
		case err, ok := <-w.notify.Errors:
			if !ok {
				return errors.New("watch folder of reports: notifications ended")
			}
			// Some were dropped: what is remembered of the files may be old.
			w.source.logger.LogAttrs(ctx, slog.LevelWarn, "trivy notifications were lost; reading everything again", slog.Any("error", err))
			w.forget("")
		}
		if err := w.scan(ctx); err != nil {
			return err
		}
	}
}

// burst takes in e and all that follows shortly, so that a report written in
// many pieces is read once.
func (w *watch) burst(ctx context.Context, e fsnotify.Event) error {
	w.forget(e.Name)
	timer := time.NewTimer(settle)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
			return nil
		case e, ok := <-w.notify.Events:
			if !ok {
				return errors.New("watch folder of reports: notifications ended")
			}
			w.forget(e.Name)
		}
	}
}

// forget has the file of the given name, or all when it is "", read again.
func (w *watch) forget(name string) {
	rel, err := filepath.Rel(string(w.source.config.Folder), name)
	for path, f := range w.files {
		if name == "" || err != nil || path == filepath.ToSlash(rel) || f.linked {
			f.stamp = stamp{}
			w.files[path] = f
		}
	}
}

// state reports what the files now amount to, where it differs from what was
// stated before.
func (w *watch) state() {
	next := w.source.facts(w.files)
	for _, subject := range slices.Sorted(maps.Keys(w.stated)) {
		if _, ok := next[subject]; !ok {
			w.report(posture.Fact{Subject: subject, Name: w.source.name})
		}
	}
	for _, subject := range slices.Sorted(maps.Keys(next)) {
		if next[subject] != w.stated[subject] {
			w.report(next[subject])
		}
	}
	w.stated = next
}

// facts says what a set of files amounts to: of the readable reports about a
// subject the newest counts, and of two of the same time the failing one. A
// subject of a file that says nothing is unknown.
func (s *Source) facts(files map[string]file) map[string]posture.Fact {
	out, unknown := map[string]posture.Fact{}, map[string]bool{}
	for _, f := range files {
		for _, subject := range f.subjects {
			if f.err != nil {
				unknown[subject] = true
				continue
			}
			fact := posture.Fact{
				Subject: subject, Name: s.name, Value: f.value, ObservedAt: f.created,
				MaxAge: s.config.MaxAge.Duration, Issuer: s.name + "/trivy",
			}
			if old, ok := out[subject]; !ok || newer(fact, old) {
				out[subject] = fact
			}
		}
	}
	for subject := range unknown {
		delete(out, subject)
	}
	return out
}

func newer(f, old posture.Fact) bool {
	if f.ObservedAt.Equal(old.ObservedAt) {
		return f.Value == "fail"
	}
	return f.ObservedAt.After(old.ObservedAt)
}
