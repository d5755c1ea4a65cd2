package connect_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffetls"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"

	"mintmark/cmd/mintmark/connect"
	"mintmark/internal/trustdomain"
)

// secure serves h as a broker does, over TLS and HTTP/2, until the test ends.
func secure(t *testing.T, config *tls.Config, h http.HandlerFunc) (address string) {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: h, TLSConfig: config, ReadHeaderTimeout: patience, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.ServeTLS(l, "", "") }()
	t.Cleanup(func() { _ = server.Close(); <-done })
	return "https://" + l.Addr().String()
}

// svid returns an X.509-SVID of the place's domain.
func svid(t *testing.T, d *trustdomain.Domain, segments ...string) *x509svid.SVID {
	t.Helper()
	s, err := d.X509SVID(d.ID(segments...), trustdomain.X509Request{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func answerPing(w http.ResponseWriter, _ *http.Request) { inform(w, http.StatusOK, result("1")) }

// The broker must be who it is said to be.
func TestWhoTheBrokerIs(t *testing.T) {
	p := newPlace(t, trustdomain.Options{})
	own := secure(t, tlsconfig.MTLSServerConfig(svid(t, p.domain, "mintmark"), p.domain.Bundle(), tlsconfig.AuthorizeID(p.domain.ID("agent", "shop"))), answerPing)
	other := trustdomain.New("example.org", trustdomain.Options{})
	forged := secure(t, tlsconfig.TLSServerConfig(svid(t, other, "mintmark")), answerPing)
	partner := trustdomain.New("partner.example", trustdomain.Options{})
	p.domain.Federate(partner)
	foreign := secure(t, tlsconfig.TLSServerConfig(svid(t, partner, "mintmark")), answerPing)
	web := httptest.NewTLSServer(http.HandlerFunc(answerPing)) // as its certificate is
	defer web.Close()
	web.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	ca := filepath.Join(p.dir, "ca.pem")
	writePEM(t, ca, web.Certificate())
	plain := httptest.NewServer(http.HandlerFunc(answerPing))
	defer plain.Close()

	for name, tt := range map[string]struct {
		o     connect.Options
		words string // of the refusal, or "" for an answer
	}{
		"any of the own trust domain":     {connect.Options{Broker: own}, ""},
		"the one that was named":          {connect.Options{Broker: own, BrokerID: "spiffe://example.org/mintmark"}, ""},
		"another than was named":          {connect.Options{Broker: own, BrokerID: "spiffe://example.org/other"}, `unexpected ID "spiffe://example.org/mintmark"; check --broker, --broker-id (spiffe://example.org/other) and --ca`},
		"a forged one":                    {connect.Options{Broker: forged}, "unknown authority"},
		"one of another domain":           {connect.Options{Broker: foreign}, "unexpected trust domain"},
		"one of another domain, as named": {connect.Options{Broker: foreign, BrokerID: "spiffe://partner.example/mintmark"}, ""},
		"a Web PKI certificate":           {connect.Options{Broker: web.URL, CA: ca}, ""},
		"a Web PKI certificate, no CA":    {connect.Options{Broker: web.URL}, "not the broker that was expected"},
		"an SVID where there is a CA":     {connect.Options{Broker: own, CA: ca}, "not the broker that was expected"},
		"no TLS":                          {connect.Options{Broker: strings.Replace(plain.URL, "http:", "https:", 1)}, "does not speak TLS"},
	} {
		t.Run(name, func(t *testing.T) {
			c := p.run(t, tt.o)
			c.send(ping)
			if tt.words == "" {
				c.want(result("1"))
			} else {
				c.wantError(1.0, -31502, tt.words, "--broker-id")
			}
		})
	}
}

func writePEM(t *testing.T, name string, cert *x509.Certificate) {
	t.Helper()
	if err := os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
}

// To a broker with a Web PKI certificate the agent shows its SVID all the same.
func TestEvidenceToAWebPKIBroker(t *testing.T) {
	p := newPlace(t, trustdomain.Options{})
	agents := make(chan string, 1)
	web := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, err := spiffetls.PeerIDFromConnectionState(*r.TLS)
		agents <- fmt.Sprint(id, err)
		answerPing(w, r)
	}))
	web.TLS = &tls.Config{ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS13}
	web.StartTLS()
	defer web.Close()
	ca := filepath.Join(p.dir, "ca.pem")
	writePEM(t, ca, web.Certificate())
	c := p.run(t, connect.Options{Broker: web.URL, CA: ca})
	c.send(ping)
	c.want(result("1"))
	if got := recv(t, "the agent", agents); got != "spiffe://example.org/agent/shop <nil>" {
		t.Errorf("got agent %s", got)
	}
}

// Who is no longer waited for is not without an identity.
func TestAnEndWhileItAsksWhoItIs(t *testing.T) {
	ended := errors.New("the program ends")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(ended)
	var logged bytes.Buffer
	for range 20 { // it may see the end before it asks, or then
		err := connect.Identify(ctx, connect.Options{WorkloadAPI: "unix:///nowhere.sock", Logger: slog.New(slog.NewTextHandler(&logged, nil))})
		if !errors.Is(err, ended) || logged.Len() != 0 {
			t.Fatalf("got %v, log %q, want why it ended", err, logged.String())
		}
	}
}

func TestBrokerThatIsNotThere(t *testing.T) {
	p := newPlace(t, trustdomain.Options{})
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	for name, broker := range map[string]string{"TLS": "https://" + l.Addr().String(), "socket": "unix://" + filepath.Join(p.dir, "none.sock")} {
		t.Run(name, func(t *testing.T) {
			c := p.run(t, connect.Options{Broker: broker})
			c.send(ping)
			c.wantError(1.0, -31503, "can't reach the broker at "+broker, "is it running")
		})
	}
}

// The user of a test may be root, whom no mode keeps out: the error is made here.
func TestSocketOfAnotherGroup(t *testing.T) {
	err := connect.Explain(t.Context(), "/run/mintmark.sock", &net.OpError{Op: "dial", Net: "unix", Err: os.NewSyscallError("connect", syscall.EACCES)})
	if got := err.Error(); !strings.Contains(got, "unix:///run/mintmark.sock: this user may not write to the socket") || strings.Contains(got, "is it running") {
		t.Errorf("got %q, want word of the socket's group", got)
	}
}

// A renewed X.509-SVID is shown on new connections at once, and what is under
// way on the old ones goes on.
func TestX509SVIDIsRenewed(t *testing.T) {
	p := newPlace(t, trustdomain.Options{X509Lifetime: 6 * time.Second})
	long := trustdomain.X509Request{Lifetime: time.Hour}
	server, err := p.domain.X509SVID(p.domain.ID("mintmark"), long)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	serials := map[string]bool{}
	free := make(chan struct{})
	address := secure(t, tlsconfig.MTLSServerConfig(server, p.domain.Bundle(), tlsconfig.AuthorizeAny()), func(w http.ResponseWriter, r *http.Request) {
		cert := r.TLS.PeerCertificates[0]
		mu.Lock()
		serials[cert.SerialNumber.String()] = true
		mu.Unlock()
		if !time.Now().Before(cert.NotAfter) {
			t.Errorf("got evidence that ended at %s", cert.NotAfter)
		}
		body, _ := io.ReadAll(r.Body)
		if strings.Contains(string(body), `"slow"`) {
			stream(w, ":\n\n")
			<-free
			stream(w, "data: "+result(`"slow"`)+"\n\n")
			return
		}
		inform(w, http.StatusOK, result("1"))
	})
	c := p.run(t, connect.Options{Broker: address})
	c.send(`{"jsonrpc":"2.0","id":"slow","method":"ping"}`)
	await(t, "another SVID", func() bool {
		c.send(ping)
		c.want(result("1"))
		mu.Lock()
		defer mu.Unlock()
		return len(serials) >= 2
	})
	close(free)
	c.want(result(`"slow"`))
}

// A JWT-SVID is fetched anew well before it ends. The fake takes none that has
// ended.
func TestJWTSVIDIsRenewed(t *testing.T) {
	f := &fake{place: newPlace(t, trustdomain.Options{JWTLifetime: 4 * time.Second}), t: t, seen: make(chan request, 1024), free: make(chan struct{})}
	f.handle = func(w http.ResponseWriter, _ request) { inform(w, http.StatusOK, result("1")) }
	f.serve()
	c := f.run(connect.Options{})
	tokens := map[string]int{}
	await(t, "another token", func() bool {
		c.send(ping)
		c.want(result("1"))
		tokens[f.next().header.Get("Authorization")]++
		return len(tokens) >= 2
	})
}

// A client hears in its first answer that there is no identity, and may try
// again: agents start late.
func TestWorkloadAPIThatIsLate(t *testing.T) {
	f := newFake(t, func(w http.ResponseWriter, _ request) { inform(w, http.StatusOK, result("1")) })
	late := filepath.Join(f.dir, "late.sock")
	c := f.run(connect.Options{WorkloadAPI: "unix://" + late, Wait: 300 * time.Millisecond})
	c.send(ping)
	c.wantError(1.0, -31503, "no identity", late, "is the SPIFFE agent running?")
	api, err := f.domain.ServeWorkloadAPI(context.WithoutCancel(t.Context()), late, f.domain.ID("agent", "shop"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = api.Close() })
	c.send(ping)
	c.want(result("1"))
}

func TestOptionsAreChecked(t *testing.T) {
	empty, ca := filepath.Join(t.TempDir(), "empty.pem"), filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	writePEM(t, ca, svid(t, trustdomain.New("example.org", trustdomain.Options{}), "mintmark").Certificates[0])
	good := connect.Options{Broker: "https://broker.example.org:8443", WorkloadAPI: "unix:///run/agent.sock"}
	for want, change := range map[string]func(*connect.Options){
		"--broker: required":              func(o *connect.Options) { o.Broker = "" },
		`expected "https://HOST:PORT"`:    func(o *connect.Options) { o.Broker = "http://127.0.0.1:8080" },
		"the upstream is named by the":    func(o *connect.Options) { o.Broker = "https://broker.example.org/mcp/orders" },
		"expected an absolute path":       func(o *connect.Options) { o.Broker = "unix://agents.sock" },
		"expected the name of an":         func(o *connect.Options) { o.Upstream = "../http/orders" },
		"--workload-api: required":        func(o *connect.Options) { o.WorkloadAPI = "" },
		"--workload-api: expected":        func(o *connect.Options) { o.WorkloadAPI = "/run/agent.sock" },
		"--broker-id: expected":           func(o *connect.Options) { o.BrokerID = "mintmark" },
		"--ca: open":                      func(o *connect.Options) { o.CA = "nowhere.pem" },
		"expected PEM certificates":       func(o *connect.Options) { o.CA = empty },
		"expected neither with a Unix":    func(o *connect.Options) { o.Broker, o.BrokerID = "unix:///run/b.sock", "spiffe://example.org/mintmark" },
		"a CA is no SVID":                 func(o *connect.Options) { o.CA, o.BrokerID = ca, "spiffe://example.org/mintmark" },
		"required: the SPIFFE Workload A": func(o *connect.Options) { *o = connect.Options{} },
	} {
		o := good
		change(&o)
		err := connect.Run(t.Context(), o)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: got %v, want an error with %q", o, err, want)
		}
	}
	secretive := good
	secretive.Broker = "https://me:canary@broker.example.org"
	if err := connect.Run(t.Context(), secretive); err == nil || strings.Contains(err.Error(), "canary") {
		t.Errorf("got %v, want an error without the password", err)
	}
}
