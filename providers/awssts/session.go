package awssts

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"mintmark/attest"
)

// Bounds of AWS on the name of a session.
const (
	minName = 2
	maxName = 64
)

// sessionName fills the template for an agent. "/" becomes ",", which no SPIFFE
// ID contains, so that different agents keep different names; where the name has
// to be cut, a hash of the whole keeps them apart.
func sessionName(template string, agent attest.Identity) string {
	id := agent.ID()
	full := strings.NewReplacer(
		"{subject_path}", strings.TrimPrefix(id.Path(), "/"),
		"{trust_domain}", id.TrustDomain().Name(),
	).Replace(template)
	name := strings.Map(allowed, full)
	if len(name) >= minName && len(name) <= maxName {
		return name
	}
	sum := sha256.Sum256([]byte(agent.Subject() + "\x00" + full))
	tail := "-" + hex.EncodeToString(sum[:6])
	return name[:min(len(name), maxName-len(tail))] + tail
}

func allowed(r rune) rune {
	switch {
	case r == '/':
		return ','
	case notAllowed(r):
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
