package providers

import (
	"fmt"

	"mintmark/internal/fault"
)

// An answer is searched for every place in a credential that it may have come to,
// so that the work for each byte grows with how many there can be at once: how
// often the beginning of a secret comes again within itself. A random secret has a
// handful. Twenty As at the beginning of a token are twenty, and are issued.
const (
	maxRepeats = 64
	maxSecret  = 64 << 10 // bytes of one part; no server takes a header as long
)

// searchable refuses a secret that answers could not be searched for: it is too
// long, or made of the same over and over.
func (m Material) searchable() error {
	for _, secret := range m.secrets() {
		if err := searchable([]byte(secret)); err != nil {
			return err
		}
	}
	return searchable(m.pair()) // what scheme basic sends
}

// searchable overwrites secret.
func searchable(secret []byte) error {
	defer clear(secret)
	if len(secret) > maxSecret {
		return fault.New("lease", fault.Internal, fmt.Sprintf(
			"the credential provider issued a secret of %d bytes, expected at most %d: answers could not be searched for it", len(secret), maxSecret))
	}
	if n := repeats(secret); n > maxRepeats {
		return fault.New("lease", fault.Internal, fmt.Sprintf(
			"the credential provider issued a secret that begins anew %d times within itself, expected a random one (at most %d): answers could not be searched for it",
			n, maxRepeats))
	}
	return nil
}

// repeats returns at how many places of the secret a reader of some text may be at
// the same time: the longest chain of beginnings of the secret of which each ends
// the one before (Knuth, Morris and Pratt's failure function). It writes to secret.
func repeats(secret []byte) int {
	for i, c := range secret {
		if c == ' ' {
			secret[i] = '+' // which stand for one another in a query
		}
	}
	border := make([]int, len(secret)+1) // the longest that also ends the first n bytes
	chain := make([]int, len(secret)+1)
	longest := 0
	for n := 2; n <= len(secret); n++ {
		b := border[n-1]
		for b > 0 && secret[b] != secret[n-1] {
			b = border[b]
		}
		if secret[b] == secret[n-1] {
			b++
		}
		border[n], chain[n] = b, chain[b]
		if b > 0 {
			chain[n]++
		}
		longest = max(longest, chain[n])
	}
	return longest
}
