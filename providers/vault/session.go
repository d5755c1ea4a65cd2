package vault

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"

	"mintmark/internal/fault"
	"mintmark/providers"
)

// session is the broker's login. It logs in when it must: at first, when the
// token cannot be renewed any more, and when Vault no longer takes it.
type session struct {
	client *api.Client // without a token
	auth   *api.Client // the same for logins
	method Auth
	env    providers.Env
	secret *secretID // of an AppRole, once it is unwrapped

	turn  chan struct{} // of one slot: a lock that a context can leave, of token and secret
	token token

	leases leases

	namespaces bool      // the server did not say that it has none
	replaced   time.Time // when a token was last replaced because Vault refused it

	report func(ctx context.Context, handle string, end time.Time) error // nil: nobody keeps a record
	own    map[string]token                                              // that were reported, by accessor
}

// token is a Vault token. The one before it is not revoked when it is replaced:
// Vault would drop every lease that it made.
type token struct {
	value     string
	accessor  string // "": not of a login of ours
	proof     string // the secret that was shown for it; "": none
	login     int    // counts logins: what a token made ends with it, whatever its lease says
	renewable bool
	life      time.Duration // at first
	renewAt   time.Time     // zero: never
	end       time.Time     // zero: never
}

// newToken returns a token that lives for ttl from now on; zero is a root token's.
func newToken(value string, ttl time.Duration, renewable bool, now time.Time) token {
	if ttl <= 0 {
		return token{value: value}
	}
	// Twice a ttl of centuries is more than a Duration can say.
	return token{value: value, renewable: renewable, life: ttl, renewAt: now.Add(ttl / 3 * 2), end: now.Add(ttl)}
}

// shownIn reports whether a text that goes on record has t in it, or what was shown for it: what
// is shorter than 8 bytes is found by chance.
func (t token) shownIn(text string) bool {
	for _, secret := range [...]string{t.value, t.proof} {
		if len(secret) >= 8 && strings.Contains(text, secret) {
			return true
		}
	}
	return false
}

func (t token) fresh(now time.Time) bool {
	return t.value != "" && (t.renewAt.IsZero() || now.Before(t.renewAt))
}

// as returns a view of c that sends t.
func (*session) as(c *api.Client, t token) *api.Client {
	return c.WithRequestCallbacks(func(r *api.Request) { r.ClientToken = t.value })
}

// ask reads or, with a body, writes path, and returns the token that did.
func (s *session) ask(ctx context.Context, path string, body map[string]any) (answer *api.Secret, by token, err error) {
	err = s.with(ctx, func(t token) error {
		by = t
		if body == nil {
			answer, err = s.as(s.client, t).Logical().ReadWithContext(ctx, path)
		} else {
			answer, err = s.as(s.client, t).Logical().WriteWithContext(ctx, path, body)
		}
		return err
	})
	if err != nil && by.value != "" { // it came to the question
		err = s.asked(path, body, err)
	}
	if err == nil && (answer == nil || answer.Data == nil) {
		err = s.asked(path, body, fault.Wrap("lease", fault.Internal, "there is no such secret at its provider",
			errors.New("vault has nothing there: compare the mount and the path, in this namespace")))
	}
	return answer, by, err
}

// asked adds to what is wrong with an answer what ask asked for it.
func (s *session) asked(path string, body map[string]any, err error) error {
	method := http.MethodGet
	if body != nil {
		method = http.MethodPut
	}
	return providers.Asked(method, s.client.Address()+"/v1/"+path, err)
}

// replaceEvery is how often a token is replaced that Vault refuses and still knows.
const replaceEvery = time.Minute

// with runs call with a token. Vault answers 403 both to a token it has dropped
// and to one without the right, so a token that is not new is replaced once. An agent
// that has no right to its own path must not have the broker log in for each of its
// calls: all that a login before made can't be renewed after it.
func (s *session) with(ctx context.Context, call func(token) error) error {
	t, isNew, err := s.current(ctx, "")
	if err != nil {
		return err
	}
	err = patiently(ctx, func() error { return call(t) })
	if status(err) != http.StatusForbidden || isNew {
		return explain(err)
	}
	next, isNew, failed := s.current(ctx, t.value)
	switch {
	case failed != nil:
		return failed
	case !isNew && next.value == t.value: // it is good, and has not the right
		return explain(err)
	}
	return explain(patiently(ctx, func() error { return call(next) }))
}

// stands reports whether the token that Vault refused for a call is to be kept: it was
// the reason for a login a moment ago, and Vault says that it knows it. Each login asks
// for the rights of now, so that a role that was given more has them a minute later. The
// caller has the turn.
func (s *session) stands(ctx context.Context, now time.Time) bool {
	if now.Sub(s.replaced) < replaceEvery {
		_, err := s.as(s.auth, s.token).Auth().Token().LookupSelfWithContext(ctx)
		return err == nil
	}
	s.replaced = now
	return false
}

// Bounds on the wait for a node of Vault that lags behind the one that made the
// token.
const (
	lagTries = 4
	lagPause = 50 * time.Millisecond
)

// patiently calls again, a few times, while Vault answers that this node does
// not know the token yet.
func patiently(ctx context.Context, call func() error) error {
	pause := lagPause
	for range lagTries - 1 {
		err := call()
		if status(err) != http.StatusPreconditionFailed {
			return err
		}
		select {
		case <-time.After(pause):
			pause *= 2
		case <-ctx.Done():
			return err
		}
	}
	return call()
}

// current returns a token that is good by the clock and is not the refused one,
// and whether it was made just now.
func (s *session) current(ctx context.Context, refused string) (t token, isNew bool, err error) {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return token{}, false, providers.Unreachable("vault", ctx.Err())
	}
	now, held := s.env.Now(), s.token
	if refused != "" && held.value == refused && s.stands(ctx, now) {
		return held, false, nil
	}
	usable := held.value != "" && held.value != refused
	if usable && held.fresh(now) {
		return held, false, nil
	}
	if usable && held.renewable && now.Before(held.end) && s.renewSelf(ctx, now) {
		return s.token, false, nil
	}
	if t, err = s.enter(ctx, now); err == nil {
		err = s.begin(ctx, t)
	}
	if err != nil && usable && now.Before(held.end) { // it still has a third of its life
		return held, false, nil
	}
	if err != nil {
		return token{}, false, err
	}
	t.login = held.login
	if t.value != held.value {
		t.login++
	}
	s.token = t
	return t, true, nil
}

// renewSelf prolongs the token, and with it the leases that it made, and reports
// whether it is good for most of a life again: near its longest life it is not.
func (s *session) renewSelf(ctx context.Context, now time.Time) bool {
	answer, err := s.as(s.auth, s.token).Auth().Token().RenewSelfWithContext(ctx, 0)
	if err != nil || answer == nil || answer.Auth == nil {
		return false
	}
	held := s.token
	t := newToken(held.value, time.Duration(answer.Auth.LeaseDuration)*time.Second, answer.Auth.Renewable, now)
	if t.life < held.life/3*2 {
		return false
	}
	t.login, t.life, t.accessor, t.proof = held.login, held.life, held.accessor, held.proof
	if s.note(ctx, t) != nil {
		return false
	}
	s.token = t
	return true
}

// status returns the HTTP status of Vault's refusal, or 0.
func status(err error) int {
	if refusal, ok := errors.AsType[*api.ResponseError](err); ok {
		return refusal.StatusCode
	}
	return 0
}
