package attest

import (
	"strings"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// TrustDomains lists what a bundle source believes, so that a refusal can say
// what was expected.
type TrustDomains interface {
	// TrustDomains returns the names in order.
	TrustDomains() []spiffeid.TrustDomain
}

// ListTrustDomains returns the trust domains that s believes, for a message.
func ListTrustDomains(s TrustDomains) string {
	var names []string
	for _, td := range s.TrustDomains() {
		names = append(names, td.Name())
	}
	if len(names) == 0 {
		return "(none is known)"
	}
	return strings.Join(names, " or ")
}
