package vault

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/vault/api"

	"mintmark/internal/fault"
	"mintmark/providers"
)

// dynamic has an engine make a credential. What has a lease lives as long as it.
type dynamic struct {
	*session
	path   string
	write  bool
	data   map[string]string
	fields Fields
	leased bool // a credential without a lease is refused
}

func newDatabase(s *session, d Database) *dynamic {
	return &dynamic{session: s, leased: true,
		path:   or(d.Mount, "database") + "/creds/" + d.Role,
		fields: Fields{Username: "{username}", Password: "{password}"}}
}

func newDynamic(s *session, d Dynamic) *dynamic {
	return &dynamic{session: s, path: d.Path, write: d.Write || len(d.Data) > 0, data: d.Data, fields: d.Fields}
}

// PerAgent reports whether what is asked for, and so the credential, is the
// agent's own.
func (d *dynamic) PerAgent() bool {
	templates := []string{d.path}
	for _, value := range d.data {
		templates = append(templates, value)
	}
	return providers.PerAgent(templates...)
}

// Mint has the credential made. It lives no longer than the token that had it
// made, because Vault then ends it.
func (d *dynamic) Mint(ctx context.Context, req providers.Request) (providers.Credential, error) {
	path, body, err := d.question(req)
	if err != nil {
		return providers.Credential{}, err
	}
	start := d.session.env.Now()
	answer, by, err := d.session.ask(ctx, path, body)
	if err != nil {
		return providers.Credential{}, err
	}
	if by.shownIn(answer.LeaseID) {
		return providers.Credential{}, d.session.asked(path, body, fault.Wrap("lease", fault.Internal, "vault gave a handle with a secret of the broker's in it, and handles are recorded",
			errors.New("is it vault that answers there?")))
	}
	material, unread := d.fields.material(answer.Data)
	terms, err := d.terms(answer, start, by)
	if err != nil {
		terms = providers.Terms{Lease: answer.LeaseID}
	}
	terms.Scopes = []string{path}
	if err = cmp.Or(err, unread); err != nil {
		return d.unusable(material, terms, d.session.asked(path, body, err))
	}
	if len(material.Chain) > 0 {
		terms.NotAfter = earliest(terms.NotAfter, ends(material.Chain))
	}
	if terms.Lease != "" {
		terms.Fixed = !answer.Renewable
		life := time.Duration(answer.LeaseDuration) * time.Second
		d.session.leases.add(terms.Lease, made{login: by.login, renewable: answer.Renewable, life: life, end: terms.NotAfter, scopes: terms.Scopes}, start)
	}
	return providers.Seal(d.fields.kind(), material, terms), nil
}

// unusable returns what was made and cannot be used, with the cause: the Pool records it, and
// revokes what has a lease. There is none where neither that nor a secret came.
func (d *dynamic) unusable(m providers.Material, terms providers.Terms, cause error) (providers.Credential, error) {
	if terms.Lease == "" && m.Token.IsZero() && m.Password.IsZero() && m.SecretAccessKey.IsZero() && m.Key.IsZero() {
		return providers.Credential{}, cause
	}
	return providers.Seal(d.fields.kind(), m, terms), cause
}

// question returns what to ask for, for this agent; the body is nil for a read.
func (d *dynamic) question(req providers.Request) (path string, body map[string]any, err error) {
	if path, err = fillPath(d.path, req); err != nil || !d.write {
		return path, nil, err
	}
	body = map[string]any{}
	for key, template := range d.data {
		// A "," for "/" would make several names of one agent's: engines take lists so.
		if body[key], err = providers.FillSubject(template, req.Agent); err != nil {
			return "", nil, err
		}
	}
	return path, body, nil
}

// terms returns what Vault said of the credential, without its scopes.
func (d *dynamic) terms(answer *api.Secret, start time.Time, by token) (providers.Terms, error) {
	switch {
	case answer.LeaseID != "" && answer.LeaseDuration > 0:
		end := start.Add(time.Duration(answer.LeaseDuration) * time.Second)
		return providers.Terms{NotAfter: earliest(end, by.end), Lease: answer.LeaseID}, nil
	case answer.LeaseID != "" || d.leased:
		return providers.Terms{}, fault.Wrap("lease", fault.Internal, "vault made a credential without a lease: want a dynamic role",
			errors.New("one of a static role ends with no lease: compare the path"))
	case d.fields.ExpiresIn == "":
		return providers.Terms{}, nil
	}
	life, err := seconds(answer.Data, d.fields.ExpiresIn)
	return providers.Terms{NotAfter: start.Add(life)}, err
}

// Renew has Vault prolong the lease of a credential.
func (d *dynamic) Renew(ctx context.Context, h providers.Held) (providers.Terms, error) {
	return d.session.renew(ctx, h.Lease)
}

// Revoke has Vault end the credential, and returns when it has.
func (d *dynamic) Revoke(ctx context.Context, h providers.Held) error {
	return d.session.revoke(ctx, h.Lease)
}

// RevokeAll has Vault end everything that was ever made at this path, by whoever
// asked for it: for the operator who has lost the records of the leases. It needs
// update and sudo on sys/leases/revoke-prefix.
func (d *dynamic) RevokeAll(ctx context.Context) error {
	if providers.PerAgent(d.path) {
		return fault.New("revoke", fault.Internal, "the path is another one for each agent")
	}
	return d.with(ctx, func(t token) error {
		_, err := d.as(d.client, t).Logical().WriteWithContext(ctx, "sys/leases/revoke-prefix/"+d.path, map[string]any{"sync": true})
		return err
	})
}

// fillPath fills the path for the agent, whose name cannot lead out of it.
func fillPath(template string, req providers.Request) (string, error) {
	path, err := providers.FillName(template, req.Agent)
	if err != nil {
		return "", err
	}
	if err := climbs(path); err != nil {
		return "", fault.Wrap("lease", fault.Internal, "the agent's name cannot be put into its credential", fmt.Errorf("fill path: %w", err))
	}
	return path, nil
}
