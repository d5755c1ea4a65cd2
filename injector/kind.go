package injector

import (
	"bytes"
	"slices"
)

// bounds are two places in a secret, in bytes of it or of one of its forms. What a stream
// says of it up to part is masked where a JSON string or a line ends there; what says it
// up to cut, and is not the whole of it, ends the answer.
type bounds struct{ part, cut int }

// secretPart is how many characters of what may be secret are said when either bound is
// reached: text says them by chance once in 2^47 where they are letters and digits, and in
// 2^32 where they are hex.
const secretPart = 8

// mostShown is how much of a secret tells its kind, where that is not known better, and is
// the beginning of one to which others' are masked in an error.
const mostShown = 16

// boundsOf returns those of a secret of which the first known bytes are none.
//
// Both are secretPart after what tells its kind, and the first is at half of the secret, or
// of what follows its kind, where that comes sooner: a short one is masked from there,
// where a part ends, but fewer than eight characters of it end no answer, for they may be
// a word. Of a JWT the first is within its claims, which other tokens of its issuer share
// and anybody may know, and the second within its signature, without which they are of no
// use.
func boundsOf(secret []byte, known int) bounds {
	rough := roughKind(secret)
	if known = max(known, kindOf(secret)); known > 0 {
		return boundsAfter(known, len(secret))
	}
	for _, at := range [...]int{0, rough} {
		dot := bytes.LastIndexByte(secret, '.') + 1
		if part := at + mostShown; bytes.HasPrefix(secret[at:], []byte("eyJ")) && part < dot { // {" in base64
			return bounds{part, boundsAfter(dot, len(secret)).part}
		}
	}
	part := min(rough+secretPart, (len(secret)+1)/2)
	return bounds{part, max(part, secretPart)}
}

// boundsAfter returns the bounds of a secret of which so much is known to be none.
func boundsAfter(known, length int) bounds {
	return bounds{known + min(secretPart, (length-known+1)/2), known + secretPart}
}

// of returns the bounds in a form of so many characters of a secret of so many bytes.
func (b bounds) of(form, secret int) bounds {
	return bounds{b.part * form / secret, b.cut * form / secret}
}

// in returns the bounds in a form of secret; count returns how long the form of a part of
// it is.
func (b bounds) in(secret []byte, count func([]byte) int) bounds {
	n := len(secret) // of a short one, which may be shorter than cut
	return bounds{count(secret[:min(b.part, n)]), count(secret[:min(b.cut, n)]) + max(0, b.cut-n)}
}

// near returns how many of the characters of a form make a close look (closeAt).
func (b bounds) near(form int, secret []byte) int {
	least := closeAt
	if !slices.ContainsFunc(secret, func(c byte) bool { return !isHex(c) }) {
		least = closeAtHex
	}
	return min(form-1, max(least, b.cut-beforeCuts)*form/len(secret))
}

func isHex(c byte) bool { return '0' <= c && c <= '9' || 'a' <= lower(c) && lower(c) <= 'f' }

// roughKind returns how much of the beginning of a secret may tell no more than its kind,
// as ghs_ and sk-ant-api03- do, or is words.
func roughKind(secret []byte) int {
	end := 0
	for i, c := range secret[:min(len(secret), mostShown)] {
		switch {
		case bytes.IndexByte([]byte("_-.:/ "), c) >= 0:
			end = i + 1
		case c < '0' || '9' < c && c < 'a' || 'z' < c:
			return end
		}
	}
	return end
}

// families are the secrets that have more in common than roughKind sees: how they begin,
// and how many characters of them are of all, or of all of one account.
var families = [...]struct {
	begin string
	known int
}{
	{"IQoJb3JpZ2luX2Vj", 52}, // AWS's session tokens: a region follows, and how a signature begins
	{"FwoGZXIvYXdz", 18},     // an older form of them
	{"github_pat_", 22},      // whose it is
	{"ya29.", 16},            // Google's: of users, of services (c.), and of one time
	{"hvs.CAESI", 10},        // Vault's, of namespaces and HCP
	{"hvb.AAAAAQ", 10},       // Vault's batch tokens
	{"sk_live_51", 26},       // Stripe's: the account
	{"sk_test_51", 26},
	{"rk_live_51", 26},
	{"rk_test_51", 26},
	{"pypi-AgEIcHlwaS5vcmc", 22},
	{"ATATT3xFfGF0", 12}, // Atlassian's
	{"AIzaSy", 6},        // Google's keys
	{"GOCSPX-", 7},
	{"SG.", 3}, // SendGrid's
}

// kindOf returns how much of a secret tells no more than its kind, or 0 where that is not
// known.
func kindOf(secret []byte) int {
	known := 0
	for _, f := range families {
		if bytes.HasPrefix(secret, []byte(f.begin)) {
			known = f.known
		}
	}
	switch {
	case len(secret) > 4 && bytes.HasPrefix(secret, []byte("xox")) && secret[4] == '-': // Slack's: the workspace, and the user
		known = bytes.LastIndexByte(secret, '-') + 1
	case bytes.HasPrefix(secret, []byte("https://")) || bytes.HasPrefix(secret, []byte("http://")):
		known = pathOf(secret)
	}
	if known > len(secret)-2*secretPart {
		return 0
	}
	return known
}

// pathOf returns where in a URL the first segment of its path begins that is not a word, or
// what comes before its host.
func pathOf(url []byte) int {
	end, slashes := 0, 0
	for i, c := range url {
		switch {
		case slashes == 2 && c == '@':
			return end
		case c == '/':
			end = i + 1
			slashes++
		case slashes > 2 && (c < 'a' || 'z' < c):
			return end
		}
	}
	return end
}
