package broker

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"sync"
	"time"

	"mintmark/attest"
	"mintmark/attest/posture"
	"mintmark/broker/audit"
	"mintmark/broker/bundle"
	"mintmark/injector"
	"mintmark/policies"
	"mintmark/providers"
)

// snapshot is everything that one bundle makes: immutable once built, swapped
// whole. A call keeps the snapshot it began with.
type snapshot struct {
	bundle    *bundle.Bundle
	chain     *attest.Chain
	policies  *policies.Set
	tracker   *posture.Tracker
	untrack   func() // ends tracker and waits for it
	pool      *providers.Pool
	upstreams map[string]*upstream
	perAgent  map[string][]string // providers, by upstream: see findPerAgent
	latest    func() *snapshot    // the one in force
	proving   chan struct{}       // one for each stream whose evidence is being judged anew

	calls   sync.WaitGroup // calls that began with this snapshot
	retired chan struct{}  // closed when its parts have ended
}

// facts returns what posture knows about a workload and what it runs.
func (s *snapshot) facts(now time.Time, id string) []posture.Fact {
	if subjects := s.tracker.Subjects(id); subjects != nil {
		return s.tracker.Facts(now, subjects...)
	}
	return s.tracker.Facts(now, id)
}

// build makes the snapshot of a bundle. Parts whose registrations did not
// change are taken over from old, so that a changed policy neither forgets
// posture nor mints anew. On error nothing it started is left running.
func (b *Broker) build(ctx context.Context, bd *bundle.Bundle, old *snapshot) (_ *snapshot, err error) {
	s := &snapshot{bundle: bd, upstreams: make(map[string]*upstream, len(bd.Config.Upstreams)), latest: b.current.Load, retired: make(chan struct{}),
		proving: make(chan struct{}, proveAtOnce)}
	defer func() {
		if err != nil {
			s.retire(ctx, old)
		}
	}()
	defer b.guard(ctx, "put a bundle together", &err)
	if s.policies, err = policies.Compile(policyFiles(bd), b.policyOptionsNow(bd)); err != nil {
		return nil, err
	}
	for name, u := range bd.Config.Upstreams {
		up, err := openUpstream(u)
		if err != nil {
			return nil, bd.Place("upstreams."+name, fmt.Errorf("upstream %s: %w", name, err))
		}
		up.given = givenBy(old, name, u)
		s.upstreams[name] = up // only now: retire ends all that is in it
	}
	if err := b.buildChain(s, old); err != nil {
		return nil, err
	}
	if err := b.buildPool(s, old); err != nil {
		return nil, err
	}
	s.perAgent = s.findPerAgent()
	return s, b.buildTracker(ctx, s, old)
}

// Compile checks and compiles the policies of a bundle.
func Compile(bd *bundle.Bundle) (*policies.Set, error) {
	return policies.Compile(policyFiles(bd), policyOptions(bd))
}

func policyFiles(bd *bundle.Bundle) []policies.File {
	files := make([]policies.File, len(bd.Policies))
	for i, f := range bd.Policies {
		files[i] = policies.File{Name: f.Name, Content: f.Content}
	}
	return files
}

// policyOptions says what the policies of a bundle may name.
func policyOptions(bd *bundle.Bundle) policies.Options {
	o := policies.Options{
		PostureNames:  slices.Sorted(maps.Keys(bd.Config.Posture)),
		PostureValues: map[string][]string{},
		Clocks:        make(map[string]*time.Location, len(bd.Config.Clocks)),
		TrustDomains:  trustDomains(bd),
	}
	for name, p := range bd.Config.Posture {
		if settings, ok := p.Settings.(posture.Valued); ok {
			o.PostureValues[name] = settings.Values()
		}
	}
	for name, zone := range bd.Config.Clocks {
		o.Clocks[name] = zone.Location
	}
	for _, name := range slices.Sorted(maps.Keys(bd.Config.Upstreams)) {
		o.Upstreams = append(o.Upstreams, policies.Upstream{Name: name, Kind: bd.Config.Upstreams[name].Kind})
	}
	return o
}

// trustDomains returns the trust domains that a bundle names, its own first.
func trustDomains(bd *bundle.Bundle) []string {
	names := []string{bd.Config.TrustDomain.Name()}
	for _, federated := range bd.Config.Trust.Bundles {
		if name := federated.TrustDomain.Name(); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// policyOptionsNow are those of a bundle with the trust domains that are believed now, as
// SPIRE may federate with some that the bundle doesn't name.
func (b *Broker) policyOptionsNow(bd *bundle.Bundle) policies.Options {
	o := policyOptions(bd)
	if b.trust == nil {
		return o
	}
	for _, td := range b.trust.TrustDomains() {
		if !slices.Contains(o.TrustDomains, td.Name()) {
			o.TrustDomains = append(o.TrustDomains, td.Name())
		}
	}
	return o
}

func (b *Broker) buildChain(s, old *snapshot) error {
	if old != nil && reflect.DeepEqual(old.bundle.Config.Attestors, s.bundle.Config.Attestors) {
		s.chain = old.chain
		return nil
	}
	var attestors []attest.Attestor
	for _, a := range s.bundle.Config.Attestors {
		opened, err := b.kinds.Attestors[a.Kind].open(a.Settings, AttestorEnv{Trust: b.trust})
		if err != nil {
			return fmt.Errorf("attestor %s: %w", a.Kind, err)
		}
		attestors = append(attestors, opened)
	}
	chain, err := attest.NewChain(attestors, attest.ChainOptions{Clock: b.clock, Generation: b.trust.Generation, Logger: b.logger})
	if err != nil {
		return err
	}
	s.chain = chain
	return nil
}

func (b *Broker) buildPool(s, old *snapshot) error {
	if old != nil && reflect.DeepEqual(old.bundle.Config.Providers, s.bundle.Config.Providers) {
		s.pool = old.pool
		return nil
	}
	entries := make(map[string]providers.Entry, len(s.bundle.Config.Providers))
	for name, p := range s.bundle.Config.Providers {
		entry, err := b.entry(name, p, s.bundle)
		if err != nil {
			return err
		}
		entries[name] = entry
	}
	pool, err := b.newPool(entries, func() string { return b.digestOr(s.bundle.Digest) })
	if err != nil {
		return err
	}
	s.pool = pool
	return nil
}

// entry opens one registered provider of a bundle.
func (b *Broker) entry(name string, p bundle.Provider, bd *bundle.Bundle) (providers.Entry, error) {
	opened, err := b.kinds.Providers[p.Kind].open(p.Settings, b.providerEnv(name))
	if err != nil {
		return providers.Entry{}, bd.Place("providers."+name, fmt.Errorf("provider %s: %w", name, err))
	}
	bound, ok := opened.(providers.AgentBound)
	return providers.Entry{
		Provider: opened, PerAgent: p.PerAgent || ok && bound.PerAgent(), MaxAge: p.MaxAge.Duration, Digest: registrationDigest(name, bd.Digest),
	}, nil
}

func (b *Broker) newPool(entries map[string]providers.Entry, digest func() string) (*providers.Pool, error) {
	return providers.NewPool(entries, providers.PoolOptions{
		Log: b.log, FingerprintKey: b.fingerprintKey, Clock: b.clock, Logger: b.logger, Bundle: digest, MintTimeout: b.mintTime, RestFor: b.restTime,
		Owe: b.owing.keep, Escrow: b.escrow, Revoked: b.letGo, Derive: injector.Forms, Late: &b.late, Siblings: &b.siblings,
	})
}

func (b *Broker) providerEnv(name string) providers.Env {
	env := providers.Env{Clock: b.clock, Logger: b.logger.With(slog.String("provider", name))}
	if b.trust != nil && b.trust.HasIdentity() { // none is open: see entryOnTrial
		env.Self = b.trust
	}
	return env
}

func registrationDigest(name, bundle string) string {
	sum := sha256.Sum256([]byte(bundle + "\x00" + name))
	return hex.EncodeToString(sum[:])
}

func (b *Broker) buildTracker(ctx context.Context, s, old *snapshot) error {
	if old != nil && reflect.DeepEqual(old.bundle.Config.Posture, s.bundle.Config.Posture) {
		s.tracker, s.untrack = old.tracker, old.untrack
		return nil
	}
	sources := make(map[string]posture.Source, len(s.bundle.Config.Posture))
	for name, p := range s.bundle.Config.Posture {
		source, err := b.kinds.Posture[p.Kind].open(p.Settings, PostureEnv{Name: name})
		if err != nil {
			return fmt.Errorf("posture %s: %w", name, err)
		}
		sources[name] = source
	}
	s.tracker = posture.NewTracker(sources, posture.TrackerOptions{Clock: b.clock, Logger: b.logger, Record: b.recordPosture})
	s.untrack = run(s.tracker.Run)
	ready, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := s.tracker.Wait(ready); err != nil {
		return fmt.Errorf("posture: expected every source to finish its first scan within 30 s: %w", err)
	}
	return nil
}

// run starts a part in the background; the returned func ends it and waits.
func run(part func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = part(ctx) // ends only with ctx
	}()
	return func() { cancel(); <-done }
}

func (b *Broker) recordPosture(f posture.Fact, event string) {
	b.log.Write(&audit.Record{Kind: audit.Posture, Event: event, Subject: f.Subject, Posture: []audit.PostureFact{
		{Name: f.Name, Value: f.Value, AgeS: f.Seconds(b.clock()), Issuer: f.Issuer}}})
}

// retire ends the parts of s that keep, which may be nil, did not take over. No
// call may be under way in s, nor in a snapshot whose parts s took over.
func (s *snapshot) retire(ctx context.Context, keep *snapshot) {
	defer close(s.retired)
	if keep == nil {
		keep = &snapshot{}
	}
	if s.untrack != nil && s.tracker != keep.tracker {
		s.untrack()
	}
	if s.pool != nil && s.pool != keep.pool {
		_ = s.pool.Close(ctx) // it logs and records what it could not revoke
		if keep.pool != nil {
			s.pool.HandOver(ctx, keep.pool)
		}
	}
	if s.chain != nil && s.chain != keep.chain {
		s.chain.Close()
	}
	for _, u := range s.upstreams {
		u.send.Close()
	}
}
