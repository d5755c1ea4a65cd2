package injector

import "strings"

// What is masked of a secret in parts, before the rest of it is known: its beginning,
// from where eight characters were said of what may be secret. A text that ends so by
// chance is one in 2^32, where it is hex, and in 2^48 where it is base64. It is from
// sixteen characters on whatever they are, and from half of it.
const (
	secretPart = 8
	mostShown  = 16
)

// partOf returns from how many characters on a part of a form is masked, of which the
// first are not secret.
func partOf(length, known int) uint8 {
	return uint8(min(mostShown, (length+1)/2, known+secretPart)) //nolint:gosec // of at most mostShown
}

// kindOf returns how much of the beginning of a secret tells no more than its kind, as
// ghs_, sk-ant-api03- and https:// do, or the header of a JWT: text may well end with that.
func kindOf(secret string) int {
	if strings.HasPrefix(secret, "eyJ") { // {" in base64
		return mostShown
	}
	end := 0
	for i := range min(len(secret), mostShown) {
		switch c := secret[i]; {
		case strings.IndexByte("_-.:/", c) >= 0:
			end = i + 1
		case c < '0' || '9' < c && c < 'a' || 'z' < c:
			return end
		}
	}
	return end
}
