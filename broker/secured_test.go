package broker_test

import (
	"crypto/tls"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
)

// over are the ways in which a call comes to an upstream.
func over() []string { return []string{"http", "https", "h2"} }

// serveOver serves h by one of them, and returns its URL and what a registration
// says of it beside that.
func (w *world) serveOver(way string, h http.Handler) (url, also string) {
	w.t.Helper()
	if way == "http" {
		return "http://" + serve(w.t, h, nil), ""
	}
	s := httptest.NewUnstartedServer(h)
	s.EnableHTTP2 = way == "h2"
	s.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	s.StartTLS()
	w.t.Cleanup(s.Close)
	w.trust(s.Certificate().Raw)
	return s.URL, "ca: upstream.pem, "
}

// trust makes a certificate the root of upstreams.
func (w *world) trust(der []byte) {
	w.t.Helper()
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if err := os.WriteFile(filepath.Join(w.dir, "upstream.pem"), text, 0o600); err != nil {
		w.t.Fatal(err)
	}
}
