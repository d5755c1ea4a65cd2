package broker_test

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// authority signs the certificates of a hostile upstream, and is trusted.
type authority struct {
	certificate *x509.Certificate
	key         any
}

func newAuthority(t testing.TB) authority {
	t.Helper()
	key := newKey(t)
	of := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "root"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, of, of, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return authority{certificate, key}
}

// signed returns a certificate as of says.
func (a authority) signed(t testing.TB, of *x509.Certificate) *tls.Certificate {
	t.Helper()
	key := newKey(t)
	of.SerialNumber, of.NotBefore = big.NewInt(2), time.Now().Add(-time.Hour)
	if of.NotAfter.IsZero() {
		of.NotAfter = time.Now().Add(time.Hour)
	}
	der, err := x509.CreateCertificate(rand.Reader, of, a.certificate, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// names are an extension with one alternative name, as it is.
func names(t testing.TB, tag int, text string) []pkix.Extension {
	t.Helper()
	value, err := asn1.Marshal([]asn1.RawValue{{Class: asn1.ClassContextSpecific, Tag: tag, Bytes: []byte(text)}})
	if err != nil {
		t.Fatal(err)
	}
	return []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: value}}
}

// What an upstream got on one connection it can say in its certificate on the next,
// which those who check certificates quote.
func TestAHostileUpstreamsCertificateShowsNothing(t *testing.T) {
	t.Parallel()
	root := newAuthority(t)
	var shown atomic.Pointer[tls.Certificate]
	shown.Store(root.signed(t, &x509.Certificate{DNSNames: []string{"localhost"}}))
	w := open(t, func(s *setup) {
		s.Policy = `permit (principal == Agent::"spiffe://example.org/agent/shop", action in Action::"http", resource);`
	})
	s := httptest.NewUnstartedServer(http.HandlerFunc(answerOK))
	s.Listener = tls.NewListener(s.Listener, &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return shown.Load(), nil }})
	s.Start()
	t.Cleanup(s.Close)
	w.trust(root.certificate.Raw)
	w.registerShapes(strings.Replace(s.URL, "http://127.0.0.1", "https://localhost", 1), "ca: upstream.pem, ", "bearer")
	call := w.call(get("/http/bearer-http/x"))
	w.wantOK(call, "result")
	loot := w.issuer.last()
	for name, of := range map[string]*x509.Certificate{
		"names":             {DNSNames: []string{fmt.Sprintf("%x", loot), "x"}},
		"a name as it is":   {ExtraExtensions: names(t, 2, loot)},
		"a wildcard":        {ExtraExtensions: names(t, 2, "*."+loot)},
		"a URI":             {ExtraExtensions: names(t, 6, "https://["+loot)},
		"a URI of its host": {ExtraExtensions: names(t, 6, "https://"+loot+"/")},
		"an address":        {EmailAddresses: []string{loot}, Subject: pkix.Name{CommonName: loot}},
		"a subject":         {Subject: pkix.Name{CommonName: loot, Organization: []string{loot}}},
		"an end":            {Subject: pkix.Name{CommonName: loot}, NotAfter: time.Now().Add(-time.Minute), DNSNames: []string{"localhost"}},
		"a constraint":      {DNSNames: []string{loot}, PermittedDNSDomains: []string{"x." + url.PathEscape(loot)}, IsCA: true, BasicConstraintsValid: true},
	} {
		t.Run(name, func(t *testing.T) {
			w.in(t)
			shown.Store(root.signed(t, of))
			w.broker.DropIdle()
			got := w.do(call)
			if got.err != nil || got.status < 500 {
				t.Errorf("got %d %.200q, %v, want a refusal", got.status, got.body, got.err)
			}
			w.wantNoSighting(got)
		})
	}
	w.in(t)
	w.wantNoTrace()
}
