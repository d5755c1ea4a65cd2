package vault

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/hashicorp/vault/api"

	"mintmark/internal/fault"
	"mintmark/providers"
)

// session is the broker's login. It logs in when it must: at first, when a
// third of the token's life is left, and when Vault no longer takes the token.
type session struct {
	client *api.Client // without a token
	auth   Auth
	env    providers.Env

	turn  chan struct{} // of one slot: a lock that a context can leave
	token token

	report func(ctx context.Context, handle string, end time.Time) error // nil: nobody keeps a record
	own    map[string]token                                              // that were reported, by accessor
}

// token is a Vault token. The one before it is not revoked when it is replaced:
// Vault would drop every lease that it made.
type token struct {
	value    string
	accessor string    // "": not of a login of ours
	renewAt  time.Time // zero: never
	end      time.Time // zero: never
}

// as returns a view of the client that sends t.
func (s *session) as(t token) *api.Client {
	return s.client.WithRequestCallbacks(func(r *api.Request) { r.ClientToken = t.value })
}

// read reads path, and returns with the answer when the token that read it ends.
func (s *session) read(ctx context.Context, path string) (answer *api.Secret, tokenEnd time.Time, err error) {
	err = s.with(ctx, func(t token) error {
		tokenEnd = t.end
		answer, err = s.as(t).Logical().ReadWithContext(ctx, path)
		return err
	})
	if err == nil && (answer == nil || answer.Data == nil) {
		err = fault.New("lease", fault.Internal, "there is no such secret at its provider")
	}
	return answer, tokenEnd, err
}

func (s *session) write(ctx context.Context, path string, body map[string]any) error {
	return s.with(ctx, func(t token) error {
		_, err := s.as(t).Logical().WriteWithContext(ctx, path, body)
		return err
	})
}

// with runs call with a token. Vault answers 403 both to a token it has dropped
// and to one without the right, so a token that is not new is replaced once.
func (s *session) with(ctx context.Context, call func(token) error) error {
	t, isNew, err := s.login(ctx, "")
	if err != nil {
		return err
	}
	err = call(t)
	if status(err) == http.StatusForbidden && !isNew {
		if t, _, err = s.login(ctx, t.value); err != nil {
			return err
		}
		err = call(t)
	}
	return explain(err)
}

// login returns a token that is good by the clock and is not the refused one,
// and whether it was made just now.
func (s *session) login(ctx context.Context, refused string) (t token, isNew bool, err error) {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return token{}, false, providers.Unreachable("vault", ctx.Err())
	}
	now := s.env.Now()
	if s.token.value != "" && s.token.value != refused && (s.token.renewAt.IsZero() || now.Before(s.token.renewAt)) {
		return s.token, false, nil
	}
	if s.auth.JWT != nil {
		t, err = s.loginJWT(ctx, *s.auth.JWT, now)
	} else {
		t, err = s.loginToken(ctx, now)
	}
	if err == nil {
		err = s.begin(ctx, t)
	}
	if err != nil {
		return token{}, false, err
	}
	s.token = t
	return t, true, nil
}

// loginJWT proves the broker's own identity. Its errors are explained.
func (s *session) loginJWT(ctx context.Context, role JWT, now time.Time) (token, error) {
	svid, err := s.env.Self.JWTSVID(ctx, role.Audience)
	if err != nil {
		return token{}, fault.Wrap("lease", fault.Unavailable, "the broker has no identity to show to vault", err)
	}
	answer, err := s.client.Logical().WriteWithContext(ctx, "auth/"+or(role.Mount, "jwt")+"/login", map[string]any{"role": role.Role, "jwt": svid})
	if err != nil {
		return token{}, explain(err)
	}
	if answer == nil || answer.Auth == nil || answer.Auth.ClientToken == "" {
		return token{}, fault.New("lease", fault.Internal, "vault answered a login without a token")
	}
	t := newToken(answer.Auth.ClientToken, time.Duration(answer.Auth.LeaseDuration)*time.Second, now)
	t.accessor = answer.Auth.Accessor
	return t, nil
}

// loginToken takes the configured token, reading it anew because it may have
// been rotated, and renews it where Vault lets it be.
func (s *session) loginToken(ctx context.Context, now time.Time) (token, error) {
	value, err := resolve(s.auth.Token)
	if err != nil {
		return token{}, err
	}
	client := s.as(token{value: value})
	answer, err := client.Auth().Token().LookupSelfWithContext(ctx)
	if err != nil {
		return token{}, explain(err)
	}
	ttl, err := answer.TokenTTL()
	if err != nil {
		return token{}, fault.New("lease", fault.Internal, "vault does not say how long the broker's token lives")
	}
	if renewable, _ := answer.TokenIsRenewable(); renewable && value == s.token.value {
		if renewed, err := client.Auth().Token().RenewSelfWithContext(ctx, 0); err == nil && renewed.Auth != nil {
			ttl = time.Duration(renewed.Auth.LeaseDuration) * time.Second
		}
	}
	return newToken(value, ttl, now), nil
}

func newToken(value string, ttl time.Duration, now time.Time) token {
	if ttl <= 0 { // a root token
		return token{value: value}
	}
	return token{value: value, renewAt: now.Add(ttl * 2 / 3), end: now.Add(ttl)}
}

// status returns the HTTP status of Vault's refusal, or 0.
func status(err error) int {
	if refusal, ok := errors.AsType[*api.ResponseError](err); ok {
		return refusal.StatusCode
	}
	return 0
}
