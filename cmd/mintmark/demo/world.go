package demo

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"text/template"
	"time"

	"mintmark/broker"
	"mintmark/broker/bundle"
	"mintmark/cmd/mintmark/follow"
	"mintmark/internal/trustdomain"
)

//go:embed files
var files embed.FS

// world is everything that a deployment has around an agent, in one process
// and over real sockets.
type world struct {
	dir      string
	domain   *trustdomain.Domain
	issuer   *issuer
	upstream *upstream
	broker   *broker.Broker
	secure   string // where the broker listens with TLS: https://HOST:PORT
	plain    string // the same without TLS, for curl
	agentAPI string // the agent's own Workload API: unix:///PATH

	received lockedBuffer // everything agents received
	logged   lockedBuffer // everything the broker logged

	closers []func(context.Context) error // last opened first closed
	failed  chan error                    // of the broker
}

// open starts the world. On error nothing is left running.
func open(ctx context.Context, o Options) (_ *world, err error) {
	w := &world{failed: make(chan error, 1)}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.close(ctx))
		}
	}()
	if w.dir, err = os.MkdirTemp("", "mintmark-demo-"); err != nil {
		return nil, err
	}
	w.closers = append(w.closers, func(context.Context) error { return os.RemoveAll(w.dir) })
	if err := w.openDomain(ctx); err != nil {
		return nil, err
	}
	settings, err := w.openServers(ctx)
	if err != nil {
		return nil, err
	}
	if err := w.writeFiles(settings); err != nil {
		return nil, err
	}
	return w, w.openBroker(ctx, o)
}

// openDomain starts the trust domain and the Workload APIs that give the broker
// and the agent their own identities. A real one is one socket for both, and
// looks at who asks.
func (w *world) openDomain(ctx context.Context) error {
	w.domain = trustdomain.New("demo.example", trustdomain.Options{})
	if _, err := w.openWorkloadAPI(ctx, "workload.sock", "mintmark"); err != nil {
		return err
	}
	var err error
	w.agentAPI, err = w.openWorkloadAPI(ctx, "agent.sock", "agent", "shop")
	return err
}

// openWorkloadAPI serves a workload's identity on a socket and returns its address.
func (w *world) openWorkloadAPI(ctx context.Context, name string, workload ...string) (address string, err error) {
	api, err := w.domain.ServeWorkloadAPI(context.WithoutCancel(ctx), filepath.Join(w.dir, name), w.domain.ID(workload...))
	if err != nil {
		return "", fmt.Errorf("start the Workload API: %w", err)
	}
	w.closers = append(w.closers, func(context.Context) error { return api.Close() })
	return api.Addr(), nil
}

// settings fills the configuration's template.
type settings struct{ Socket, TokenURL, SecretFile, UpstreamURL string }

// openServers starts the MCP server and the token issuer.
func (w *world) openServers(ctx context.Context) (s settings, err error) {
	upstreamAt, err := listen(ctx)
	if err != nil {
		return s, err
	}
	issuerAt, err := listen(ctx)
	if err != nil {
		return s, errors.Join(err, upstreamAt.Close())
	}
	s = settings{
		Socket:      filepath.Join(w.dir, "workload.sock"),
		TokenURL:    "http://" + issuerAt.Addr().String() + "/token",
		SecretFile:  filepath.Join(w.dir, "client-secret"),
		UpstreamURL: "http://" + upstreamAt.Addr().String() + "/mcp",
	}
	if w.issuer, err = newIssuer(s.UpstreamURL); err != nil {
		return s, errors.Join(err, upstreamAt.Close(), issuerAt.Close())
	}
	w.upstream = newUpstream(w.issuer)
	w.serve(upstreamAt, w.upstream.handler)
	w.serve(issuerAt, w.issuer)
	return s, nil
}

func listen(ctx context.Context) (net.Listener, error) {
	return new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
}

func (w *world) serve(l net.Listener, h http.Handler) {
	server := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = server.Serve(l) }() // ends by Close below
	w.closers = append(w.closers, func(context.Context) error { return server.Close() })
}

// writeFiles writes the directory that the broker is configured by.
func (w *world) writeFiles(s settings) error {
	policy, err := files.ReadFile("files/policies.cedar")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(w.dir, "scans", "spiffe", "demo.example", "agent"), 0o700); err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(s.SecretFile, []byte(w.issuer.secret), 0o600),
		os.WriteFile(filepath.Join(w.dir, "policies.cedar"), policy, 0o600),
		w.fill("mintmark.yaml", "mintmark.yaml", s),
		w.scan("LOW"),
	)
}

// scan writes the agent's scan report, whose worst finding has a severity.
func (w *world) scan(severity string) error {
	return w.fill("scan.json", filepath.Join("scans", "spiffe", "demo.example", "agent", "shop.json"),
		map[string]string{"CreatedAt": time.Now().UTC().Format(time.RFC3339Nano), "Severity": severity})
}

// fill writes an embedded template; a reader sees the old file or the new one.
func (w *world) fill(name, to string, data any) error {
	t, err := template.ParseFS(files, "files/"+name)
	if err != nil {
		return err
	}
	target := filepath.Join(w.dir, to)
	f, err := os.CreateTemp(w.dir, "writing-")
	if err != nil {
		return err
	}
	return errors.Join(t.Execute(f, data), f.Close(), os.Rename(f.Name(), target))
}

// openBroker starts the broker and follows its directory, by the same code as
// `mintmark serve`.
func (w *world) openBroker(ctx context.Context, o Options) error {
	logged := slog.NewJSONHandler(o.tee(&w.logged), &slog.HandlerOptions{Level: slog.LevelDebug})
	directory, err := follow.Open(w.dir, follow.Options{Logger: slog.New(slog.NewMultiHandler(logged, o.changes()))})
	if err != nil {
		return err
	}
	w.closers = append(w.closers, func(context.Context) error { return directory.Close() })
	bd, err := bundle.Load(w.dir, o.Kinds.Settings())
	if err != nil {
		return err
	}
	w.broker, err = broker.Open(ctx, broker.Options{Bundle: bd, Kinds: o.Kinds, Logger: slog.New(logged)})
	if err != nil {
		return err
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	var following sync.WaitGroup
	following.Go(func() { directory.Run(running, w.broker, nil) })
	go func() { w.failed <- w.broker.Run(running) }()
	w.closers = append(w.closers, func(ctx context.Context) error {
		stop()
		following.Wait()
		return w.broker.Close(ctx)
	})
	addresses := w.broker.Addresses()
	w.secure = "https://" + addresses[0].String()
	w.plain = "http://" + addresses[1].String()
	return nil
}

// close ends everything, last opened first.
func (w *world) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 15*time.Second)
	defer cancel()
	var errs []error
	for _, c := range slices.Backward(w.closers) {
		errs = append(errs, c(ctx))
	}
	w.closers = nil
	return errors.Join(errs...)
}
