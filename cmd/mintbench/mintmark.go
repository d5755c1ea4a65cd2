package main

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"time"

	"mintmark/broker/audit"
	"mintmark/cmd/mintbench/load"
)

// The upstreams that Mintmark is configured with: all lead to the same server,
// each with a credential of its own.
const (
	benchUpstream = "bench"
	burstUpstream = "burst" // used once, by many at the same time
	coldUpstreams = 50
)

// broker is the Mintmark under test and what is needed to check its record.
type broker struct {
	child               *child
	plain, tls, metrics string // addresses
	audit               string // directory
	public              ed25519.PublicKey
	targets             []*load.Target // all that ever called it
}

// openMintmark writes a configuration with everything on and starts Mintmark.
func (w *world) openMintmark(ctx context.Context) (*broker, error) {
	if _, err := os.Stat(w.o.mintmark); err != nil {
		return nil, fmt.Errorf("find mintmark: %w; build it with \"make build\", or name it with -mintmark", err)
	}
	b := &broker{audit: w.path(mintmark, "audit")}
	for _, address := range []*string{&b.plain, &b.tls, &b.metrics} {
		var err error
		if *address, err = w.freePort(); err != nil {
			return nil, err
		}
	}
	if err := w.writeMintmark(b); err != nil {
		return nil, err
	}
	var err error
	if b.child, err = w.children.start(mintmark, nil, w.o.mintmark, "serve", "--dir", w.path(mintmark)); err != nil {
		return nil, err
	}
	return b, b.child.ready(ctx, b.plain, b.tls)
}

func (w *world) writeMintmark(b *broker) error {
	if err := os.Mkdir(w.path(mintmark), 0o700); err != nil {
		return err
	}
	// The key is made here, so that the record is held against a key that
	// Mintmark did not choose.
	key, _, err := audit.LoadOrCreateKey(w.path(mintmark, "signing.key"))
	if err != nil {
		return err
	}
	b.public = key.Public().(ed25519.PublicKey) // documented to be one
	upstreams := w.upstreams()
	return errors.Join(
		os.WriteFile(w.path(mintmark, "client-secret"), []byte(w.secret), 0o600),
		os.WriteFile(w.path(mintmark, "bench.cedar"), generatePolicies(w.o.policies, upstreams), 0o600),
		w.writeScans(time.Now()),
		w.fill(mintmark, "mintmark.yaml", map[string]any{
			"TrustDomain": trustDomain, "WorkloadAPI": "unix://" + w.path("agent.sock"), "Audience": audience,
			"Plain": b.plain, "TLS": b.tls, "Metrics": b.metrics,
			"Upstreams": upstreams, "UpstreamURL": "http://" + w.upstream + "/mcp", "TokenURL": w.tokenURL(),
		}),
	)
}

func (w *world) upstreams() []string {
	names := []string{benchUpstream, burstUpstream}
	if w.o.cold {
		for i := range coldUpstreams {
			names = append(names, coldName(i))
		}
	}
	return names
}

// writeScans writes a passing report of a vulnerability scan for each agent.
func (w *world) writeScans(now time.Time) error {
	dir := w.path(mintmark, "scans", "spiffe", trustDomain, "agent")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	report := fmt.Sprintf(`{"SchemaVersion":2,"CreatedAt":%q,"ArtifactName":"agent","ArtifactType":"container_image",`+
		`"Results":[{"Target":"agent","Vulnerabilities":[{"VulnerabilityID":"CVE-2025-0001","Severity":"LOW"}]}]}`, now.UTC().Format(time.RFC3339))
	for i := range w.o.agents {
		if err := os.WriteFile(fmt.Sprintf("%s/%d.json", dir, i), []byte(report), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// endpoints returns where Mintmark takes calls for the measured upstream.
func (b *broker) endpoints(w *world) ([]endpoint, error) {
	return w.endpoints(mintmark, "/mcp/"+benchUpstream, listeners{b.plain, b.tls, b.tls})
}

// target is like the world's, and remembers what it made.
func (b *broker) target(w *world, e endpoint) *load.Target {
	t := w.target(e)
	b.targets = append(b.targets, t)
	return t
}
