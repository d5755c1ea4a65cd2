package broker

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"

	"mintmark/broker/bundle"
	"mintmark/internal/fault"
	"mintmark/internal/http1"
)

// listener is one socket and its HTTP server.
type listener struct {
	net    net.Listener
	server *http1.Server
	secure bool
	hosts  map[string]bool // names accepted in Host and Origin; nil: any (a Unix socket)
}

// listen opens every socket of the configuration.
func (b *Broker) listen(ctx context.Context, c bundle.Config) error {
	for i, l := range c.Listeners {
		opened, err := b.openListener(ctx, l)
		if err != nil {
			return fmt.Errorf("listeners[%d]: %w", i, unbound(err))
		}
		b.listeners = append(b.listeners, opened)
	}
	if c.Metrics == "" {
		return nil
	}
	var err error
	if b.admin, err = new(net.ListenConfig).Listen(ctx, "tcp", c.Metrics); err != nil {
		return fmt.Errorf("metrics: %w", unbound(err))
	}
	return nil
}

func (b *Broker) openListener(ctx context.Context, c bundle.Listener) (_ *listener, err error) {
	l := &listener{secure: !c.Plaintext}
	defer func() {
		if err != nil && l.net != nil {
			_ = l.net.Close()
		}
	}()
	config, err := b.tlsConfig(c)
	if err != nil {
		return nil, err
	}
	network, address := "tcp", c.Address
	if path, ok := strings.CutPrefix(c.Address, "unix://"); ok {
		network, address = "unix", path
		if err := removeStale(path); err != nil {
			return nil, err
		}
	}
	if l.net, err = new(net.ListenConfig).Listen(ctx, network, address); err != nil {
		return nil, err
	}
	if network == "unix" {
		if err := os.Chmod(address, 0o660); err != nil { //nolint:gosec // the agent of a sidecar is of the same group
			return nil, err
		}
	} else {
		l.hosts = hostNames(l.net.Addr().(*net.TCPAddr), append([]string{hostOf(c.Address)}, c.Hosts...))
	}
	l.server = &http1.Server{
		Handler:  b.handler(l),
		TLS:      config,
		HeadTime: b.limits.HeaderTime.Duration,
		Idle:     2 * time.Minute,
		MaxHead:  int(b.limits.Header),
		MaxConns: b.limits.Connections,
		Logger:   b.logger,
	}
	return l, nil
}

// removeStale removes a socket that a broker which did not end cleanly left
// behind, and nothing else.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode()&os.ModeSocket == 0 {
		return fmt.Errorf("expected no file or a socket at %s, got a file of another kind: move it away, or name another path", path)
	}
	if conn, err := net.DialTimeout("unix", path, time.Second); err == nil {
		_ = conn.Close()
		return fmt.Errorf("expected no one to listen at %s, got another process that does: end it, or name another path", path)
	}
	return os.Remove(path)
}

// tlsConfig asks agents for a certificate and takes them without one: whether
// the evidence suffices is the attestors' to say, on every call.
func (b *Broker) tlsConfig(c bundle.Listener) (*tls.Config, error) {
	if c.Plaintext {
		return nil, nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS13, ClientAuth: tls.RequestClientCert, NextProtos: []string{"h2", "http/1.1"}}
	if c.Cert == "" {
		if !b.trust.HasIdentity() {
			return nil, errors.New("expected cert and key, or a Workload API under trust that gives the broker its own X.509-SVID, got neither")
		}
		config.GetCertificate = tlsconfig.GetCertificate(b.trust)
		return config, nil
	}
	pair, err := openPair(string(c.Cert), string(c.Key))
	if err != nil {
		return nil, err
	}
	config.GetCertificate = pair.get
	return config, nil
}

// hostNames are the names by which a listener may be addressed. A browser that
// was led to it by DNS rebinding sends another.
func hostNames(addr *net.TCPAddr, extra []string) map[string]bool {
	port := strconv.Itoa(addr.Port)
	names := map[string]bool{}
	add := func(host string) {
		host = strings.ToLower(host)
		names[host] = true
		if _, _, err := net.SplitHostPort(host); err != nil {
			names[net.JoinHostPort(strings.Trim(host, "[]"), port)] = true
		}
	}
	if !addr.IP.IsUnspecified() {
		add(addr.IP.String())
	}
	if addr.IP.IsLoopback() {
		add("localhost")
		add("127.0.0.1")
		add("::1")
		add("[::1]")
	}
	for _, host := range extra {
		if host != "" {
			add(host)
		}
	}
	return names
}

// hostOf returns the host that an address was registered with, or "" for all
// addresses of the machine, which is no name to call by.
func hostOf(address string) string {
	host, _, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err != nil || ip != nil && ip.IsUnspecified() {
		return ""
	}
	return host
}

// checkHost refuses names that are not the listener's own (DNS rebinding), and two at
// once: over HTTP/2 a path may be a URL, which whoever is on the way may go by.
func (l *listener) checkHost(r *http.Request) error {
	if r.URL.Host != "" && r.URL.Host != r.Host {
		return fault.New("receive", fault.Denied, "the path of the request names another server than its authority; send the path alone")
	}
	if l.hosts != nil && !l.hosts[strings.ToLower(r.Host)] {
		return fault.New("receive", fault.Denied, "the Host header names another server; an operator adds names under listeners[].hosts")
	}
	origins := r.Header["Origin"]
	if len(origins) == 0 {
		return nil
	}
	u, err := url.Parse(origins[0])
	if len(origins) > 1 || err != nil || l.hosts == nil || !l.hosts[strings.ToLower(u.Host)] {
		return fault.New("receive", fault.Denied, "the Origin header names a site that may not call this server")
	}
	return nil
}

func (l *listener) serve() error {
	return ended(l.server.Serve(l.net))
}

// ended makes the end of a server that was shut down no error.
func ended(err error) error {
	if errors.Is(err, http.ErrServerClosed) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// shutdown lets calls under way end until ctx does, then cuts them.
func (l *listener) shutdown(ctx context.Context) error {
	if err := l.server.Shutdown(ctx); err != nil {
		return errors.Join(ended(l.server.Close()), ended(l.net.Close()))
	}
	return ended(l.net.Close())
}
