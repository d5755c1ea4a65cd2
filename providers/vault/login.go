package vault

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/hashicorp/vault/api"

	"mintmark/internal/fault"
	"mintmark/providers"
)

// enter logs in where that is to a server which has what is configured. The
// caller holds turn. Its errors are explained.
func (s *session) enter(ctx context.Context, now time.Time) (token, error) {
	if err := s.checkNamespaces(ctx); err != nil {
		return token{}, err
	}
	return s.login(ctx, now)
}

// login logs in by the one configured method. The caller holds turn. Its errors
// are explained.
func (s *session) login(ctx context.Context, now time.Time) (token, error) {
	switch m := s.method; {
	case m.JWT != nil:
		svid, err := s.env.Self.JWTSVID(ctx, m.JWT.Audience)
		if err != nil {
			return token{}, fault.Wrap("lease", fault.Unavailable, "the broker has no identity to show to vault", err)
		}
		as := entrance{"jwt", or(m.JWT.Mount, "jwt"), fmt.Sprintf("compare role %q, audience %q with the role's bound_audiences, and the broker's SPIFFE ID with its bound_subject", m.JWT.Role, m.JWT.Audience)}
		return s.exchange(ctx, as, map[string]any{"role": m.JWT.Role, "jwt": svid}, now)
	case m.Kubernetes != nil:
		jwt, err := m.Kubernetes.serviceAccount()
		if err != nil {
			return token{}, err
		}
		as := entrance{"kubernetes", or(m.Kubernetes.Mount, "kubernetes"), fmt.Sprintf("compare role %q, and the broker's service account with the role's bound_service_account_names and _namespaces", m.Kubernetes.Role)}
		return s.exchange(ctx, as, map[string]any{"role": m.Kubernetes.Role, "jwt": jwt}, now)
	case m.Cert != nil:
		return s.loginCert(ctx, *m.Cert, now)
	case m.AppRole != nil:
		return s.loginAppRole(ctx, *m.AppRole, now)
	}
	return s.loginToken(ctx, now)
}

// loginCert shows a certificate, which Vault knows its holder by the common name of.
func (s *session) loginCert(ctx context.Context, role Cert, now time.Time) (token, error) {
	shown, err := role.load(ctx, s.env.Self) // its trouble is told here: a handshake would hide it
	if err != nil {
		return token{}, err
	}
	body := map[string]any{}
	if role.Role != "" {
		body["name"] = role.Role
	}
	as := entrance{"cert", or(role.Mount, "cert"), fmt.Sprintf("compare role %q (empty: any), and its certificate and allowed names with those of the certificate that the broker shows", role.Role)}
	t, err := s.exchange(ctx, as, body, now)
	if fault.HintOf(err) == failed && nameless(shown.Certificate) { // Vault tells it as a failure of its own
		return token{}, fault.Wrap("lease", fault.Internal, "vault takes no certificate without a common name", err)
	}
	return t, err
}

func nameless(chain [][]byte) bool {
	leaf, err := x509.ParseCertificate(chain[0])
	return err == nil && leaf.Subject.CommonName == "" // an SVID of SPIRE, unless its entry has a DNS name
}

// exchange shows to an auth method what proves the broker.
func (s *session) exchange(ctx context.Context, as entrance, proof map[string]any, now time.Time) (token, error) {
	path := "auth/" + as.mount + "/login"
	answer, err := s.as(s.auth, token{}).Logical().WriteWithContext(ctx, path, proof)
	if err != nil {
		return token{}, atLogin(as.mount, providers.Asked(http.MethodPut, s.auth.Address()+"/v1/"+path, as.explain(err)))
	}
	if answer == nil || answer.Auth == nil || answer.Auth.ClientToken == "" {
		return token{}, wanting(s.auth, http.MethodPut, path, "vault answered a login without a token",
			"is it vault that answers there, and an auth method that is mounted there?")
	}
	t := newToken(answer.Auth.ClientToken, time.Duration(answer.Auth.LeaseDuration)*time.Second, answer.Auth.Renewable, now)
	t.accessor = answer.Auth.Accessor
	for _, secret := range [...]string{"jwt", "secret_id"} {
		if shown, ok := proof[secret].(string); ok {
			t.proof = shown
		}
	}
	return t, nil
}

// atLogin adds to the cause of an explained error that it was the login's: Vault
// has one status for a login that it refuses and for a path that it does.
func atLogin(mount string, err error) error {
	f, ok := errors.AsType[*fault.Error](err)
	if !ok {
		return err
	}
	cause := errors.New("at the login, auth/" + mount)
	if f.Err != nil {
		cause = fmt.Errorf("at the login, auth/%s: %w", mount, f.Err)
	}
	return fault.Wrap(f.Op, f.Kind, f.Hint, cause)
}

// loginToken takes the configured token, reading it anew because it may have
// been rotated, and renews it where Vault lets it be.
func (s *session) loginToken(ctx context.Context, now time.Time) (token, error) {
	value, err := resolve(s.method.Token)
	if err != nil {
		return token{}, err
	}
	self := s.as(s.auth, token{value: value}).Auth().Token()
	answer, err := self.LookupSelfWithContext(ctx)
	if err != nil {
		as := entrance{"token", "token", "compare auth.token: it is not known, has expired or is revoked, or may not look itself up"}
		return token{}, atLogin("token", providers.Asked(http.MethodGet, s.auth.Address()+"/v1/auth/token/lookup-self", as.explain(err)))
	}
	ttl, err := answer.TokenTTL()
	if err != nil {
		return token{}, wanting(s.auth, http.MethodGet, "auth/token/lookup-self", "vault does not say how long the broker's token lives",
			"the answer has no usable ttl: is it vault that answers there?")
	}
	if renewable, _ := answer.TokenIsRenewable(); renewable && value == s.token.value {
		ttl = renewed(ctx, self, ttl)
	}
	return newToken(value, ttl, false, now), nil
}

func renewed(ctx context.Context, self *api.TokenAuth, ttl time.Duration) time.Duration {
	answer, err := self.RenewSelfWithContext(ctx, 0)
	if err != nil || answer == nil || answer.Auth == nil {
		return ttl
	}
	return time.Duration(answer.Auth.LeaseDuration) * time.Second
}
