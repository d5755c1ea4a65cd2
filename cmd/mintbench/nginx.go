package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
)

// nginxServer is one server block of nginx.conf.
type nginxServer struct {
	Address       string
	TLS, ClientCA bool
	Kept          bool // connections to the upstream
}

// nginxPath returns where nginx is, or "".
func nginxPath() string {
	for _, name := range []string{"nginx", "/usr/sbin/nginx"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// openNginx starts one nginx for the given of its forms, and returns their
// endpoints.
func (w *world) openNginx(ctx context.Context, path string, forms []string) (all []endpoint, err error) {
	var servers []nginxServer
	for _, name := range forms {
		at, err := w.freeListeners()
		if err != nil {
			return nil, err
		}
		kept := name == nginxKept
		servers = append(servers, nginxServer{at[0], false, false, kept}, nginxServer{at[1], true, false, kept}, nginxServer{at[2], true, true, kept})
		more, err := w.endpoints(name, "/mcp", at)
		if err != nil {
			return nil, err
		}
		all = append(all, more...)
	}
	if err := w.writeNginx(servers); err != nil {
		return nil, err
	}
	p, err := w.children.start("nginx", nil, path, "-p", w.path("nginx"), "-e", "stderr", "-c", w.path("nginx", "nginx.conf"))
	if err != nil {
		return nil, err
	}
	var addresses []string
	for _, s := range servers {
		addresses = append(addresses, s.Address)
	}
	return all, p.ready(ctx, addresses...)
}

func (w *world) writeNginx(servers []nginxServer) error {
	return errors.Join(
		os.MkdirAll(w.path("nginx", "temp"), 0o700),
		w.fill("nginx", "nginx.conf", map[string]any{
			"Root": os.Geteuid() == 0, "Upstream": w.upstream, "Bearer": w.bearer, "Certificates": w.certificates(), "Servers": servers,
		}),
	)
}
