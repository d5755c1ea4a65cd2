package main

import (
	"errors"
	"fmt"
	"io/fs"

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
