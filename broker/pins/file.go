package pins

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// file is where pins are kept: pins.json, and a lock beside it, because a broker
// and an operator's command may change it at the same time.
type file struct{ path, lock string }

// stamp tells one writing of the file from another.
type stamp struct {
	at   time.Time
	size int64
}

func openFile(dir string) (file, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return file{}, fmt.Errorf("make the directory of state: %w", err)
	}
	return file{path: filepath.Join(dir, "pins.json"), lock: filepath.Join(dir, "pins.lock")}, nil
}

// read returns what the file says; no file says nothing.
func (f file) read() (map[string]map[string]Pin, stamp, error) {
	content, err := os.ReadFile(f.path)
	known := map[string]map[string]Pin{}
	if errors.Is(err, fs.ErrNotExist) {
		return known, stamp{}, nil
	}
	if err == nil {
		err = json.Unmarshal(content, &known)
	}
	if err != nil {
		return nil, stamp{}, fmt.Errorf("read the pinned tools: %w", err)
	}
	return known, f.stamp(), nil
}

func (f file) stamp() stamp {
	info, err := os.Stat(f.path)
	if err != nil {
		return stamp{}
	}
	return stamp{info.ModTime(), info.Size()}
}

func (f file) changed(since stamp) bool { return f.stamp() != since }

// update changes what is known and the file, from what the file says now. Where
// the file can't be written, what is known changes all the same.
func (p *Pins) update(change func(known map[string]map[string]Pin)) error {
	unlock, err := p.file.hold()
	if err != nil {
		change(p.known)
		return err
	}
	defer unlock()
	known, _, err := p.file.read()
	if err != nil {
		change(p.known)
		return err
	}
	p.absorb(known)
	change(known)
	err = p.file.write(known)
	p.stamp = p.file.stamp()
	return err
}

// hold locks the file against other processes.
func (f file) hold() (unlock func(), err error) {
	lock, err := os.OpenFile(f.lock, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the pinned tools: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		_ = lock.Close()
		return nil, fmt.Errorf("lock the pinned tools: %w", err)
	}
	return func() { _ = lock.Close() }, nil
}

// write replaces the file whole, so that a crash leaves the old or the new.
func (f file) write(known map[string]map[string]Pin) error {
	content, err := json.MarshalIndent(known, "", "  ")
	if err != nil {
		return fmt.Errorf("write the pinned tools: %w", err)
	}
	next, err := os.CreateTemp(filepath.Dir(f.path), "pins-*") // mode 0600
	if err != nil {
		return fmt.Errorf("write the pinned tools: %w", err)
	}
	defer func() { _ = os.Remove(next.Name()) }() // fails once it is renamed
	_, err = next.Write(append(content, '\n'))
	err = errors.Join(err, next.Sync(), next.Close())
	if err == nil {
		err = os.Rename(next.Name(), f.path)
	}
	if err != nil {
		return fmt.Errorf("write the pinned tools: %w", err)
	}
	return nil
}

// pending returns the names of the tools that have changed, sorted.
func pending(tools map[string]Pin) (names []string) {
	for _, name := range slices.Sorted(maps.Keys(tools)) {
		if tools[name].Changed != "" {
			names = append(names, name)
		}
	}
	return names
}
