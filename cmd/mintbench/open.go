package main

import (
	"context"
	"runtime"
	"slices"
)

// open starts what is to be measured.
func (b *bench) open(ctx context.Context) error {
	b.say("%d processors, shared by the load, the upstream and what is measured; files in %s", runtime.NumCPU(), b.world.dir)
	if b.o.measures(direct) {
		b.add(endpoint{name: direct, address: b.world.upstream, path: "/mcp", headers: b.bearer()})
	}
	for _, open := range []func(context.Context) error{b.openReverseProxies, b.openNginx, b.openMintmark} {
		if err := open(ctx); err != nil {
			return err
		}
	}
	for _, o := range b.o.others {
		b.add(endpoint{name: o.name, address: o.url.Host, path: o.url.RequestURI(), headers: slices.Clone(o.headers), noToken: true})
	}
	return nil
}

func (b *bench) bearer() []string { return []string{"Authorization: Bearer " + b.world.bearer} }

func (b *bench) add(all ...endpoint) {
	for _, e := range all {
		b.targets = append(b.targets, b.world.target(e))
	}
}

func (b *bench) openReverseProxies(ctx context.Context) error {
	for _, name := range b.o.measured(reverseProxy, reverseProxyKept) {
		at, err := b.world.freeListeners()
		if err != nil {
			return err
		}
		if err := b.world.openOwn(ctx, "serve-"+name, at[:], b.world.upstream, b.world.certificates()); err != nil {
			return err
		}
		all, err := b.world.endpoints(name, "/mcp", at)
		if err != nil {
			return err
		}
		b.add(all...)
	}
	return nil
}

func (b *bench) openNginx(ctx context.Context) error {
	path, forms := nginxPath(), b.o.measured(nginx, nginxKept)
	if len(forms) == 0 || path == "" {
		b.say("nginx is not measured")
		return nil
	}
	all, err := b.world.openNginx(ctx, path, forms)
	b.add(all...)
	return err
}

func (b *bench) openMintmark(ctx context.Context) (err error) {
	if !b.o.measures(mintmark) {
		return nil
	}
	b.say("starting Mintmark with %d policies and %d agents", b.o.policies, b.o.agents)
	if b.broker, err = b.world.openMintmark(ctx); err != nil {
		return err
	}
	all, err := b.broker.endpoints(b.world)
	before := len(b.targets)
	b.add(all...)
	b.broker.targets = append(b.broker.targets, b.targets[before:]...)
	return err
}
