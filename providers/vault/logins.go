package vault

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"

	"mintmark/internal/fault"
	"mintmark/providers"
)

// ReportLogins has each login of the broker's own put on record before it is
// used, by the accessor of its token. A token that is configured is not the
// broker's to end, and not reported.
func (s *session) ReportLogins(report func(ctx context.Context, handle string, end time.Time) error) {
	s.report, s.own = report, make(map[string]token)
}

// begin reports t, which nothing was done with yet, and ends it where that
// fails. The caller has the turn.
func (s *session) begin(ctx context.Context, t token) error {
	err := s.note(ctx, t)
	if err != nil {
		_ = s.as(s.auth, t).Auth().Token().RevokeSelfWithContext(ctx, "") // nobody has it: it ends by itself otherwise
	}
	return err
}

// note reports t, new or with a later end. The caller has the turn.
func (s *session) note(ctx context.Context, t token) error {
	if s.report == nil || t.accessor == "" {
		return nil
	}
	if t.shownIn(t.accessor) {
		return fault.Wrap("lease", fault.Internal, "vault gave an accessor with a secret of the broker's in it, and accessors are recorded", errors.New("is it vault that answers there?"))
	}
	if err := s.report(ctx, t.accessor, t.end); err != nil {
		return err
	}
	now := s.env.Now()
	maps.DeleteFunc(s.own, func(_ string, t token) bool { return !t.end.IsZero() && now.After(t.end) })
	s.own[t.accessor] = t
	return nil
}

// Logout has Vault drop the token with this accessor and all that it made: a
// token of this process by itself, one of a process before by the right to
// update auth/token/revoke-accessor. Both that a token is not known and that it has not the
// right to end itself are 403: Vault's policies refuse with a list, of one error.
func (s *session) Logout(ctx context.Context, accessor string) error {
	t, own, err := s.forget(ctx, accessor)
	if err != nil {
		return err
	}
	if own {
		err := s.as(s.auth, t).Auth().Token().RevokeSelfWithContext(ctx, "")
		if status(err) == http.StatusForbidden && !said(err, "1 error occurred") { // Vault has dropped it
			return nil
		}
		return explain(err)
	}
	return s.with(ctx, func(t token) error {
		err := s.as(s.auth, t).Auth().Token().RevokeAccessorWithContext(ctx, accessor)
		if unknownAccessor(err) {
			return nil
		}
		return err
	})
}

// forget returns the token of this process with that accessor, which is not to
// be used any more.
func (s *session) forget(ctx context.Context, accessor string) (t token, own bool, err error) {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return token{}, false, providers.Unreachable("vault", ctx.Err())
	}
	t, own = s.own[accessor]
	if own && s.token.accessor == accessor {
		s.token = token{login: s.token.login} // the next is another one
	}
	return t, own, nil
}

// unknownAccessor reports whether Vault says that there is no such token, or
// ("token not found") that it is being dropped already, which goes on when nobody
// waits for it. It reads Vault's own words because it says so under the status of
// a refusal.
func unknownAccessor(err error) bool {
	return said(err, "invalid accessor") || said(err, "token not found")
}

// said reports whether Vault refused in words with these in them.
func said(err error, words string) bool {
	refusal, ok := errors.AsType[*api.ResponseError](err)
	return ok && strings.Contains(strings.ToLower(strings.Join(refusal.Errors, " ")), words)
}
