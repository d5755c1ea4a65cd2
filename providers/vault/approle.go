package vault

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"time"

	"mintmark/internal/fault"
	"mintmark/providers"
)

// secretID is the secret of an AppRole. It is kept in memory because its
// wrapping token is good once.
type secretID struct {
	wrapping [sha256.Size]byte // hash of the token that it came in
	reveal   func() string
}

// loginAppRole shows the role's id and its secret-id, unwrapping the secret-id
// where another one has been delivered since.
func (s *session) loginAppRole(ctx context.Context, role AppRole, now time.Time) (token, error) {
	id, err := resolve(role.RoleID)
	if err != nil {
		return token{}, err
	}
	wrapping, err := resolve(role.WrappedSecretID)
	switch sum := sha256.Sum256([]byte(wrapping)); {
	case err != nil && s.secret == nil:
		return token{}, err
	case err == nil && (s.secret == nil || s.secret.wrapping != sum): // a spent one may well have been removed
		value, err := s.unwrap(ctx, role, wrapping)
		if err != nil {
			return token{}, err
		}
		s.secret = &secretID{wrapping: sum, reveal: func() string { return value }}
	}
	as := entrance{"approle", or(role.Mount, "approle"), fmt.Sprintf("compare role_id and the secret-id with those of role %q: either may be revoked", role.Role)}
	return s.exchange(ctx, as, map[string]any{"role_id": id, "secret_id": s.secret.reveal()}, now)
}

// Where Vault tells of a wrapping token and where it takes one.
const (
	wrappingLookup = "sys/wrapping/lookup"
	wrappingUnwrap = "sys/wrapping/unwrap"
)

const spent = "the broker's one-time secret for vault is spent or not genuine"

// unwrap spends a wrapping token. Whoever put another in its place cannot fake
// where it was made, and whoever read it first has spent it: both are told.
func (s *session) unwrap(ctx context.Context, role AppRole, wrapping string) (string, error) {
	want := "auth/" + or(role.Mount, "approle") + "/role/" + role.Role + "/secret-id"
	about, err := s.as(s.auth, token{}).Logical().WriteWithContext(ctx, wrappingLookup, map[string]any{"token": wrapping})
	if err != nil {
		return "", s.notUnwrapped(role, wrappingLookup, intercepted(err))
	}
	if about == nil || about.Data["creation_path"] != want {
		return "", s.notUnwrapped(role, wrappingLookup, fault.Wrap("lease", fault.Internal, spent,
			fmt.Errorf("look up wrapping token: got one made at another path, want %s: someone may have replaced it", want)))
	}
	answer, err := s.as(s.auth, token{value: wrapping}).Logical().WriteWithContext(ctx, wrappingUnwrap, nil)
	if err != nil {
		return "", s.notUnwrapped(role, wrappingUnwrap, intercepted(err))
	}
	if answer == nil {
		return "", s.notUnwrapped(role, wrappingUnwrap, fault.Wrap("lease", fault.Internal, spent, errors.New("unwrap secret-id: got nothing, want a secret-id: is it vault that answers there?")))
	}
	value, _ := answer.Data["secret_id"].(string)
	if value == "" {
		return "", s.notUnwrapped(role, wrappingUnwrap, fault.Wrap("lease", fault.Internal, spent, errors.New("unwrap secret-id: got an answer without secret_id, want one: is it vault that answers there?")))
	}
	return value, nil
}

// notUnwrapped adds to an explained error that it came at the login, and what was asked.
func (s *session) notUnwrapped(role AppRole, path string, err error) error {
	return atLogin(or(role.Mount, "approle"), providers.Asked(http.MethodPut, s.auth.Address()+"/v1/"+path, err))
}

// intercepted explains that a wrapping token was not taken.
func intercepted(err error) error {
	switch status(err) {
	case http.StatusBadRequest, http.StatusForbidden, http.StatusNotFound:
		return fault.Wrap("lease", fault.Internal, spent, fmt.Errorf("unwrap secret-id: vault answered with status %d, want a wrapping token that it knows: "+
			"it has expired, the broker has used it before a restart or a change of its configuration, or it was intercepted: "+
			"unless you know which, revoke the role's secret-ids, and deliver a new one", status(err)))
	}
	return explain(err)
}
