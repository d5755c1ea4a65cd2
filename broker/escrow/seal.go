package escrow

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
)

// saltSize is the bytes at the beginning of a file from which its own key is derived:
// with a key for each there is no number of files after which nonces could repeat.
const saltSize = 32

// overhead is how much longer a file is than its value: salt, nonce and tag.
const overhead = saltSize + 12 + 16

// seal returns the content of the file of this name (AES-256-GCM, the name being the
// additional data).
func (e *Escrow) seal(name string, value []byte) ([]byte, error) {
	salt := make([]byte, saltSize, saltSize+overhead+len(value))
	_, _ = rand.Read(salt) // never fails: it ends the process instead
	sealer, err := e.sealer(salt)
	if err != nil {
		return nil, err
	}
	return sealer.Seal(salt, nil, value, []byte(name)), nil //nolint:gosec // the nonce is random: sealer makes it
}

// open returns what seal was given, or an error that says nothing of it.
func (e *Escrow) open(name string, content []byte) ([]byte, error) {
	if len(content) < overhead {
		return nil, errors.New("got a file that is too short to be a sealed one")
	}
	sealer, err := e.sealer(content[:saltSize])
	if err != nil {
		return nil, err
	}
	value, err := sealer.Open(nil, nil, content[saltSize:], []byte(name))
	if err != nil {
		return nil, errors.New("got a file that was not sealed under this name with this key, or was altered")
	}
	return value, nil
}

func (e *Escrow) sealer(salt []byte) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, e.key, salt, "mintmark escrow v1", 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}
