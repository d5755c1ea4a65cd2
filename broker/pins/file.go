package pins

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"mintmark/internal/filelock"
	"mintmark/internal/owned"
)

// file is where pins are kept: pins.json, and a lock beside it, because a broker
// and an operator's command may change it at the same time.
type file struct {
	path, lock string
	patience   time.Duration // how long hold waits for another process
	syncDir    func(dir string) error
}

// stamp tells one writing of the file from another.
type stamp struct {
	at   time.Time
	size int64
}

func openFile(dir string) (file, error) {
	if err := owned.MakeDirectory(dir); err != nil {
		return file{}, fmt.Errorf("make the directory of state: %w: name in state one that the broker's user can make or write in", err)
	}
	return file{path: filepath.Join(dir, "pins.json"), lock: filepath.Join(dir, "pins.lock"), patience: 5 * time.Second, syncDir: syncDirectory}, nil
}

// read returns what the file says, and the stamp of that very writing; no file
// says nothing.
func (f file) read() (pinned, stamp, error) {
	known := pinned{}
	opened, err := os.Open(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return known, stamp{}, nil
	}
	if err != nil {
		return nil, stamp{}, f.failed("read", err)
	}
	defer func() { _ = opened.Close() }()
	info, err := opened.Stat()
	var content []byte
	if err == nil {
		content, err = io.ReadAll(opened)
	}
	if err == nil {
		err = json.Unmarshal(content, &known)
	}
	if err != nil {
		return nil, stamp{}, fmt.Errorf("read the pinned tools in %s: %w: restore it from a backup", f.path, err)
	}
	if known == nil { // "null"
		known = pinned{}
	}
	return known, stampOf(info), nil
}

// failed says what the file was wanted for, what came and what to do.
func (f file) failed(to string, err error) error {
	return fmt.Errorf("%s the pinned tools: %w", to, owned.Advised(filepath.Dir(f.path), err))
}

func stampOf(info fs.FileInfo) stamp { return stamp{info.ModTime(), info.Size()} }

func (f file) changed(since stamp) bool {
	info, err := os.Stat(f.path)
	if err != nil {
		return since != stamp{}
	}
	return stampOf(info) != since
}

// hold locks the file against other processes. One that is held for ever must not
// hold those who list, nor the end of the broker.
func (f file) hold() (unlock func(), err error) {
	lock, err := f.openLock()
	if err != nil {
		return nil, f.failed("lock", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), f.patience)
	defer cancel()
	err = filelock.Lock(ctx, lock)
	if errors.Is(err, filelock.ErrHeld) {
		return nil, fmt.Errorf("lock the pinned tools: expected %s within %s, got one that another process holds; see who does: fuser %s", f.lock, f.patience, f.lock)
	}
	if err != nil {
		return nil, f.failed("lock", err)
	}
	return func() { _ = lock.Close() }, nil
}

// openLock makes the lock where there is none. One that root makes is the broker's
// all the same.
func (f file) openLock() (*os.File, error) {
	lock, err := os.OpenFile(f.lock, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return os.OpenFile(f.lock, os.O_RDWR|syscall.O_NOFOLLOW, 0)
	}
	if err != nil {
		return nil, err
	}
	if err := f.keepOwner(lock); err != nil {
		return nil, errors.Join(err, lock.Close(), os.Remove(f.lock))
	}
	return lock, nil
}

// keepOwner gives what was made beside the file, or in its place, to whom the file
// belongs, and where there is none to whom the directory does: an operator's command
// may run as root, and the broker has to read it after that.
func (f file) keepOwner(made *os.File) error {
	if info, err := os.Stat(f.path); err == nil {
		return owned.Keep(made, info)
	}
	info, err := os.Stat(filepath.Dir(f.path))
	if err != nil {
		return err
	}
	return owned.Leave(made, info)
}

// write replaces the file whole, so that a crash leaves the old or the new, and a
// loss of power after it returned the new. It returns the stamp of what it wrote.
func (f file) write(known pinned) (stamp, error) {
	content, err := json.MarshalIndent(known, "", "  ")
	if err != nil {
		return stamp{}, fmt.Errorf("write the pinned tools: %w", err)
	}
	next, err := os.CreateTemp(filepath.Dir(f.path), "pins-*") // mode 0600
	if err != nil {
		return stamp{}, f.failed("write", err)
	}
	defer func() { _ = os.Remove(next.Name()) }() // fails once it is renamed
	_, err = next.Write(append(content, '\n'))
	info, unknown := next.Stat()
	if err = errors.Join(err, unknown, f.keepOwner(next), next.Sync(), next.Close()); err == nil {
		err = os.Rename(next.Name(), f.path)
	}
	if err != nil {
		return stamp{}, f.failed("write", err)
	}
	_ = f.syncDir(filepath.Dir(f.path)) // where that fails the new one is in force all the same
	return stampOf(info), nil
}

func syncDirectory(dir string) error {
	opened, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(opened.Sync(), opened.Close())
}
