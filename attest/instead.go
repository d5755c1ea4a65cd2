package attest

import (
	"net/http"
	"strings"
)

// instead says what a caller that showed no evidence sent in its place, for its
// developer: the scheme of its Authorization header. A name that is not on the list
// is not repeated, since what looks like a scheme may be a key that was sent without
// one.
func instead(h http.Header) string {
	values := h["Authorization"]
	if len(values) == 0 {
		return ""
	}
	const came = " but an Authorization header "
	scheme, value, _ := strings.Cut(values[0], " ")
	if strings.TrimLeft(value, " ") == "" {
		return came + "without a scheme and a value"
	}
	for _, known := range schemes() {
		if strings.EqualFold(scheme, known) {
			return came + "of scheme " + known
		}
	}
	return came + "of a scheme that is not known here"
}

// schemes are those of IANA's registry of HTTP authentication schemes that clients
// still use, and of what else they send.
func schemes() []string {
	return []string{
		"Basic", "Bearer", "Digest", "DPoP", "GNAP", "HOBA", "Mutual", "Negotiate", "NTLM", "OAuth",
		"PrivateToken", "SCRAM-SHA-1", "SCRAM-SHA-256", "vapid", "AWS4-HMAC-SHA256", "Token", "ApiKey",
	}
}
