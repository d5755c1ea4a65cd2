package broker

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"mintmark/attest"
	"mintmark/attest/trust"
	"mintmark/broker/audit"
	"mintmark/broker/bundle"
	"mintmark/internal/fault"
	"mintmark/providers"
)

// Trial is what a provider made, and nothing of what it is made of.
type Trial struct {
	Provider    string    `json:"provider"`
	Kind        string    `json:"kind"`            // of the provider, as registered
	Type        string    `json:"type"`            // of the credential: token, password, aws or x509
	Agent       string    `json:"agent,omitempty"` // for whom, where each has its own
	Scopes      []string  `json:"scopes,omitempty"`
	NotAfter    time.Time `json:"not_after"` // when the broker stops using it
	Fingerprint string    `json:"fingerprint"`
	Credential  string    `json:"credential"`      // the id in the records
	Lease       string    `json:"lease,omitempty"` // the issuing system's handle
	Revocable   bool      `json:"revocable"`       // else it ends by itself, where it is not Stored
	Stored      bool      `json:"stored"`          // a stored key, which lives on and is read again at NotAfter
	Renewable   bool      `json:"renewable"`
	Revoked     bool      `json:"revoked"`
}

// Try has the named provider of o.Bundle make one credential, as Broker does for
// a call by agent (zero: by any), and ends it again. All of it is on record; what
// fails before the log is open leaves none behind. With an error, the Trial says what was made nevertheless.
func Try(ctx context.Context, o Options, name string, agent attest.Identity) (t Trial, err error) {
	err = aside(ctx, o, name, "trial", func(_ *Broker, entry providers.Entry, pool *providers.Pool) error {
		c, _, err := pool.Lease(ctx, name, providers.Request{Agent: agent})
		if err == nil {
			t = trialOf(c, o.Bundle.Config.Providers[name].Kind, entry)
			if entry.PerAgent {
				t.Agent = agent.Subject()
			}
		}
		return err
	})
	t.Revoked = t.Revocable && err == nil
	return t, err
}

// RevokeAll has the system of the named provider of o.Bundle end everything that was
// ever made as it is registered, on record or not, also what a broker is using. That
// it was ordered is on record, and where it failed why.
func RevokeAll(ctx context.Context, o Options, name string) error {
	return aside(ctx, o, name, "revoke_all", func(b *Broker, entry providers.Entry, _ *providers.Pool) error {
		err := fmt.Errorf("revoke all: provider %s: its system has no such order, or its credentials are none that can be revoked", name)
		if all, ok := entry.Provider.(providers.AllRevoker); ok {
			err = all.RevokeAll(ctx)
		}
		if err != nil {
			b.log.Write(&audit.Record{
				Kind: audit.Admin, Event: "revoke_all_failed", Bundle: o.Bundle.Digest, Provider: name, Fault: fault.KindOf(err).String(), Reason: err.Error(),
			})
		}
		return err
	})
}

// aside opens what the named provider needs, without a broker that serves, puts
// the event on record and does what is to be done with the provider. It closes all of it.
func aside(ctx context.Context, o Options, name, event string, do func(*Broker, providers.Entry, *providers.Pool) error) (err error) {
	p, ok := o.Bundle.Config.Providers[name]
	if !ok {
		known := slices.Sorted(maps.Keys(o.Bundle.Config.Providers))
		return fmt.Errorf("open provider: expected a registered one, got %q; registered: %v%s", name, known, bundle.DidYouMean(name, known))
	}
	b := &Broker{kinds: o.Kinds, logger: o.Logger, clock: o.Clock, limits: o.Bundle.Config.Limits, mintTime: o.mintTimeout}
	b.setDefaults()
	entry, err := b.entryOnTrial(ctx, o.Bundle, name, p)
	if b.trust != nil {
		defer func() { err = errors.Join(err, b.trust.Close()) }()
	}
	if err != nil {
		return err
	}
	// Only now: what can't be tried leaves no log behind.
	if err := b.openLog(ctx, o.Bundle.Config); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.log.Close()) }()
	pool, err := b.newPool(map[string]providers.Entry{name: entry}, func() string { return o.Bundle.Digest })
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, pool.Close(context.WithoutCancel(ctx))) }() // what was made is ended, whoever waits
	if _, err := b.log.Append(ctx, &audit.Record{Kind: audit.Admin, Event: event, Bundle: o.Bundle.Digest, Provider: name}); err != nil {
		return err
	}
	return do(b, entry, pool)
}

// entryOnTrial opens a provider, and what the broker is known by where the provider
// needs that, as every one does that does not open without.
func (b *Broker) entryOnTrial(ctx context.Context, bd *bundle.Bundle, name string, p bundle.Provider) (entry providers.Entry, err error) {
	entry, err = b.entry(name, p, bd)
	if _, placed := errors.AsType[bundle.Problem](err); err == nil || placed || bd.Config.Trust.WorkloadAPI == "" {
		return entry, err
	}
	if b.trust, err = trust.Open(ctx, bd.Config.Trust, bd.Config.TrustDomain, trust.Options{Logger: b.logger, Clock: b.clock}); err != nil {
		return providers.Entry{}, fmt.Errorf("provider %s needs the broker's identity: %w; run it as the broker's user, where the broker runs", name, err)
	}
	return b.entry(name, p, bd)
}

func trialOf(c providers.Credential, kind string, entry providers.Entry) Trial {
	keeper, keeps := entry.Provider.(providers.Keeper)
	return Trial{
		Stored:   keeps && keeper.Kept(),
		Provider: c.Provider(), Kind: kind, Type: string(c.Kind()), Scopes: c.Scopes(), NotAfter: c.NotAfter().UTC(), Fingerprint: c.Fingerprint(),
		Credential: c.ID(), Lease: c.Lease(), Revocable: c.Revocable(entry.Provider), Renewable: c.Renewable(entry.Provider),
	}
}

// Registered says what is known of a provider before it makes anything.
type Registered struct {
	Name      string   `json:"name"`
	Kind      string   `json:"kind"`
	PerAgent  bool     `json:"per_agent"`
	MaxAgeS   int64    `json:"max_age_s,omitempty"` // 0: as the system says
	Renews    bool     `json:"renews"`              // its system can prolong a credential
	Revokes   bool     `json:"revokes"`             // its system can end a credential
	IfOffered bool     `json:"revokes_if_offered"`  // it Revokes where its server says that it has an endpoint for that
	Upstreams []string `json:"upstreams"`
}

// ListProviders returns the providers of a bundle by name. It opens each one,
// which needs no network.
func ListProviders(bd *bundle.Bundle, kinds Kinds) ([]Registered, error) {
	list := []Registered{}
	for _, name := range slices.Sorted(maps.Keys(bd.Config.Providers)) {
		p := bd.Config.Providers[name]
		opened, err := kinds.Providers[p.Kind].open(p.Settings, providers.Env{Self: nobody{}})
		if err != nil {
			return nil, bd.Place("providers."+name, fmt.Errorf("provider %s: %w", name, err))
		}
		bound, ok := opened.(providers.AgentBound)
		r := Registered{Name: name, Kind: p.Kind, PerAgent: p.PerAgent || ok && bound.PerAgent(), MaxAgeS: int64(p.MaxAge.Seconds()), Upstreams: []string{}}
		_, r.Renews = opened.(providers.Renewer)
		_, r.Revokes = opened.(providers.Revoker)
		if reserved, ok := opened.(providers.Reserved); ok {
			ever, sure := reserved.Revokes()
			r.Revokes, r.IfOffered = ever, ever && !sure
		}
		for _, upstream := range slices.Sorted(maps.Keys(bd.Config.Upstreams)) {
			if slices.ContainsFunc(bd.Config.Upstreams[upstream].Credentials, func(c bundle.Injection) bool { return c.Provider == name }) {
				r.Upstreams = append(r.Upstreams, upstream)
			}
		}
		list = append(list, r)
	}
	return list, nil
}

// nobody stands for the broker's identity where none is needed.
type nobody struct{}

// JWTSVID always fails.
func (nobody) JWTSVID(context.Context, string) (string, error) {
	return "", errNobody
}

// X509SVID always fails.
func (nobody) X509SVID(context.Context) ([][]byte, crypto.Signer, error) { return nil, nil, errNobody }

var errNobody = errors.New("no identity is asked for here")
