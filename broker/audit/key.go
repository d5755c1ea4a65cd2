package audit

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// maxKeyFile bounds what is read of a key file.
const maxKeyFile = 16 << 10

// Fingerprint returns "sha256:" and the hex SHA-256 of public's PKIX encoding:
// what openssl pkey -pubin -outform DER | sha256sum prints.
func Fingerprint(public ed25519.PublicKey) string {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return "sha256:none"
	}
	sum := sha256.Sum256(der)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// LoadOrCreateKey returns the log's signing key in the PKCS #8 PEM file at
// path and, where there is none, makes one; created says which. The public half of
// a new one goes to log.pub in the same directory; beside a key that was there
// nothing is written, as its directory may be one that this process can't write to.
// A file that others can read, a symbolic link, another kind of key, or one that is
// not of the log.pub beside it is refused. One key signs one log.
func LoadOrCreateKey(path string) (key ed25519.PrivateKey, created bool, err error) {
	key, err = loadKey(path)
	if errors.Is(err, fs.ErrNotExist) {
		key, created, err = createKey(path)
	}
	if err != nil {
		return nil, false, err
	}
	dir := filepath.Dir(path)
	if created {
		err = keepPublic(dir, public(key))
	} else if err = expectPublic(dir, public(key)); errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err != nil {
		return nil, false, err
	}
	return key, created, nil
}

func loadKey(path string) (ed25519.PrivateKey, error) {
	f, err := openRegular(path, os.O_RDONLY)
	if err != nil {
		return nil, fmt.Errorf("open signing key: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("inspect signing key: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("read signing key %s: got mode %#o, want 0600: others may have read it; make a new key and log, or chmod 600 if you know that nobody did", path, mode)
	}
	der, err := readPEM(f, "PRIVATE KEY")
	if err != nil {
		return nil, fmt.Errorf("read signing key %s: %w", path, err)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("read signing key %s: %w", path, err)
	}
	key, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("read signing key %s: got a %T, want an Ed25519 key", path, parsed)
	}
	return key, nil
}

// createKey loads the key after all when another process made it first.
func createKey(path string) (ed25519.PrivateKey, bool, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, false, fmt.Errorf("make signing key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, false, fmt.Errorf("make signing key: %w", err)
	}
	err = createFile(path, 0o600, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	if errors.Is(err, fs.ErrExist) {
		key, err = loadKey(path)
		return key, false, err
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, fmt.Errorf("keep signing key: expected the directory %s, got none: make that directory for the broker's user, or name another file as audit.signing_key", filepath.Dir(path))
	}
	if err != nil {
		return nil, false, fmt.Errorf("keep signing key: %w", err)
	}
	return key, true, nil
}

// keepPublic writes dir's log.pub, or checks that the one there is public.
func keepPublic(dir string, public ed25519.PublicKey) error {
	path := filepath.Join(dir, publicName)
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return fmt.Errorf("keep public key: %w", err)
	}
	err = createFile(path, 0o644, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	return expectPublic(dir, public)
}

// expectPublic checks that dir's log.pub is public. The error wraps fs.ErrNotExist
// where there is none.
func expectPublic(dir string, public ed25519.PublicKey) error {
	there, err := loadPublic(dir)
	if err != nil {
		return err
	}
	if !bytes.Equal(there, public) {
		return fmt.Errorf("read %s: got key %s, want %s: one key signs one log; give the new key a directory of its own", filepath.Join(dir, publicName), Fingerprint(there), Fingerprint(public))
	}
	return nil
}

func loadPublic(dir string) (ed25519.PublicKey, error) {
	path := filepath.Join(dir, publicName)
	f, err := openRegular(path, os.O_RDONLY)
	if err != nil {
		return nil, fmt.Errorf("open public key: %w", err)
	}
	defer f.Close()
	der, err := readPEM(f, "PUBLIC KEY")
	if err != nil {
		return nil, fmt.Errorf("read public key %s: %w", path, err)
	}
	return parsePublic(path, der)
}

func parsePublic(path string, der []byte) (ed25519.PublicKey, error) {
	parsed, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, fmt.Errorf("read public key %s: %w", path, err)
	}
	key, ok := parsed.(ed25519.PublicKey)
	if !ok {
		return nil, fmt.Errorf("read public key %s: got a %T, want an Ed25519 key", path, parsed)
	}
	return key, nil
}

func readPEM(r io.Reader, want string) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxKeyFile))
	if err != nil {
		return nil, err
	}
	block, rest := pem.Decode(text)
	if block == nil || block.Type != want || len(bytes.TrimSpace(rest)) > 0 {
		return nil, fmt.Errorf("got %d bytes, want one PEM block of type %s and nothing else", len(text), want)
	}
	return block.Bytes, nil
}

func public(key ed25519.PrivateKey) ed25519.PublicKey {
	return ed25519.PublicKey(key[ed25519.PrivateKeySize-ed25519.PublicKeySize:])
}

// createFile makes the file whole and durable or not at all, and never over
// one that is there: a crash leaves no half-written key behind, but maybe another
// file with what is in it, whose name begins alike.
func createFile(path string, mode os.FileMode, text []byte) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, filepath.Base(path)+".new-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	_, err = f.Write(text)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil {
		return err
	}
	return syncDirectory(dir)
}
