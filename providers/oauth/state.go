package oauth

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/go-json-experiment/json"

	"mintmark/internal/filekind"
	"mintmark/internal/filelock"
	"mintmark/internal/owned"
)

// kept is the content of a state file. It is secret.
type kept struct {
	Origin string `json:"origin"`          // SHA-256 of what it began with, in hex
	Token  string `json:"token,omitempty"` // the present refresh token
	Key    []byte `json:"key,omitempty"`   // that it is bound to: PKCS 8
	Ended  bool   `json:"ended,omitempty"` // nothing more can be got with it
}

// Format writes nothing of the content, whatever the verb.
func (kept) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[redacted]") }

// newKey makes the key that tokens are to be bound to.
func (k *kept) newKey() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	k.Key, err = x509.MarshalPKCS8PrivateKey(key)
	return err
}

// signer returns the key, or nil where there is none.
func (k kept) signer() (crypto.Signer, error) {
	if k.Key == nil {
		return nil, nil
	}
	key, err := x509.ParsePKCS8PrivateKey(k.Key)
	if err != nil {
		return nil, errors.New("read the state: expected a key of PKCS 8, got something else: remove it and authorize anew")
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, errors.New("read the state: expected a key that signs, got another: remove it and authorize anew")
	}
	return signer, nil
}

// maxState bounds a state file.
const maxState = 256 << 10

// store is the file of a kept. It is replaced whole, so that a crash leaves the
// old or the new, and a lock beside it makes its holder the only one who uses
// what is in it.
type store struct{ path string }

// failed says what the file was wanted for, what came and what to do.
func (s store) failed(to string, err error) error {
	return fmt.Errorf("%s the state: %w", to, owned.Advised(filepath.Dir(s.path), err))
}

// hold locks the file until unlock, or until this process ends.
func (s store) hold(ctx context.Context) (unlock func(), err error) {
	if err := os.MkdirAll(filepath.Dir(s.path), 0o700); err != nil {
		return nil, s.failed("lock", err)
	}
	lock, err := os.OpenFile(s.path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, s.failed("lock", err)
	}
	err = filelock.Lock(ctx, lock)
	if errors.Is(err, filelock.ErrHeld) {
		return nil, fmt.Errorf("lock the state: expected %s.lock in time, got one that another owner holds; see who does: fuser %s.lock", s.path, s.path)
	}
	if err != nil {
		return nil, s.failed("lock", err)
	}
	if err := s.resume(); err != nil {
		_ = lock.Close()
		return nil, err
	}
	return func() { _ = lock.Close() }, nil
}

// read returns the content, or the zero kept where there is no file. Nobody but
// the owner may be able to read it.
func (s store) read() (kept, error) {
	f, err := os.Open(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return kept{}, nil
	}
	if err != nil {
		return kept{}, s.failed("read", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return kept{}, s.failed("read", err)
	}
	if mode := info.Mode(); !mode.IsRegular() {
		return kept{}, fmt.Errorf("read the state: expected %s to be a regular file, got %s: remove it, or name another", s.path, filekind.Name(mode))
	} else if mode.Perm()&0o077 != 0 {
		return kept{}, fmt.Errorf("read the state: expected %s to have mode 0600, got %#o: whoever could read it may have the grant: authorize anew, or chmod 600 it if nobody could", s.path, mode.Perm())
	}
	content, err := io.ReadAll(io.LimitReader(f, maxState))
	if err != nil {
		return kept{}, s.failed("read", err)
	}
	var k kept
	if json.Unmarshal(content, &k) != nil {
		return kept{}, fmt.Errorf("read the state: expected %s to be as the broker wrote it, got something else: remove it and authorize anew", s.path)
	}
	return k, nil
}

// write replaces the content.
func (s store) write(k kept) error {
	next, err := s.begin(k)
	if err != nil {
		return err
	}
	defer next.drop()
	return next.keep(k)
}

// next is a content under way.
type next struct {
	file *os.File
	path string
	only bool // it is whole, and its token is nowhere else
}

// nextPath is where the next content is written. Only who holds the lock does.
func (s store) nextPath() string {
	return filepath.Join(filepath.Dir(s.path), "."+filepath.Base(s.path)+".next")
}

// begin makes sure that a content can be written that is twice as long as k, or has 4 KiB.
func (s store) begin(k kept) (*next, error) {
	f, err := os.OpenFile(s.nextPath(), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return nil, s.failed("write", err)
	}
	n := &next{file: f, path: s.path}
	if _, err := f.Write(make([]byte, max(4096, 2*(len(k.Token)+len(k.Key))))); err != nil {
		n.drop()
		return nil, s.failed("write", err)
	}
	return n, nil
}

// keep puts k in place of the old content. It is on the disk when keep returns. Where
// it can't be put there, resume does at the next hold.
func (n *next) keep(k kept) error {
	content, err := json.Marshal(k)
	if err != nil {
		return store{n.path}.failed("write", err)
	}
	_, err = n.file.WriteAt(content, 0)
	err = errors.Join(err, n.file.Truncate(int64(len(content))))
	n.only = err == nil && k.Token != ""
	if err = errors.Join(err, n.file.Sync()); err == nil {
		err = os.Rename(n.file.Name(), n.path)
	}
	if err == nil {
		err = syncDir(filepath.Dir(n.path))
	}
	if err != nil {
		return store{n.path}.failed("write", err)
	}
	return nil
}

// drop removes what was not kept, but for the only copy of a token.
func (n *next) drop() {
	_ = n.file.Close()
	if !n.only {
		_ = os.Remove(n.file.Name())
	}
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}
