package bundle

import (
	"slices"
	"strconv"
	"strings"
)

// Minter is the settings of a provider that say what they make, before anything
// is made: a kind of providers.Kind ("token", "password", "aws", "x509"),
// BoundToken or CertificateBoundToken; "" where that is not known.
type Minter interface{ Mints() string }

// BoundToken is a token that is of no use without the key it is bound to.
const BoundToken = "bound token"

// CertificateBoundToken is a token that is of no use on a connection that does not
// show the certificate it is bound to.
const CertificateBoundToken = "certificate-bound token"

// needs returns the kinds of credential that can be put where in says, or nil
// where its scheme says nothing of that.
func (in Injection) needs() []string {
	switch in.Scheme {
	case "bearer":
		return []string{"token", CertificateBoundToken}
	case "basic":
		return []string{"password"}
	case "dpop":
		return []string{BoundToken}
	case "mtls":
		return []string{"x509"}
	case "sigv4", "sigv4a":
		return []string{"aws"}
	case "header", "query", "cookie", "body":
		return in.filled()
	}
	return nil
}

// filled returns the kinds of credential that have all parts that the template
// names.
func (in Injection) filled() []string {
	token := in.Template == "" || strings.Contains(in.Template, "{token}")
	password := strings.Contains(in.Template, "{username}") || strings.Contains(in.Template, "{password}")
	switch {
	case token && password:
		return nil // refused whatever is minted
	case password:
		return []string{"password"}
	}
	return []string{"token", BoundToken}
}

// minted refuses a scheme whose credential the provider never makes, or makes for
// TLS alone where there is none: every call would fail for it.
func (c checker) minted(path string, u Upstream, in Injection) {
	settings, ok := c.config.Providers[in.Provider].Settings.(Minter)
	if !ok || c.decoder.troubled(c.decoder.join("providers", in.Provider)) || c.decoder.troubled(path) {
		return
	}
	made, needs := settings.Mints(), in.needs()
	if made == CertificateBoundToken && slices.Contains(needs, made) && u.URL.URL != nil && u.URL.Scheme != "https" {
		c.decoder.fault(path+".scheme", "an https url for "+inWords(made)+", as only TLS shows that", "an http one")
	}
	if made == "" || needs == nil || slices.Contains(needs, made) {
		return
	}
	words := make([]string, len(needs))
	for i, kind := range needs {
		words[i] = inWords(kind)
	}
	c.decoder.fault(path+".scheme", "a provider that makes "+strings.Join(words, " or ")+", as scheme "+strconv.Quote(in.Scheme)+" needs it",
		strconv.Quote(in.Provider)+", which makes "+inWords(made))
}

func inWords(kind string) string {
	switch kind {
	case "password":
		return "a user name and password"
	case "aws":
		return "an AWS credential"
	case "x509":
		return "a certificate with its key"
	case BoundToken:
		return "a token bound to a key"
	case CertificateBoundToken:
		return "a token bound to a certificate"
	}
	return "a token"
}
