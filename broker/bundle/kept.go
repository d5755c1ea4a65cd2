package bundle

import "strings"

// amz is how the names of the headers begin that AWS signs.
const amz = "x-amz-"

// metadata is how the names of S3's own metadata begin: whatever follows, it is text
// that S3 keeps.
const metadata = amz + "meta-"

// KeptHeaders are names of headers that an agent may send to an upstream that takes
// signed requests; a * at the end matches any rest.
type KeptHeaders []string

// Match reports whether a header of this name is kept.
func (k KeptHeaders) Match(name string) bool {
	if len(k) == 0 {
		return false
	}
	name = strings.ToLower(name)
	if !strings.HasPrefix(name, amz) || ofSigner(name) {
		return false
	}
	for _, kept := range k {
		if prefix, open := strings.CutSuffix(strings.ToLower(kept), "*"); name == prefix || open && strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// signers are the headers that say who signs and what is signed, or that prove who
// calls in another way. They are the broker's to write.
func signers() []string {
	return []string{
		"x-amz-access-token", "x-amz-algorithm", "x-amz-content-sha256", "x-amz-credential", "x-amz-date", "x-amz-decoded-content-length",
		"x-amz-expires", "x-amz-mfa", "x-amz-region-set", "x-amz-s3session-token", "x-amz-security-token", "x-amz-signature", "x-amz-signedheaders",
		"x-amz-source-account", "x-amz-source-arn", "x-amz-te", "x-amz-trailer",
	}
}

// ofSigner reports whether a header of this name, in lower case, is one of signers,
// or may be one that is not known yet.
func ofSigner(name string) bool {
	if strings.HasPrefix(name, metadata) {
		return false
	}
	for _, word := range [...]string{"token", "credential", "signature", "signedheaders", "auth", "identity", "oidc"} {
		if strings.Contains(name, word) {
			return true
		}
	}
	for _, own := range signers() {
		if name == own {
			return true
		}
	}
	return false
}

func (c checker) kept(path string, names KeptHeaders) {
	for i, name := range names {
		prefix, open := strings.CutSuffix(strings.ToLower(name), "*")
		switch {
		case !isToken(prefix), strings.Contains(prefix, "*"), !strings.HasPrefix(prefix, amz), !open && prefix == amz:
			c.decoder.fault(path+index(i), `a header such as "X-Amz-Target", or "X-Amz-Meta-*"`, c.quote(name))
		case ofSigner(prefix), open && opensSigner(prefix):
			c.decoder.fault(path+index(i), "no header that says who calls or what is signed, which is the broker's to write", c.quote(name))
		}
	}
}

// opensSigner reports whether one of signers begins with prefix.
func opensSigner(prefix string) bool {
	for _, own := range signers() {
		if strings.HasPrefix(own, prefix) {
			return true
		}
	}
	return false
}
