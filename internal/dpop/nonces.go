package dpop

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
)

const (
	maxOrigins = 1024
	maxNonce   = 1024 // bytes; servers encrypt a time or so
)

// Nonces remembers the last DPoP-Nonce of each server, for the next proof that it
// gets (RFC 9449, sections 8 and 9). It holds those of at most 1024 servers: one
// that is forgotten costs its server one more answer. The zero Nonces is ready,
// and safe for concurrent use.
type Nonces struct {
	mu   sync.Mutex
	last map[string]string // by origin
}

// Keep takes the nonce from an answer of target's server, and reports whether there
// was one. What is no nonce by section 8.1, or too long, is passed over.
func (n *Nonces) Keep(target *url.URL, answer http.Header) bool {
	values := answer[NonceHeader]
	if len(values) != 1 || !isNonce(values[0]) {
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.last == nil {
		n.last = make(map[string]string)
	}
	from := origin(target)
	if _, known := n.last[from]; !known && len(n.last) >= maxOrigins {
		for other := range n.last {
			delete(n.last, other)
			break
		}
	}
	n.last[from] = strings.Clone(values[0]) // and not the answer's whole head
	return true
}

// For returns the nonce that target's server gave last, or "".
func (n *Nonces) For(target *url.URL) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.last[origin(target)]
}

// isNonce reports whether s is a nonce's characters: NQCHAR of RFC 6749, appendix A.
func isNonce(s string) bool {
	return s != "" && len(s) <= maxNonce && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r > '~' || r == '"' || r == '\\'
	})
}
