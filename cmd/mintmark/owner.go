package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"mintmark/internal/owned"
)

// asOwner says as whom to run what failed because path belongs to another user.
func asOwner(err error, path string) error {
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	name, info, _, unseen := owned.Nearest(path)
	if unseen != nil || owned.Of(info) == owned.Me() {
		return err
	}
	return fmt.Errorf("%w; run it as the broker's user: %s belongs to %s, and this is %s", err, name, owned.Of(info).Name(), owned.Me().Name())
}

// whose says to whom the directory of the broker's log belongs, where this user can't
// write it.
func whose(err error, dir string) error {
	failed, ok := errors.AsType[*fs.PathError](err)
	if !ok || !errors.Is(err, fs.ErrPermission) || !within(failed.Path, dir) && !within(dir, failed.Path) {
		return err
	}
	name, info, _, unseen := owned.Nearest(dir)
	if unseen != nil || owned.Of(info) == owned.Me() {
		return err
	}
	return fmt.Errorf("%w; %s belongs to %s, and this is %s: give it to this user, or name another as audit.directory", err, name, owned.Of(info).Name(), owned.Me().Name())
}

// within reports whether path is dir or below it.
func within(path, dir string) bool {
	rest, err := filepath.Rel(dir, path)
	return err == nil && filepath.IsLocal(rest)
}

// refuseRoot refuses me, if that is root, to write where the broker of another user
// does: what root makes there, the broker can't use. dir is that of the broker's log.
func refuseRoot(me owned.User, dir string) error {
	name, info, _, err := owned.Nearest(dir)
	if err != nil || !me.IsRoot() || owned.Of(info).IsRoot() {
		return err
	}
	return fmt.Errorf("expected the broker's user, %s, to whom %s belongs, got root, whose files the broker could not use: run it as the broker's user", owned.Of(info).Name(), name)
}
