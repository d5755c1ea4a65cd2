package oauth

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/url"

	"golang.org/x/oauth2"

	"mintmark/broker/bundle"
	"mintmark/internal/fault"
)

// errEnded says that an operator has to act. It is what is left to say when a
// refresh token that the broker kept is no longer taken: most servers end a whole
// family of tokens when one of it comes twice (RFC 9700, section 4.14), so either
// somebody else has it, or an answer was lost.
var errEnded = errors.New("the grant has ended, by its server or because a token of it was used twice: look for who else has it, authorize anew, and put the new token where the registration says")

// rotation is a grant that lives in a file, since its server gives a new refresh
// token with each answer. One owner at a time uses it.
type rotation struct {
	origin bundle.Ref         // what an operator put there: another one begins anew
	code   *AuthorizationCode // nil: the origin is a refresh token
	store  store
	dpop   bool
}

// mint asks with the present refresh token, and keeps the next one before anything
// else is done with the answer.
func (r rotation) mint(ctx context.Context, m *mint) (*oauth2.Token, error) {
	origin, err := r.origin.Resolve()
	if err != nil {
		return nil, ownSecret(err)
	}
	unlock, err := r.store.hold(ctx)
	if err != nil {
		return nil, stateFault(err)
	}
	defer unlock()
	now, err := r.present(origin)
	if err != nil {
		return nil, stateFault(err)
	}
	if now.Ended {
		return nil, ended()
	}
	if r.dpop {
		if m.bond.key, err = now.signer(); err != nil {
			return nil, stateFault(err)
		}
	}
	token, err := r.ask(ctx, m, origin, now)
	if code(err) == "invalid_grant" && fault.KindOf(err) != fault.Unavailable { // an outage ends no grant, whatever it says
		now.Token, now.Ended = "", true
		if err := r.store.write(now); err != nil { // it is asked once more, and refused again
			return nil, stateFault(err)
		}
		return nil, ended()
	}
	return token, err
}

// present returns the state to go on from: that of the file, or a new one where
// the origin is another.
func (r rotation) present(origin string) (kept, error) {
	now, err := r.store.read()
	if err != nil {
		return kept{}, err
	}
	sum := sha256.Sum256([]byte(origin))
	if from := hex.EncodeToString(sum[:]); now.Origin != from {
		now = kept{Origin: from}
		if r.code == nil {
			now.Token = origin
		}
	}
	if r.dpop && now.Key == nil {
		err = now.newKey()
	}
	return now, err
}

// ask makes the request and keeps what it brought. A token comes with an error where
// that can't be kept, or read.
func (r rotation) ask(ctx context.Context, m *mint, origin string, now kept) (*oauth2.Token, error) {
	params := func() (url.Values, error) {
		v := m.params(refreshToken)
		v.Set("refresh_token", now.Token)
		return v, nil
	}
	if now.Token == "" {
		params = func() (url.Values, error) { return r.code.params(m, origin) }
		spent := now
		spent.Ended = true
		if err := r.store.write(spent); err != nil { // a code is sent once, whatever becomes of its answer
			return nil, stateFault(err)
		}
	}
	next, err := r.store.begin(now) // a disk that is full is found before the token is spent
	if err != nil {
		return nil, stateFault(err)
	}
	defer next.drop()
	// Whoever waits may give up; the next token comes but once.
	token, err := m.ask(context.WithoutCancel(ctx), params)
	if err != nil && (token == nil || token.RefreshToken == "") {
		return token, err
	}
	now.Token, now.Ended = token.RefreshToken, token.RefreshToken == ""
	if err := next.keep(now); err != nil {
		return token, stateFault(err)
	}
	return token, err // of an answer at fault, that spent the token before it all the same
}

// params is RFC 6749, section 4.1.3, and RFC 7636, section 4.5.
func (c AuthorizationCode) params(m *mint, code string) (url.Values, error) {
	verifier, err := c.Verifier.Resolve()
	if err != nil {
		return nil, ownSecret(err)
	}
	v := m.params(authorizationCode)
	v.Del("scope") // it was agreed to with the code
	v.Set("code", code)
	v.Set("code_verifier", verifier)
	v.Set("redirect_uri", c.RedirectURI)
	return v, nil
}

func ended() error {
	return fault.Wrap("lease", fault.Internal, "the credential provider's grant has ended: an operator must authorize the broker anew", errEnded)
}

func stateFault(err error) error {
	return fault.Wrap("lease", fault.Internal, "the broker cannot keep the state of the credential provider", err)
}
