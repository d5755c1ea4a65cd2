// Package escrow keeps what the next start of a process needs and no disk may hold:
// in files of a file system in memory, sealed with a key that lies on the disk. Neither
// of the two alone gives what is kept.
package escrow

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"mintmark/internal/filekind"
)

// What one Escrow holds at most. A file takes a page of memory at least.
const (
	MaxValue = 256 << 10 // bytes of one value
	MaxKept  = 1 << 17   // values
)

// unfinished ends the name of a file that is being written.
const unfinished = ".part"

// Options is what an Escrow is made of.
type Options struct {
	// Directory is one in memory, which may be everybody's: what is kept is in one of
	// its own in there, named by the key. It is made where it does not exist.
	Directory string
	// Key is 32 random bytes that only the owner of what is kept knows.
	Key []byte
	// Logger receives what can't be erased; nil: nobody.
	Logger *slog.Logger
}

// Escrow is a directory of sealed values. It is safe for concurrent use.
type Escrow struct {
	key        []byte
	base, name string
	logger     *slog.Logger

	mu     sync.Mutex // one writes or erases at a time
	root   *os.Root   // nil: closed, when nothing was kept
	lock   *os.File   // on the directory; nil: not taken
	closed bool       // the next process may have it
	kept   map[string]bool
}

// advised adds what to do to what the file system said.
func advised(err error) error {
	if _, bare := errors.AsType[*fs.PathError](err); !bare {
		return err
	}
	return fmt.Errorf("%w: name as audit.escrow a directory in a tmpfs that the broker's user can write in, as /run is, or off", err)
}

// Open opens the directory of what is kept under o.Key. It returns an error wrapping
// ErrNoMemory where o.Directory is not in memory, or ErrInUse, and refuses a directory of
// another user's, one that others can look into and a symbolic link.
func Open(o Options) (*Escrow, error) {
	id, err := hkdf.Key(sha256.New, o.Key, nil, "mintmark escrow directory v1", 8)
	if err != nil {
		return nil, fmt.Errorf("open escrow: %w", err)
	}
	e := &Escrow{key: append([]byte(nil), o.Key...), base: o.Directory, name: "mintmark-" + hex.EncodeToString(id), logger: o.Logger, kept: make(map[string]bool)}
	if e.logger == nil {
		e.logger = slog.New(slog.DiscardHandler)
	}
	if err := e.list(); err != nil {
		return nil, errors.Join(fmt.Errorf("open escrow: %w", advised(err)), e.leave())
	}
	return e, nil
}

// directory returns where the files are, made anew where Close has removed it, or somebody
// else. The caller holds mu.
func (e *Escrow) directory() (*os.Root, error) {
	if e.root != nil && !there(e.root) {
		if len(e.kept) > 0 {
			e.logger.ErrorContext(context.Background(), "the directory of the escrow is gone: what was kept in it is lost to the next start", slog.String("directory", e.root.Name()), slog.Int("count", len(e.kept)))
			clear(e.kept)
		}
		_ = e.leave()
	}
	if e.root != nil {
		return e.root, nil
	}
	root, err := openDirectory(e.base, e.name)
	if err != nil {
		return nil, err
	}
	if !e.closed {
		if e.lock, err = lock(root); err != nil {
			return nil, errors.Join(err, root.Close())
		}
	}
	e.root = root
	return root, nil
}

// leave lets go of the directory. The caller holds mu.
func (e *Escrow) leave() error {
	root := e.root
	if e.root = nil; root == nil {
		return nil
	}
	return errors.Join(root.Close(), e.unlock())
}

func (e *Escrow) unlock() error {
	lock := e.lock
	if e.lock = nil; lock == nil {
		return nil
	}
	return lock.Close()
}

// list finds what a process before this one kept, and removes what it did not finish.
func (e *Escrow) list() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	root, err := e.directory()
	if err != nil {
		return err
	}
	dir, err := root.Open(".")
	if err != nil {
		return err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(2 * MaxKept)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	for _, name := range names {
		if strings.HasSuffix(name, unfinished) {
			e.remove(root, name)
			continue
		}
		e.kept[name] = true
	}
	return nil
}

// Directory returns the path of what is kept.
func (e *Escrow) Directory() string { return filepath.Join(e.base, e.name) }

// Close leaves the escrow to the next process, and removes the directory where nothing is
// kept in it. What is can be erased after it, and more can be kept: some of what is to be
// revoked comes when all else has ended.
func (e *Escrow) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
	if e.root == nil || len(e.kept) > 0 {
		return e.unlock()
	}
	removed := os.Remove(e.root.Name())
	if errors.Is(removed, fs.ErrNotExist) { // somebody else did
		removed = nil
	}
	return errors.Join(removed, e.leave())
}

// Names returns the names of all that is there, in no order, also of what Keep did not
// write, which Find refuses.
func (e *Escrow) Names() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	names := make([]string, 0, len(e.kept))
	for name := range e.kept {
		names = append(names, name)
	}
	return names
}

// Keep seals value under name, in the place of what is there. It can be found when
// Keep returns, by this process and the next, until erase is called.
func (e *Escrow) Keep(name string, value []byte) (erase func(), err error) {
	if !plain(name) {
		return nil, fmt.Errorf("keep in escrow: got the name %q, want one of letters, digits, dots and hyphens", name)
	}
	if len(value) > MaxValue {
		return nil, fmt.Errorf("keep in escrow: got %d bytes, want at most %d", len(value), MaxValue)
	}
	content, err := e.seal(name, value)
	if err != nil {
		return nil, fmt.Errorf("keep in escrow: %w", err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.kept[name] && len(e.kept) >= MaxKept {
		return nil, fmt.Errorf("keep in escrow: got %d values already, want at most as many", MaxKept)
	}
	root, err := e.directory()
	if err == nil {
		err = write(root, name, content)
	}
	if err != nil {
		return nil, fmt.Errorf("keep in escrow: %w", err)
	}
	e.kept[name] = true
	return func() { e.erase(name) }, nil
}

// write makes a file whole or not at all. Memory needs no sync.
func write(root *os.Root, name string, content []byte) error {
	f, err := root.OpenFile(name+unfinished, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Close()); err == nil {
		err = root.Rename(name+unfinished, name)
	}
	if err != nil {
		return errors.Join(err, root.Remove(name+unfinished))
	}
	return nil
}

// Find returns what was kept under name, which is the caller's to overwrite, and what
// erases it. The error wraps fs.ErrNotExist where nothing is, and tells nothing of what
// is there where that is not what Keep wrote under this name with this key.
func (e *Escrow) Find(name string) (value []byte, erase func(), err error) {
	erase = func() { e.erase(name) }
	content, err := e.read(name)
	if err != nil {
		return nil, erase, fmt.Errorf("find in escrow: %w", err)
	}
	if value, err = e.open(name, content); err != nil {
		return nil, erase, fmt.Errorf("find in escrow: %w", err)
	}
	return value, erase, nil
}

func (e *Escrow) read(name string) ([]byte, error) {
	if !plain(name) {
		return nil, fmt.Errorf("got the name %q, want one of letters, digits, dots and hyphens", name)
	}
	e.mu.Lock()
	root, err := e.directory()
	e.mu.Unlock()
	if err != nil {
		return nil, err
	}
	info, err := root.Lstat(name) // first: opening some kinds of file waits for somebody
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > MaxValue+overhead {
		return nil, fmt.Errorf("got %s of %d bytes, want a regular file of at most %d", filekind.Name(info.Mode()), info.Size(), MaxValue+overhead)
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, MaxValue+overhead))
}

func (e *Escrow) erase(name string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.root != nil { // else nothing is there
		e.remove(e.root, name)
	}
}

// remove removes a file. The caller holds mu.
func (e *Escrow) remove(root *os.Root, name string) {
	if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		e.logger.ErrorContext(context.Background(), "what was in escrow can't be erased: the next start tries again", slog.Any("error", err))
		return
	}
	delete(e.kept, name)
}

// plain reports whether name is that of a file in the directory itself, and of none
// that is being written.
func plain(name string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789"
	return name != "" && len(name) <= 128 && strings.Contains(letters, name[:1]) && strings.Trim(name, letters+".-") == "" && !strings.HasSuffix(name, unfinished)
}
