package x509svid

import "crypto/x509"

// Anchored returns the certificates whose keys are tried.
func (a *Attestor) Anchored(certs []*x509.Certificate) []*x509.Certificate { return a.anchored(certs) }
