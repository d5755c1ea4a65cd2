package injector

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mintmark/broker/bundle"
	"mintmark/internal/fault"
)

// A certificate that is not taken says where that is mended, and which way.
func TestACertificateThatIsNotTakenPointsToItsSetting(t *testing.T) {
	s := httptest.NewTLSServer(http.NotFoundHandler())
	defer s.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	expired := notReached(&dialError{&tls.CertificateVerificationError{Err: x509.CertificateInvalidError{Reason: x509.Expired}}})
	if hint := fault.HintOf(expired); hint != "the upstream can't be reached: its certificate has expired or is not valid yet" || !strings.Contains(expired.Error(), "compare the clocks") {
		t.Errorf("expired: got %v", expired)
	}
	for name, tt := range map[string]struct {
		url, ca, hint, next string
	}{
		"unknown roots": {s.URL, "", "the upstream can't be reached: its certificate is not vouched for by the roots that are registered for it (ca)", "as ca of the upstream"},
		"another name": {strings.Replace(s.URL, "127.0.0.1", "localhost", 1), ca,
			"the upstream can't be reached: its certificate is for another name than its url has", "compare the host in the upstream's url"},
	} {
		target, err := url.Parse(tt.url)
		if err != nil {
			t.Fatal(err)
		}
		up, err := OpenUpstream(bundle.Upstream{URL: bundle.URL{URL: target}, CA: bundle.Path(tt.ca)})
		if err != nil {
			t.Fatal(err)
		}
		defer up.Close()
		resp, err := up.Send(t.Context(), &Outgoing{Method: http.MethodGet, URL: up.URL("", "", ""), Header: http.Header{}}, func() error { return nil })
		if err == nil {
			_ = resp.Body.Close()
		}
		if fault.KindOf(err) != fault.Unavailable || fault.HintOf(err) != tt.hint || !strings.Contains(err.Error(), tt.next) {
			t.Errorf("%s: got %v, want %q and %q", name, err, tt.hint, tt.next)
		}
	}
}
