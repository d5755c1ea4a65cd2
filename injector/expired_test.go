package injector

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"strings"
	"testing"

	"mintmark/internal/fault"
)

// What is wrong with an upstream's certificate is in the hint, which is on record, and what to
// do about it in the cause, which an operator reads.
func TestWhatIsWrongWithAnUpstreamsCertificate(t *testing.T) {
	for name, tt := range map[string]struct {
		cause      error
		hint, next string
	}{
		"expired":        {x509.CertificateInvalidError{Reason: x509.Expired}, ": its certificate has expired or is not valid yet", "; have it renewed, and compare the clocks"},
		"another name":   {x509.HostnameError{Certificate: &x509.Certificate{}, Host: "a"}, ": its certificate is for another name than its url has", "; compare the host in the upstream's url with the names in the certificate"},
		"another's root": {x509.UnknownAuthorityError{}, ": its certificate is not vouched for by the roots that are registered for it (ca)", "; name the PEM file of its roots as ca of the upstream"},
	} {
		err := notReached(&dialError{&tls.CertificateVerificationError{Err: tt.cause}})
		f, ok := errors.AsType[*fault.Error](err)
		if !ok || f.Kind != fault.Unavailable || f.Hint != "the upstream can't be reached"+tt.hint || !strings.HasSuffix(err.Error(), tt.next) {
			t.Errorf("%s: got %v, want the hint to end in %q and the cause in %q", name, err, tt.hint, tt.next)
		}
	}
}
