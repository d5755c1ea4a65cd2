// Package trust holds the trust bundles that evidence is judged by and the
// broker's own SVIDs, from the SPIFFE Workload API and from bundle files, and
// follows both as they change.
//
// What was once learnt stays in force while its source is away: a Workload API
// that stops answering, a file that is deleted or no longer parses. The log
// says so, and SVIDs still end at their expiry.
package trust

import (
	"cmp"
	"context"
	"crypto"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/jwtbundle"
	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"

	"mintmark/broker/bundle"
)

// Options are the parts of a Trust that have a sensible default.
type Options struct {
	// Clock tells the time. Default time.Now.
	Clock func() time.Time
	// Logger hears of sources that go away, come back and change. Default: nobody.
	Logger *slog.Logger
	// Wait bounds how long Open waits for the Workload API. Default 10s.
	Wait time.Duration
	// Poll is how often bundle files are read. Default, and maximum, 1s.
	Poll time.Duration
}

func (o Options) withDefaults() Options {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Wait == 0 {
		o.Wait = 10 * time.Second
	}
	if o.Poll <= 0 || o.Poll > time.Second {
		o.Poll = time.Second
	}
	return o
}

// Trust is what the broker believes, and who it is. It implements go-spiffe's
// x509bundle.Source, jwtbundle.Source and x509svid.Source. It is safe for
// concurrent use; readers never wait for a source.
type Trust struct {
	td      spiffeid.TrustDomain
	options Options

	mu      sync.Mutex // held by writers
	sources sources
	current atomic.Pointer[snapshot]

	api   *workloadAPI // nil without one
	files []*bundleFile
	stop  context.CancelFunc
	group sync.WaitGroup

	closed   sync.Once
	closeErr error
}

// Open reads every bundle file and, where config names a Workload API, waits
// for its first answer. ctx bounds Open alone; what it starts runs until Close.
func Open(ctx context.Context, config bundle.Trust, td spiffeid.TrustDomain, o Options) (_ *Trust, err error) {
	if config.WorkloadAPI == "" && len(config.Bundles) == 0 {
		return nil, errors.New("open trust: got no source, want a Workload API or a bundle file")
	}
	t := &Trust{td: td, options: o.withDefaults()}
	t.current.Store(&snapshot{})
	var running context.Context
	running, t.stop = context.WithCancel(context.WithoutCancel(ctx))
	defer func() {
		if err != nil {
			_ = t.Close() // err says what is wrong
		}
	}()
	if err := t.openFiles(config.Bundles); err != nil {
		return nil, fmt.Errorf("open trust: %w", err)
	}
	if config.WorkloadAPI != "" {
		if err := t.openWorkloadAPI(ctx, running, config.WorkloadAPI); err != nil {
			return nil, fmt.Errorf("open trust: %w", err)
		}
	}
	t.group.Go(func() { t.followFiles(running) })
	return t, nil
}

// Close stops following the sources. What is known stays readable. A second
// Close does nothing.
func (t *Trust) Close() error {
	t.stop()
	t.group.Wait()
	if t.api == nil {
		return nil
	}
	t.closed.Do(func() { t.closeErr = t.api.close() })
	return t.closeErr
}

// HasIdentity reports whether t gives the broker SVIDs of its own.
func (t *Trust) HasIdentity() bool { return t.api != nil }

// Generation counts the changes of the bundles: what was verified under
// another generation must be verified again.
func (t *Trust) Generation() uint64 { return t.current.Load().generation }

// TrustDomains returns the trust domains that are believed, in order.
func (t *Trust) TrustDomains() []spiffeid.TrustDomain {
	s := t.current.Load()
	all := make(map[spiffeid.TrustDomain]bool, len(s.x509)+len(s.jwt))
	for td := range s.x509 {
		all[td] = true
	}
	for td := range s.jwt {
		all[td] = true
	}
	var names []spiffeid.TrustDomain
	for td := range all {
		names = append(names, td)
	}
	slices.SortFunc(names, func(a, b spiffeid.TrustDomain) int { return cmp.Compare(a.Name(), b.Name()) })
	return names
}

// GetX509BundleForTrustDomain returns the X.509 authorities of td.
func (t *Trust) GetX509BundleForTrustDomain(td spiffeid.TrustDomain) (*x509bundle.Bundle, error) {
	if b, ok := t.current.Load().x509[td]; ok {
		return b, nil
	}
	return nil, fmt.Errorf("no X.509 bundle of trust domain %q", td.Name())
}

// GetJWTBundleForTrustDomain returns the JWT authorities of td.
func (t *Trust) GetJWTBundleForTrustDomain(td spiffeid.TrustDomain) (*jwtbundle.Bundle, error) {
	if b, ok := t.current.Load().jwt[td]; ok {
		return b, nil
	}
	return nil, fmt.Errorf("no JWT bundle of trust domain %q", td.Name())
}

// GetX509SVID returns the broker's own X.509-SVID, or an error when it has none
// that is still valid.
func (t *Trust) GetX509SVID() (*x509svid.SVID, error) {
	if t == nil || t.current.Load().svid == nil {
		return nil, errors.New("get own X.509-SVID: got no Workload API, want trust.workload_api")
	}
	svid := t.current.Load().svid
	if end := svid.Certificates[0].NotAfter; !t.options.Clock().Before(end) {
		return nil, fmt.Errorf("get own X.509-SVID: got one that expired at %s, want a Workload API that renews it", end.UTC().Format(time.RFC3339))
	}
	return svid, nil
}

// JWTSVID returns a JWT-SVID of the broker for exactly the given audience. It
// is kept until half of its life is over, or until the Workload API no longer names
// the key that signed it, and used to its end while the Workload API does not answer.
func (t *Trust) JWTSVID(ctx context.Context, audience string) (string, error) {
	if t == nil || t.api == nil {
		return "", errors.New("get own JWT-SVID: got no Workload API, want trust.workload_api")
	}
	token, err := t.api.tokens.get(ctx, audience)
	if err != nil {
		return "", fmt.Errorf("get own JWT-SVID for %q: %w", audience, err)
	}
	return token, nil
}

// X509SVID returns the chain of the broker's own X.509-SVID in DER, leaf first, and
// its key; or an error where it has none that is still valid. It never waits: the
// Workload API announces each new one.
func (t *Trust) X509SVID(context.Context) (chain [][]byte, key crypto.Signer, err error) {
	svid, err := t.GetX509SVID()
	if err != nil {
		return nil, nil, err
	}
	for _, certificate := range svid.Certificates {
		chain = append(chain, certificate.Raw)
	}
	return chain, svid.PrivateKey, nil
}
