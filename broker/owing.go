package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"

	"mintmark/broker/audit"
	"mintmark/internal/filekind"
	"mintmark/internal/owned"
)

// owing is the directory of what is owed to the systems and could not be put on
// record: a file for each credential that a provider delivered when the log was
// closed, or could not be written. A file holds the handle and no secret, and is there
// before the broker tries to revoke, since the process may end at any time.
type owing struct {
	dir    string
	logger *slog.Logger
}

// maxOwed bounds such a file. A record is far shorter.
const maxOwed = 64 << 10

// keep writes r down. It is on disk when keep returns.
func (o owing) keep(r audit.Record) (erase func(), err error) {
	content, err := json.Marshal(r)
	if err == nil {
		err = owned.MakeDirectory(o.dir)
	}
	if err != nil {
		return nil, fmt.Errorf("write down what is owed: %w", err)
	}
	name := filepath.Join(o.dir, r.Credential+".json")
	if err := write(name, content); err != nil {
		return nil, fmt.Errorf("write down what is owed: %w", err)
	}
	return func() { o.erase(name) }, nil
}

// write makes a file whole or not at all, for the next start may be reading already.
func write(name string, content []byte) error {
	f, err := os.OpenFile(name+".part", os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(name))
	if err != nil {
		return errors.Join(err, f.Close())
	}
	defer dir.Close()
	info, err := dir.Stat()
	if err == nil {
		err = owned.Leave(f, info)
	}
	_, failed := f.Write(content)
	if err := errors.Join(err, failed, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return errors.Join(os.Rename(f.Name(), name), dir.Sync())
}

// erase removes what is on record by now, or not owed any more.
func (o owing) erase(name string) {
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		o.logger.ErrorContext(context.Background(), "what was owed can't be erased: it is revoked once more at the next start", slog.Any("error", err))
	}
}

// owed is one such file and what it says.
type owed struct {
	name   string
	record audit.Record
}

// all returns what is written down. What can't be read stays.
func (o owing) all() (found []owed) {
	entries, err := os.ReadDir(o.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		o.unread(o.dir, err)
	}
	for _, e := range entries {
		if filepath.Ext(e.Name()) != ".json" {
			continue
		}
		name := filepath.Join(o.dir, e.Name())
		r, err := readOwed(name)
		if err != nil {
			o.unread(name, err)
			continue
		}
		found = append(found, owed{name, r})
	}
	return found
}

func (o owing) unread(name string, err error) {
	o.logger.ErrorContext(context.Background(), "what is owed can't be read: revoke it by hand, and remove it", slog.String("file", name), slog.Any("error", err))
}

func readOwed(name string) (r audit.Record, err error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return r, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return r, err
	}
	if !info.Mode().IsRegular() {
		return r, fmt.Errorf("expected a regular file, got %s", filekind.Name(info.Mode()))
	}
	content, err := io.ReadAll(io.LimitReader(f, maxOwed))
	if err != nil {
		return r, err
	}
	return r, json.Unmarshal(content, &r)
}

// before yields what is written down and then what records do: the log goes on after
// it, and says what has ended since.
func before(written []owed, records iter.Seq2[audit.Record, error]) iter.Seq2[audit.Record, error] {
	return func(yield func(audit.Record, error) bool) {
		for _, w := range written {
			if !yield(w.record, nil) {
				return
			}
		}
		records(yield)
	}
}
