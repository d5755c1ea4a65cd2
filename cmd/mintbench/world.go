package main

import (
	"context"
	"crypto/tls"
	"embed"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"text/template"
	"time"

	"mintmark/cmd/mintbench/load"
	"mintmark/internal/trustdomain"
)

//go:embed files
var files embed.FS

const (
	trustDomain = "bench.example"
	audience    = "mintbench"
)

// world is what the targets and their callers live in: a directory, a trust
// domain, a token endpoint, and the processes.
type world struct {
	o        options
	dir      string
	domain   *trustdomain.Domain
	tokens   []string        // of the agents
	issuer   string          // address
	secret   string          // of the issuer's clients
	upstream string          // address
	bearer   string          // of the upstream
	ports    map[string]bool // addresses that were given out
	children children
	closers  []func() error
}

// openWorld starts everything but the targets. On error nothing is left.
func openWorld(ctx context.Context, o options) (_ *world, err error) {
	w := &world{o: o, bearer: o.upstreamBearer, secret: randomHex()}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.close())
		}
	}()
	if w.bearer == "" {
		w.bearer = randomHex()
	}
	if w.dir, err = os.MkdirTemp(o.directory, "mintbench-"); err != nil {
		return nil, err
	}
	w.children.dir = w.dir
	if err := w.openDomain(ctx); err != nil {
		return nil, err
	}
	if err := w.writeCertificates(); err != nil {
		return nil, err
	}
	if err := w.openIssuer(ctx); err != nil {
		return nil, err
	}
	return w, w.openUpstream(ctx)
}

// close ends every process and removes the directory.
func (w *world) close() error {
	w.children.kill()
	var errs []error
	for _, c := range w.closers {
		errs = append(errs, c())
	}
	if w.dir != "" && !w.o.keep {
		errs = append(errs, os.RemoveAll(w.dir))
	}
	return errors.Join(errs...)
}

func (w *world) path(elem ...string) string {
	return filepath.Join(append([]string{w.dir}, elem...)...)
}

// openDomain makes the trust domain, its agents' tokens, and the Workload API
// that gives Mintmark its identity and its trust.
func (w *world) openDomain(ctx context.Context) error {
	w.domain = trustdomain.New(trustDomain, trustdomain.Options{X509Lifetime: 12 * time.Hour, JWTLifetime: 12 * time.Hour})
	for i := range w.o.agents {
		token, err := w.domain.JWTSVID(w.domain.ID("agent", fmt.Sprint(i)), trustdomain.JWTRequest{Audience: []string{audience}})
		if err != nil {
			return err
		}
		w.tokens = append(w.tokens, token)
	}
	api, err := w.domain.ServeWorkloadAPI(context.WithoutCancel(ctx), w.path("agent.sock"), w.domain.ID("mintmark"))
	if err != nil {
		return err
	}
	w.closers = append(w.closers, api.Close)
	return nil
}

func (w *world) openIssuer(ctx context.Context) (err error) {
	if w.issuer, err = w.freePort(); err != nil {
		return err
	}
	return w.openOwn(ctx, "serve-issuer", []string{w.issuer})
}

func (w *world) tokenURL() string { return "http://" + w.issuer + tokenPath }

func (w *world) openUpstream(ctx context.Context) (err error) {
	if w.upstream = w.o.upstreamAddr; w.upstream == "" {
		if w.upstream, err = w.freePort(); err != nil {
			return err
		}
	}
	return w.openOwn(ctx, "serve-upstream", []string{w.upstream})
}

// openOwn starts one of mintbench's own servers. Its first arguments are where
// it listens.
func (w *world) openOwn(ctx context.Context, command string, listen []string, args ...string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	p, err := w.children.start(command, []string{bearerVariable + "=" + w.bearer, secretVariable + "=" + w.secret}, self, slices.Concat([]string{command}, listen, args)...)
	if err != nil {
		return err
	}
	return p.ready(ctx, listen...)
}

// fill writes one of the embedded templates into a folder of the directory.
func (w *world) fill(folder, name string, data any) (err error) {
	t, err := template.ParseFS(files, "files/"+name)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(w.path(folder, name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(t.Execute(f, data), f.Close())
}

// endpoint is where a target takes calls, and how.
type endpoint struct {
	name, address, path string
	tls                 *tls.Config
	headers             []string // in place of the agents' tokens
	noToken             bool
	tool                string // default: the one that the options ask for
}

// target returns what drives an endpoint.
func (w *world) target(e endpoint) *load.Target {
	t := &load.Target{Name: e.name, Numbers: load.NewNumbers(), Dial: dialer(e)}
	c := load.Call{Host: e.address, Path: e.path, Tool: e.tool, Text: w.o.body}
	if c.Tool == "" {
		c.Tool = w.tool()
	}
	if e.noToken || e.headers != nil {
		c.Headers = e.headers
		t.Calls = []load.Template{c.Template(t.Numbers)}
		return t
	}
	for _, token := range w.tokens {
		c.Headers = []string{"Authorization: Bearer " + token}
		t.Calls = append(t.Calls, c.Template(t.Numbers))
	}
	return t
}

func (w *world) tool() string {
	if w.o.sse {
		return toolStream
	}
	return toolEcho
}

func dialer(e endpoint) func(context.Context) (net.Conn, error) {
	if e.tls == nil {
		return func(ctx context.Context) (net.Conn, error) { return new(net.Dialer).DialContext(ctx, "tcp", e.address) }
	}
	d := &tls.Dialer{Config: e.tls}
	return func(ctx context.Context) (net.Conn, error) { return d.DialContext(ctx, "tcp", e.address) }
}
