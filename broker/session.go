package broker

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"

	"mintmark/internal/fault"
)

// sessions seals the session ids of upstreams into handles for agents. A handle
// opens only for the subject and the upstream it was made for, so holding one
// proves nothing: a session is never authority.
type sessions struct{ aead cipher.AEAD }

// newSessions returns sessions under a fresh key. Handles do not survive a
// restart: their owners get "unknown session" and begin a new one, as the
// protocol has them do.
func newSessions() (*sessions, error) {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails: crypto/rand.Read ends the process instead
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("make the session key: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("make the session key: %w", err)
	}
	return &sessions{aead: aead}, nil
}

// seal returns the handle of an upstream's session for one subject.
func (s *sessions) seal(id, upstream, subject string) string {
	return base64.RawURLEncoding.EncodeToString(s.aead.Seal(nil, nil, []byte(id), binding(upstream, subject))) //nolint:gosec // this AEAD makes its own random nonce
}

var errSession = errors.New("handle of another subject, upstream or time")

// open returns the upstream's session id in handle. It returns a
// fault.NotFound for a handle that was not made for this subject and upstream.
func (s *sessions) open(handle, upstream, subject string) (string, error) {
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(handle)
	if err == nil {
		var id []byte
		if id, err = s.aead.Open(nil, nil, sealed, binding(upstream, subject)); err == nil {
			return string(id), nil
		}
	}
	return "", fault.Wrap("receive", fault.NotFound, "unknown session: it ended, or it is not this agent's; initialize a new one", errSession)
}

func binding(upstream, subject string) []byte { return []byte(upstream + "\x00" + subject) }
