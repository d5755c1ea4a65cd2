package trivy

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"mintmark/internal/filekind"
)

// racy is how long after its last change a file's stamp is not trusted: it
// could change again within the grain of its time.
const racy = 2 * time.Second

// stamp tells one state of a file from another.
type stamp struct {
	modified time.Time
	size     int64
}

// file is what is remembered of one report file.
type file struct {
	stamp    stamp
	linked   bool     // reached by a symbolic link
	subjects []string // whom it is about, or was when it could last be read
	value    string
	created  time.Time
	err      error // why it says nothing
}

// scan brings the files up to date with the folder and states what follows.
// An error means that the folder itself cannot be read.
func (w *watch) scan(ctx context.Context) error {
	root, err := os.OpenRoot(string(w.source.config.Folder))
	if err != nil {
		return unread("open folder of reports", err)
	}
	defer func() { _ = root.Close() }()
	found := map[string]file{}
	err = fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil && name == ".":
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case d != nil && d.IsDir():
			return w.directory(name, err)
		case err == nil && isReport(name):
			found[name] = w.file(ctx, root, name, d)
		}
		return nil
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return unread("read folder of reports", err)
	}
	w.files = found
	w.state()
	return nil
}

// directory has a directory watched. One that cannot be read fails the scan:
// a report in it could be the newer one.
func (w *watch) directory(name string, err error) error {
	if hidden(name) || name != "." && errors.Is(err, fs.ErrNotExist) {
		return fs.SkipDir
	}
	if err != nil {
		return err
	}
	err = w.notify.Add(filepath.Join(string(w.source.config.Folder), filepath.FromSlash(name)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // removed meanwhile: the next notification tells
	}
	return err
}

// hidden reports whether name is a dot file: editors, mounted volumes and
// half-made files.
func hidden(name string) bool { return name != "." && strings.HasPrefix(path.Base(name), ".") }

func isReport(name string) bool { return strings.HasSuffix(name, ".json") && !hidden(name) }

// file returns the present state of one file, reading it only if it changed.
func (w *watch) file(ctx context.Context, root *os.Root, name string, d fs.DirEntry) file {
	old, known := w.files[name]
	now := w.source.clock()
	info, err := root.Stat(name)
	if err == nil {
		st := stamp{info.ModTime(), info.Size()}
		if known && old.stamp == st {
			return old
		}
		next := w.source.read(root, name, info, old.subjects)
		next.linked = d.Type()&fs.ModeSymlink != 0
		if next.err == nil && now.Sub(st.modified) >= racy {
			next.stamp = st // otherwise it is read again next time
		}
		w.logChange(ctx, name, old, next)
		return next
	}
	next := file{subjects: union(w.source.pathSubjects(name), old.subjects), err: err}
	w.logChange(ctx, name, old, next)
	return next
}

// read reads one report. On any error the result keeps the subjects the file
// was about before, so that they become unknown.
func (s *Source) read(root *os.Root, name string, info fs.FileInfo, before []string) file {
	out := file{subjects: s.pathSubjects(name)}
	r, err := s.report(root, name, info)
	if err == nil && len(out.subjects) == 0 {
		out.subjects, err = contentSubjects(name, r)
	}
	if err != nil {
		out.subjects = union(out.subjects, before)
		out.err = err
		return out
	}
	out.value, out.created = r.value(s.config.FailOn), r.CreatedAt.UTC()
	if out.created.After(s.clock().Add(maxSkew)) {
		out.err = fmt.Errorf("CreatedAt: got %s, want a time that has come", out.created.Format(time.RFC3339))
	}
	return out
}

func (s *Source) report(root *os.Root, name string, info fs.FileInfo) (report, error) {
	if !info.Mode().IsRegular() {
		return report{}, fmt.Errorf("got %s, want a regular file", filekind.Name(info.Mode()))
	}
	if info.Size() > maxReport {
		return report{}, fmt.Errorf("report size: got %d bytes, want at most %d", info.Size(), maxReport)
	}
	f, err := root.Open(name)
	if err != nil {
		return report{}, err
	}
	defer func() { _ = f.Close() }()
	return parse(f)
}

// pathSubjects returns whom a file is about by where it lies:
// spiffe/TRUST-DOMAIN/PATH.json or sha256/HEX.json. Elsewhere its content says.
func (s *Source) pathSubjects(name string) []string {
	stem := strings.TrimSuffix(name, ".json")
	if rest, ok := strings.CutPrefix(stem, "spiffe/"); ok {
		if id, err := spiffeid.FromString("spiffe://" + rest); err == nil && id.Path() != "" {
			return []string{id.String()}
		}
	}
	if hex, ok := strings.CutPrefix(stem, "sha256/"); ok && validDigest("sha256:"+hex) {
		return []string{"sha256:" + hex}
	}
	return nil
}

func contentSubjects(name string, r report) ([]string, error) {
	for _, folder := range []string{"spiffe/", "sha256/"} {
		if strings.HasPrefix(name, folder) {
			return nil, fmt.Errorf("file name: got %q, want spiffe/TRUST-DOMAIN/PATH.json or sha256/HEX.json", name)
		}
	}
	out := r.digests()
	if len(out) == 0 {
		return nil, errors.New("subject: got a report without an image id or repository digest, " +
			"want it at spiffe/TRUST-DOMAIN/PATH.json or sha256/HEX.json")
	}
	return out, nil
}

func union(a, b []string) []string {
	out := slices.Clone(a)
	for _, s := range b {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// logChange logs when a file begins or ceases to say nothing, and not at each
// rescan.
func (w *watch) logChange(ctx context.Context, name string, old, next file) {
	switch {
	case next.err != nil && (old.err == nil || old.err.Error() != next.err.Error()):
		w.source.logger.LogAttrs(ctx, slog.LevelWarn, "trivy report says nothing; its subjects are unknown until it can be read",
			slog.String("file", name), slog.Any("subjects", next.subjects), slog.Any("error", next.err))
	case next.err == nil && old.err != nil:
		w.source.logger.LogAttrs(ctx, slog.LevelInfo, "trivy report can be read again", slog.String("file", name))
	}
}
