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

// tailBytes is how much of a hash is at the end of a name that has one, in hex. Whoever
// chooses a SPIFFE ID can try as many as there is time for: 2⁴⁸ is some hours.
const tailBytes = 10

// sessionName fills the template for an agent. Different agents have different names;
// where one has to be cut, a hash of the whole keeps them apart. So does it where one
// ends as if it had been cut: it may be chosen to be that of another agent's session.
func sessionName(template string, agent attest.Identity) (string, error) {
	full, err := providers.FillName(template, agent)
	if err != nil {
		return "", err
	}
	name := strings.Map(allowed, full)
	if len(name) >= minName && len(name) <= maxName && !(providers.PerAgent(template) && hasTail(name)) {
		return name, nil
	}
	sum := sha256.Sum256([]byte(agent.Subject() + "\x00" + full))
	tail := "-" + hex.EncodeToString(sum[:tailBytes])
	return name[:min(len(name), maxName-len(tail))] + tail, nil
}

// hasTail reports whether name ends as one with a hash does.
func hasTail(name string) bool {
	at := len(name) - 2*tailBytes - 1
	return at >= 0 && name[at] == '-' && strings.Trim(name[at+1:], "0123456789abcdef") == ""
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
