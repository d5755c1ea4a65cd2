// Package owned keeps what the broker's user owns with that user, whoever runs a
// command: a file of another user's is one that the broker can't read any more.
package owned

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// User is the owner of a file, or whom a process runs as.
type User int

// Me returns whom this process runs as.
func Me() User { return User(os.Geteuid()) }

// IsRoot reports whether it is the user 0.
func (u User) IsRoot() bool { return u == 0 }

// Name returns the name of the user as a command takes it: "#1000" where it has none.
func (u User) Name() string {
	if found, err := user.LookupId(strconv.Itoa(int(u))); err == nil {
		return found.Username
	}
	return "#" + strconv.Itoa(int(u))
}

// Of returns the owner of a file.
func Of(info fs.FileInfo) User {
	uid, _ := ids(info)
	return User(uid)
}

func ids(info fs.FileInfo) (uid, gid int) {
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return os.Geteuid(), os.Getegid() // a file system without owners: all is ours
	}
	return int(s.Uid), int(s.Gid)
}

// Nearest returns what can be seen of a path: itself, or the directory it is in or
// would be made in, and whether it is itself.
func Nearest(path string) (name string, info fs.FileInfo, itself bool, err error) {
	for name = filepath.Clean(path); ; name = filepath.Dir(name) {
		info, err = os.Stat(name)
		unseen := errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission)
		if !unseen || name == filepath.Dir(name) {
			return name, info, name == filepath.Clean(path), err
		}
	}
}

// Keep gives f, which this process has just made, to the owner of what it replaces.
// Only root can give a file away: whoever else it is is told to be that owner.
func Keep(f *os.File, replaced fs.FileInfo) error {
	uid, gid := ids(replaced)
	info, err := f.Stat()
	if err != nil || Of(info) == User(uid) {
		return err
	}
	if err := f.Chown(uid, gid); err != nil {
		return advised{fmt.Errorf("expected to run as %s, to whom %s belongs, got %s: run it as that user: %w", User(uid).Name(), replaced.Name(), Me().Name(), err)}
	}
	return nil
}

// Leave is Keep for a file, or directory, that replaces none, made by root in a
// directory of another's. What others make is their own.
func Leave(f *os.File, directory fs.FileInfo) error { return Me().leave(f, directory) }

func (u User) leave(f *os.File, directory fs.FileInfo) error {
	if !u.IsRoot() {
		return nil
	}
	return Keep(f, directory)
}

// MakeDirectory makes a directory that nobody else can look into, and those above it.
// Each belongs to whom the one belongs to that it is made in, where root makes it.
func MakeDirectory(dir string) error {
	info, err := os.Stat(dir)
	if err == nil && !info.IsDir() {
		return &fs.PathError{Op: "mkdir", Path: dir, Err: syscall.ENOTDIR}
	}
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	above := filepath.Dir(dir)
	if err := MakeDirectory(above); err != nil {
		return err
	}
	info, err = os.Stat(above)
	if err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		if errors.Is(err, fs.ErrExist) { // another process was faster
			return nil
		}
		return err
	}
	made, err := os.OpenFile(dir, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	return errors.Join(Leave(made, info), made.Close())
}
