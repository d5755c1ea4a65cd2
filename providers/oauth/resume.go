package oauth

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/go-json-experiment/json"

	"mintmark/internal/owned"
)

// resume ends what was begun and not put in place, by a process that was killed while
// it wrote or because the folder did not take it, so that no secret stays beside the
// state. A whole content with a token is put in place: the token before it was spent
// to get it, and its server takes no other. What is less than that is removed. The
// caller holds the lock, so nobody writes it now.
func (s store) resume() error {
	f, err := os.OpenFile(s.nextPath(), os.O_RDWR|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return s.notResumed(err)
	}
	n := &next{file: f, path: s.path}
	k, whole, err := n.left()
	if err != nil {
		_ = f.Close()
		return s.notResumed(err)
	}
	defer n.drop()
	if whole && k.Token != "" {
		return n.keep(k)
	}
	return nil
}

func (s store) notResumed(err error) error {
	return fmt.Errorf("go on after a write of the state that was cut short: %w", owned.Advised(filepath.Dir(s.path), err))
}

// left returns what a file that was left holds, and whether that is whole. Only a file
// of this broker's own is looked at, or removed.
func (n *next) left() (k kept, whole bool, err error) {
	info, err := n.file.Stat()
	if err != nil {
		return kept{}, false, err
	}
	if mode := info.Mode(); !mode.IsRegular() || mode.Perm()&0o077 != 0 || owned.Of(info) != owned.Me() {
		return kept{}, false, fmt.Errorf("expected %s to be a file of mode 0600 of %s, got %v of %s: look at it, and remove it", n.file.Name(), owned.Me().Name(), mode, owned.Of(info).Name())
	}
	content, err := io.ReadAll(io.LimitReader(n.file, maxState))
	if err != nil {
		return kept{}, false, err
	}
	content = bytes.TrimRight(content, "\x00") // of the room that was made for it
	whole = json.Unmarshal(content, &k) == nil
	return k, whole, nil
}
