package providers_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"mintmark/broker/bundle"
	"mintmark/internal/fault"
	"mintmark/providers"
	"mintmark/providers/internal/providertest"
)

// pinned writes the certificate of a TLS server to a file and reads it as roots.
func pinned(t *testing.T, s *httptest.Server) *http.Client {
	t.Helper()
	path := filepath.Join(t.TempDir(), "roots.pem")
	block := &pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}
	if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	roots, err := providers.Roots(bundle.Path(path))
	if err != nil {
		t.Fatal(err)
	}
	return providers.HTTPClient(roots)
}

func get(ctx context.Context, t *testing.T, c *http.Client, url string) error {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// A registered name may come to mean an address where a cloud gives its
// credentials to whoever asks from within.
func TestHTTPClientCallsNoMetadata(t *testing.T) {
	for _, url := range []string{"http://169.254.169.254/latest/meta-data", "https://[fd00:ec2::254]/", "http://[::ffff:169.254.169.254]/", "http://0.0.0.0/"} {
		err := get(t.Context(), t, providers.HTTPClient(nil), url)
		if got := fault.HintOf(providers.Unreachable("vault", err)); err == nil || !strings.Contains(got, "called on no account") {
			t.Errorf("%s: got %v, explained as %q", url, err, got)
		}
	}
}

func TestHTTPClientTrustsOnlyItsRoots(t *testing.T) {
	hello := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	s := httptest.NewTLSServer(hello)
	defer s.Close()
	if err := get(t.Context(), t, pinned(t, s), s.URL); err != nil {
		t.Errorf("pinned roots: got %v, want the server trusted", err)
	}
	err := get(t.Context(), t, providers.HTTPClient(nil), s.URL)
	if got := fault.HintOf(providers.Unreachable("vault", err)); err == nil || got != "vault shows a certificate that the configured roots do not vouch for" {
		t.Errorf("system roots: got %v (%q), want the server refused", err, got)
	}
	old := httptest.NewUnstartedServer(hello)
	old.TLS = &tls.Config{MaxVersion: tls.VersionTLS11}
	old.StartTLS()
	defer old.Close()
	if err := get(t.Context(), t, pinned(t, old), old.URL); err == nil {
		t.Error("TLS 1.1: got an answer, want none below 1.2")
	}
}

func TestHTTPClientTakesNoProxyFromTheEnvironment(t *testing.T) {
	proxied := false
	proxy := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { proxied = true }))
	defer proxy.Close()
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "ALL_PROXY"} {
		t.Setenv(name, proxy.URL)
	}
	// Not loopback, which no proxy is asked for in any case, but an address
	// that is kept for documentation (RFC 5737).
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := get(ctx, t, providers.HTTPClient(nil), "http://192.0.2.1/"); proxied || err == nil {
		t.Errorf("got proxied %t, error %v, want the address itself dialled, in vain", proxied, err)
	}
}

func TestUnreachable(t *testing.T) {
	const gone = "http://127.0.0.1:1" // a port that no test listens on
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	greets, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer greets.Close()
	go func() {
		for {
			conn, err := greets.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, "220 mail.example ESMTP\r\n")
			_, _ = io.Copy(io.Discard, conn)
			_ = conn.Close()
		}
	}()
	soon, cancel := context.WithTimeout(t.Context(), 1)
	defer cancel()
	cancelled, cancelNow := context.WithCancel(t.Context())
	cancelNow()
	for name, tt := range map[string]struct {
		ctx  context.Context
		url  string
		hint string
	}{
		"gone":      {t.Context(), gone, "vault refuses connections"},
		"silent":    {soon, "http://" + silent.Addr().String(), "vault did not answer in time"},
		"plain":     {t.Context(), strings.Replace(plain.URL, "http:", "https:", 1), "vault does not speak TLS at its https address: is it an http one?"},
		"another":   {t.Context(), "https://" + greets.Addr().String(), "vault does not speak TLS at its https address: is it an http one?"},
		"cancelled": {cancelled, "http://" + silent.Addr().String(), "vault was no longer waited for"},
	} {
		f := providers.Unreachable("vault", get(tt.ctx, t, providers.HTTPClient(nil), tt.url))
		if f.Kind != fault.Unavailable || f.Hint != tt.hint {
			t.Errorf("%s: got %v %q, want unavailable, %q", name, f.Kind, f.Hint, tt.hint)
		}
	}
	if f := providers.Unreachable("vault", &net.DNSError{Err: canary, Name: "no host name:" + canary}); f.Error() != "lease: vault has a host name that does not resolve: compare the name, and ask this machine's resolver for it" {
		t.Errorf("no such host: got %q", f)
	}
	if f := providers.Unreachable("vault", &net.DNSError{Err: canary, Name: "vault.exmaple.org"}); f.Error() != `lease: vault has a host name that does not resolve: no address of "vault.exmaple.org"; compare the name, and ask this machine's resolver for it` || f.Hint != "vault has a host name that does not resolve" {
		t.Errorf("no such host, for the operator: got %q, with the hint %q", f, f.Hint)
	}
	if f := providers.Unreachable("vault", &net.OpError{Op: "dial", Err: syscall.EHOSTUNREACH}); f.Error() != "lease: vault has an address that no way leads to: compare the address, and this machine's routes" {
		t.Errorf("no route: got %q", f)
	}
	if f := providers.Unreachable("vault", errors.New(canary)); strings.Contains(f.Error(), canary) {
		t.Errorf("unknown cause: got its text in %q", f)
	}
}

// A certificate that is not taken is told apart by what mends it, in no words of its own.
func TestACertificateThatIsNotTakenSaysWhy(t *testing.T) {
	leaf := &x509.Certificate{DNSNames: []string{canary}}
	for want, cause := range map[string]error{
		"a certificate for another name: compare the host in its address":      x509.HostnameError{Certificate: leaf, Host: canary},
		"a certificate that has expired or is not valid yet: renew it":         x509.CertificateInvalidError{Cert: leaf, Reason: x509.Expired, Detail: canary},
		"a certificate that the configured roots do not vouch for: compare ca": x509.UnknownAuthorityError{Cert: leaf},
	} {
		f := providers.Unreachable("vault", &tls.CertificateVerificationError{Err: cause})
		if said := f.Error(); !strings.HasPrefix(said, "lease: vault shows "+want) || strings.Contains(said, canary) {
			t.Errorf("%T: got %q, want %q", cause, said, want)
		}
	}
}

func TestRootsRefuses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "roots.pem")
	if err := os.WriteFile(path, []byte("none"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{path, path + ".missing"} {
		if roots, err := providers.Roots(bundle.Path(p)); err == nil || roots != nil {
			t.Errorf("%s: got %v, %v, want no roots and an error", filepath.Base(p), roots, err)
		}
	}
	if roots, err := providers.Roots(""); err != nil || roots != nil {
		t.Errorf("no file: got %v, %v, want the system's roots", roots, err)
	}
}

func TestCheckEndpoint(t *testing.T) {
	for url, want := range map[string][]string{
		"https://vault.example.org":    nil,
		"http://127.0.0.1:8200":        nil,
		"http://[::1]:8200":            nil,
		"http://localhost:8200":        nil,
		"http://vault.example.org":     {"address"},
		"http://127.0.0.1.example.org": {"address"},
		"http://10.0.0.1":              {"address"},
	} {
		var got []string
		providers.CheckEndpoint(func(field, _, _ string) { got = append(got, field) }, "address", providertest.URL(t, url))
		if !slices.Equal(got, want) {
			t.Errorf("%s: got faults %v, want %v", url, got, want)
		}
	}
}
