package awssts

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"mintmark/attest"
	"mintmark/providers"
)

// Bounds of AWS on the name of a session.
const (
	minName = 2
	maxName = 64
)

// sessionName fills the template for an agent. Different agents have different names;
// where one has to be cut, a hash of the whole keeps them apart.
func sessionName(template string, agent attest.Identity) (string, error) {
	full, err := providers.FillName(template, agent)
	if err != nil {
		return "", err
	}
	name := strings.Map(allowed, full)
	if len(name) >= minName && len(name) <= maxName {
		return name, nil
	}
	sum := sha256.Sum256([]byte(agent.Subject() + "\x00" + full))
	tail := "-" + hex.EncodeToString(sum[:6])
	return name[:min(len(name), maxName-len(tail))] + tail, nil
}

func allowed(r rune) rune {
	if notAllowed(r) {
		return '-'
	}
	return r
}

// notAllowed reports whether r is none of [\w+=,.@-].
func notAllowed(r rune) bool {
	switch {
	case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
		return false
	}
	return !strings.ContainsRune("_+=,.@-", r)
}
